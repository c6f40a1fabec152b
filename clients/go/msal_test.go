package clients

import (
	"net/http"
	"strings"
	"testing"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
)

func confidentialClient(t *testing.T, a app) confidential.Client {
	t.Helper()
	secret, err := confidential.NewCredFromSecret(a.secret)
	if err != nil {
		t.Fatal(err)
	}
	client, err := confidential.New(origin+"/"+a.tenant, a.id, secret, confidential.WithInstanceDiscovery(false))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestMSAL(t *testing.T) {
	client := confidentialClient(t, reader)
	token, err := client.AcquireTokenByCredential(t.Context(), scopes)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("the token reads", func(t *testing.T) {
		resp, body := plain(t, origin+collection+"/$count", http.Header{"Authorization": {"Bearer " + token.AccessToken}})
		if resp.StatusCode != http.StatusOK {
			t.Errorf("status %s: %s", resp.Status, body)
		}
	})

	t.Run("the cache has it", func(t *testing.T) {
		again, err := client.AcquireTokenByCredential(t.Context(), scopes)
		if err != nil {
			t.Fatal(err)
		}
		if again.AccessToken != token.AccessToken {
			t.Error("another token came")
		}
	})

	for _, c := range []struct {
		name  string
		app   app
		scope string
		want  string
	}{
		{"wrong secret", app{reader.tenant, reader.id, "wrong"}, scopes[0], "AADSTS7000215"},
		{"app of another tenant", app{reader.tenant, other.id, other.secret}, scopes[0], "AADSTS700016"},
		{"unknown resource", reader, "https://elsewhere.example/.default", "AADSTS500011"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := confidentialClient(t, c.app).AcquireTokenByCredential(t.Context(), []string{c.scope})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %s", err, c.want)
			}
		})
	}
}
