package main

import (
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"certstate"
)

// fields prints the table of properties.
func (a *app) fields() *cobra.Command {
	var form string
	cmd := &cobra.Command{
		Use:   "fields",
		Short: "List the properties of a record",
		Long: `List the properties of a record: name on the wire, type, whether it can be null,
and whether it is returned without $select.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			var rows [][]string
			for i := range certstate.Properties {
				p := &certstate.Properties[i]
				rows = append(rows, []string{p.Name, p.Field(&certstate.State{}).TypeName(),
					strconv.FormatBool(p.Is(certstate.Nullable)), strconv.FormatBool(!p.Is(certstate.OnSelect)), strconv.FormatBool(p.Is(certstate.Computed)), p.Doc})
			}
			return a.print(form, []string{"name", "type", "nullable", "default", "computed", "description"}, rows)
		},
	}
	outputFlag(cmd.Flags(), &form)
	return cmd
}

// config prints the settings in force for serve, and where each came from.
func (a *app) config() *cobra.Command {
	var form string
	var set settings
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the settings that serve would use, and where each comes from",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var rows [][]string
			names := pflag.NewFlagSet("", pflag.ContinueOnError)
			new(settings).flags(names)
			names.VisitAll(func(f *pflag.Flag) {
				f = cmd.Flags().Lookup(f.Name)
				value := f.Value.String()
				if list, ok := f.Value.(pflag.SliceValue); ok {
					value = strings.Join(list.GetSlice(), "; ")
				}
				rows = append(rows, []string{f.Name, mask(value), envName(f.Name), source(f)})
			})
			if err := a.print(form, []string{"setting", "value", "environment", "source"}, rows); err != nil {
				return err
			}
			return set.check()
		},
	}
	set.flags(cmd.Flags())
	outputFlag(cmd.Flags(), &form)
	return cmd
}

// mask hides the password of a database URL, wherever it stands.
func mask(value string) string {
	scheme, rest, ok := strings.Cut(value, "://")
	if !ok {
		return value
	}
	place, query, _ := strings.Cut(rest, "?")
	if i := strings.LastIndex(place, "@"); i >= 0 {
		name, _, _ := strings.Cut(place[:i], ":")
		place = name + ":***" + place[i:]
	}
	if query != "" {
		place += "?" + passwords.ReplaceAllString(query, "$1=***")
	}
	return scheme + "://" + place
}

var passwords = regexp.MustCompile(`\b((?i:ssl)?password)=[^&]*`)

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.stdout, "certstate %s %s %s/%s\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
