// Package clients drives a running "certstate demo" with other people's
// clients, unmodified. ../run.sh starts one and sets the variables that the
// tests read.
package clients

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// The demo's addresses and audience; see TestMain.
var (
	origin string // https://HOST:PORT
	scopes []string
)

// collection is the path of the records.
const collection = "/beta/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates"

// app is an application of one of the demo's tenants.
type app struct{ tenant, id, secret string }

var writer, reader, other app

func TestMain(m *testing.M) {
	if os.Getenv("BASE_URL") == "" {
		fmt.Fprintln(os.Stderr, "BASE_URL is not set: use ../run.sh, or start certstate demo and source its demo.env")
		os.Exit(2)
	}
	log.SetOutput(io.Discard) // HashiCorp's SDK logs each request
	origin = strings.TrimSuffix(os.Getenv("BASE_URL"), "/beta")
	scopes = []string{os.Getenv("AUDIENCE") + "/.default"}
	writer = app{os.Getenv("TENANT"), os.Getenv("CLIENT_ID"), os.Getenv("CLIENT_SECRET")}
	reader = app{os.Getenv("TENANT"), os.Getenv("READER_CLIENT_ID"), os.Getenv("READER_CLIENT_SECRET")}
	other = app{os.Getenv("TENANT_B"), os.Getenv("CLIENT_ID_B"), os.Getenv("CLIENT_SECRET_B")}
	os.Exit(m.Run())
}

// credential is Azure Identity's, pointed at the demo's authority.
func credential(t *testing.T, a app) azcore.TokenCredential {
	t.Helper()
	options := &azidentity.ClientSecretCredentialOptions{DisableInstanceDiscovery: true}
	options.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: origin + "/"}
	cred, err := azidentity.NewClientSecretCredential(a.tenant, a.id, a.secret, options)
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

// plain gets a URL with net/http, and the reader's token if the headers have
// none. The response's body can be read again.
func plain(t *testing.T, url string, headers http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = headers
	if headers.Get("Authorization") == "" {
		token, err := confidentialClient(t, reader).AcquireTokenByCredential(t.Context(), scopes)
		if err != nil {
			t.Fatal(err)
		}
		headers.Set("Authorization", "Bearer "+token.AccessToken)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, string(body)
}

// pageValues are those of the example on Graph's page "Create
// managedAllDeviceCertificateState", as they are on the wire.
var pageValues = map[string]string{
	"id":                      "987c6a17-6a17-987c-176a-7c98176a7c98",
	"certificateRevokeStatus": "pending",
	"certificateRevokeStatusLastChangeDateTime": "2016-12-31T23:59:34.9547208-08:00",
	"managedDeviceDisplayName":                  "Managed Device Display Name value",
	"userPrincipalName":                         "User Principal Name value",
	"certificateExpirationDateTime":             "2017-01-01T00:02:14.9489247-08:00",
	"certificateIssuerName":                     "Certificate Issuer Name value",
	"certificateThumbprint":                     "Certificate Thumbprint value",
	"certificateSerialNumber":                   "Certificate Serial Number value",
	"certificateSubjectName":                    "Certificate Subject Name value",
	"certificateKeyUsages":                      "4",
	"certificateExtendedKeyUsages":              "Certificate Extended Key Usages value",
	"certificateIssuanceDateTime":               "2016-12-31T23:59:41.5044473-08:00",
}

// text is a property as it is on the wire, less the quotes.
func text[T any](p *T) string {
	if p == nil {
		return "null"
	}
	if at, ok := any(*p).(time.Time); ok {
		return at.Format(time.RFC3339Nano)
	}
	return fmt.Sprint(*p)
}

// same compares a record with what it should be, property by property.
func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s is %s, want %s", name, got[name], want[name])
		}
	}
}

// eachOnce checks that every id was seen once, and all of them were.
func eachOnce(t *testing.T, seen map[string]int, total int) {
	t.Helper()
	for id, n := range seen {
		if n != 1 {
			t.Errorf("id %s was on %d pages", id, n)
		}
	}
	if len(seen) != total || total < 250 {
		t.Errorf("%d records were seen and %d counted, want at least 250", len(seen), total)
	}
}

func pointer[T any](v T) *T { return &v }
