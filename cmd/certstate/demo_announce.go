package main

import (
	"crypto/rsa"
	"fmt"
	"path/filepath"
	"strings"

	"certstate/auth"
	"certstate/identity"
	"certstate/odata"
)

// identityConfig is the demo's directory.
func (d *demo) identityConfig(key *rsa.PrivateKey) identity.Config {
	cfg := identity.Config{BaseURL: d.base, Key: key, Resources: []string{graphResource, auth.GraphAudiences[0]}}
	read, write := string(auth.ReadAll), string(auth.ReadWriteAll)
	for _, t := range d.Tenants {
		cfg.Tenants = append(cfg.Tenants, identity.Tenant{
			ID: t.ID, Name: t.Name,
			Apps: []identity.App{
				{ID: t.Writer.ID, Secret: t.Writer.Secret, Name: "Demo writer", Roles: []string{write}, Scopes: []string{read, write}, RedirectURIs: []string{"http://localhost"}},
				{ID: t.Reader.ID, Secret: t.Reader.Secret, Name: "Demo reader", Roles: []string{read}, Scopes: []string{read}, RedirectURIs: []string{"http://localhost"}},
				{ID: t.SignIn, Name: "Demo sign-in", Public: true, Scopes: []string{read, write}, RedirectURIs: []string{"http://localhost"}},
			},
			Users: []identity.User{{ID: t.UserID, UPN: t.User, Name: "Demo Administrator", Password: t.Password}},
		})
	}
	return cfg
}

// variables are what a client needs, in the order they are printed.
func (d *demo) variables(caFile string) [][2]string {
	a, b := d.Tenants[0], d.Tenants[1]
	return [][2]string{
		{"BASE_URL", d.base + "/beta"},
		{"TOKEN_URL", d.base + "/" + a.ID + "/oauth2/v2.0/token"},
		{"TENANT", a.ID},
		{"CLIENT_ID", a.Writer.ID},
		{"CLIENT_SECRET", a.Writer.Secret},
		{"READER_CLIENT_ID", a.Reader.ID},
		{"READER_CLIENT_SECRET", a.Reader.Secret},
		{"TENANT_B", b.ID},
		{"CLIENT_ID_B", b.Writer.ID},
		{"CLIENT_SECRET_B", b.Writer.Secret},
		{"AUDIENCE", graphResource},
		{"SSL_CERT_FILE", caFile},
		{"NODE_EXTRA_CA_CERTS", caFile},
	}
}

// envFile is the file in the demo's folder that has the variables as shell lines.
const envFile = "demo.env"

// announce writes demo.env and prints how to use the demo.
func (d *demo) announce(a *app, dir, caFile string) error {
	caFile, err := filepath.Abs(caFile)
	if err != nil {
		return err
	}
	var env strings.Builder
	for _, v := range d.variables(caFile) {
		fmt.Fprintf(&env, "%s=%s\n", v[0], shellQuote(v[1]))
	}
	file := filepath.Join(dir, envFile)
	if err := writePrivate(file, []byte(env.String())); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, announcement, d.base, odata.CanonicalPath, shellQuote(file), shellQuote(caFile), d.tokenCommand(caFile),
		pageRequest, d.Tenants[0].ID, d.Tenants[0].User, d.Tenants[0].Password, d.Tenants[0].SignIn, dir)
	return err
}

// announcement is what the demo prints. Each command works when pasted by
// itself.
const announcement = `
The register is served at
  %[1]s/beta/%[2]s

The reference page's own request:

  curl -i --cacert %[4]s '%[1]s/beta/%[2]s' \
    -H "Authorization: Bearer $(%[5]s)" \
    -H 'Content-type: application/json' -d '%[6]s'

For the SDKs, and for your own commands:

  set -a; . %[3]s; set +a

It sets BASE_URL, TOKEN_URL, TENANT, CLIENT_ID, CLIENT_SECRET and the like, and has clients trust this server:

  export SSL_CERT_FILE=%[4]s NODE_EXTRA_CA_CERTS=%[4]s

Azure Identity and MSAL: authority %[1]s/%[7]s, instance discovery off.
To sign in as a person: %[8]s, password %[9]s, public client %[10]s.
Stop with Ctrl-C; everything is kept in %[11]s.

`

// tokenCommand is a shell command that prints a token of the writer's.
func (d *demo) tokenCommand(caFile string) string {
	t := d.Tenants[0]
	return fmt.Sprintf(`curl -s --cacert %s %s/%s/oauth2/v2.0/token -d grant_type=client_credentials -d client_id=%s -d client_secret=%s -d scope=%s/.default | sed 's/.*"access_token":"\([^"]*\)".*/\1/'`,
		shellQuote(caFile), d.base, t.ID, t.Writer.ID, t.Writer.Secret, graphResource)
}

// shellQuote makes a word of s for a POSIX shell; plain words stay as they are.
func shellQuote(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@", r)
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// pageRequest is the body of the example of Graph's reference page "Create
// managedAllDeviceCertificateState".
const pageRequest = `{
  "@odata.type": "#microsoft.graph.managedAllDeviceCertificateState",
  "certificateRevokeStatus": "pending",
  "certificateRevokeStatusLastChangeDateTime": "2016-12-31T23:59:34.9547208-08:00",
  "managedDeviceDisplayName": "Managed Device Display Name value",
  "userPrincipalName": "User Principal Name value",
  "certificateExpirationDateTime": "2017-01-01T00:02:14.9489247-08:00",
  "certificateIssuerName": "Certificate Issuer Name value",
  "certificateThumbprint": "Certificate Thumbprint value",
  "certificateSerialNumber": "Certificate Serial Number value",
  "certificateSubjectName": "Certificate Subject Name value",
  "certificateKeyUsages": 4,
  "certificateExtendedKeyUsages": "Certificate Extended Key Usages value",
  "certificateIssuanceDateTime": "2016-12-31T23:59:41.5044473-08:00"
}`
