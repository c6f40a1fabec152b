package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// token prints an access token.
func (a *app) token() *cobra.Command {
	var data, url, id, secret, scope, caFile string
	var reader bool
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Print an access token",
		Long: `Print an access token got with client credentials: by default the demo's writer
in --data, or any application of any provider with --token-url, --client-id and
--client-secret (better given as CERTSTATE_CLIENT_SECRET than on the command
line, where others can see it).`,
		Example: `  curl --cacert certstate-demo/ca.pem -H "Authorization: Bearer $(certstate token)" \
    https://localhost:8443/beta/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if url == "" {
				env, err := readEnv(filepath.Join(data, envFile))
				if err != nil {
					return fmt.Errorf("%w: start the demo, or give --token-url", err)
				}
				role := ""
				if reader {
					role = "READER_"
				}
				url, id, secret = env["TOKEN_URL"], env[role+"CLIENT_ID"], env[role+"CLIENT_SECRET"]
				scope, caFile = env["AUDIENCE"]+"/.default", env["SSL_CERT_FILE"]
			}
			if id == "" || secret == "" || scope == "" {
				return usageError{errors.New("--client-id, --client-secret and --scope go with --token-url")}
			}
			t, err := fetchToken(cmd.Context(), url, id, secret, scope, caFile)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.stdout, t)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", "certstate-demo", "`folder` of the demo")
	f.BoolVar(&reader, "reader", false, "the demo's application that may only read")
	f.StringVar(&url, "token-url", "", "token endpoint `URL` of another provider")
	f.StringVar(&id, "client-id", "", "application `id`")
	f.StringVar(&secret, "client-secret", "", "its `secret`")
	f.StringVar(&scope, "scope", "", "`scope`, such as api://certstate/.default")
	f.StringVar(&caFile, "ca", "", "PEM `file` of the provider's authority, if the system does not trust it")
	return cmd
}

func fetchToken(ctx context.Context, url, id, secret, scope, caFile string) (string, error) {
	if caFile != "" {
		client, err := trusting(caFile)
		if err != nil {
			return "", err
		}
		ctx = context.WithValue(ctx, oauth2.HTTPClient, client)
	}
	cfg := clientcredentials.Config{ClientID: id, ClientSecret: secret, TokenURL: url, Scopes: []string{scope}, AuthStyle: oauth2.AuthStyleInParams}
	t, err := cfg.Token(ctx)
	if err != nil {
		return "", err
	}
	return t.AccessToken, nil
}

// readEnv reads the lines of a demo.env.
func readEnv(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		env[name] = strings.ReplaceAll(strings.Trim(value, "'"), `'\''`, "'")
	}
	return env, nil
}
