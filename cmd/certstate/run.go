package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes, for scripts.
const (
	exitOK     = 0
	exitFailed = 1 // the work could not be done
	exitUsage  = 2 // flags, environment, configuration or arguments are wrong
	exitPartly = 3 // some of the work was left out
)

// usageError is a fault in what the person wrote.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitError is an error with an exit code of its own.
type exitError struct {
	error
	code int
}

// app is what every subcommand gets: where to write, and the environment.
type app struct {
	env         map[string]string
	stdout, err io.Writer
}

func environ(list []string) map[string]string {
	m := make(map[string]string, len(list))
	for _, kv := range list {
		name, value, _ := strings.Cut(kv, "=")
		m[name] = value
	}
	return m
}

// run is the program: it returns the exit code.
func run(ctx context.Context, args []string, env map[string]string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{env: env, stdout: stdout, err: stderr}
	root := a.command()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(stderr, "certstate:", line)
	}
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	var own exitError
	if errors.As(err, &own) {
		return own.code
	}
	return exitFailed
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "certstate",
		Short: "The register of device certificates and the ledger of their revocation",
		Long: `certstate keeps one record for each certificate on each managed device, with
how far its revocation has got, and serves them through the Microsoft Graph API:

  /beta/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates

Start with "certstate demo": it makes its own certificates, tokens and content.
For real use, enrol a tenant with "certstate tenant add" and run "certstate serve".

Every flag can also be set as CERTSTATE_NAME in the environment (--base-url is
CERTSTATE_BASE_URL), or as name = value in a TOML file given with --config. A
flag wins over the environment, the environment over the file.

Exit codes: 0 done, 1 failed, 2 wrong flags, configuration or arguments, 3 partly
done (import).`,
		SilenceUsage:  true,
		SilenceErrors: true,
		// Arguments that fit nothing are usage errors, like flags that do not.
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q: run certstate --help for the list", args[0])}
			}
			return nil
		},
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.applySources(cmd.Flags()) },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w: run %s --help for the flags", err, cmd.CommandPath())}
	})
	root.PersistentFlags().String(configFlag, "", "TOML `file` of settings, named as the flags")
	root.AddCommand(a.demo(), a.serve(), a.tenant(), a.source(), a.importRecords(), a.export(), a.backup(), a.restore(), a.check(), a.compact(), a.token(), a.fields(), a.config(), a.version())
	root.InitDefaultCompletionCmd()
	return root
}

// arguments makes a cobra argument check a usage error.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%s: %w; usage: %s", cmd.CommandPath(), err, cmd.UseLine())}
		}
		return nil
	}
}
