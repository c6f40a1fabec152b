package api_test

import (
	"context"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"certstate/api"
	"certstate/auth"
	"certstate/auth/authtest"
	"certstate/store"
	"certstate/store/storetest"
)

// harness is the API on a real listener, over a real database, with a real
// issuer; two tenants are enrolled and one is suspended.
type harness struct {
	url    string
	issuer *authtest.Issuer
	db     *store.Store
	server *api.Server
	cfg    api.Config // of the server, for tests that need another
}

const (
	suspendedTenant = "77777777-2222-4333-8444-555555555555"
	strangeTenant   = "66666666-2222-4333-8444-555555555555"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

func start(t testing.TB) *harness {
	t.Helper()
	return startOn(t, storetest.Engines[0].URL(t))
}

func startOn(t testing.TB, database string) *harness {
	t.Helper()
	return startAt(t, database, nil, io.Discard)
}

// startAt starts it with a clock of the test's, nil for the time, and logs to log.
func startAt(t testing.TB, database string, now func() time.Time, log io.Writer) *harness {
	t.Helper()
	quiet := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	db, err := store.Open(t.Context(), database, store.Options{Serve: true, Repeats: 5 * time.Minute, Now: now, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	enrolled := []string{authtest.Tenant, authtest.TenantB, suspendedTenant}
	for _, id := range enrolled {
		if _, err := db.AddTenant(t.Context(), id, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.SuspendTenant(t.Context(), suspendedTenant); err != nil {
		t.Fatal(err)
	}
	h := &harness{issuer: authtest.New(t), db: db}
	issuers, err := auth.ParseIssuer(h.issuer.Template())
	if err != nil {
		t.Fatal(err)
	}
	verifier := auth.New(auth.Config{Issuers: issuers, Audiences: []string{authtest.Audience}, Log: quiet,
		Enrolled: func(context.Context) ([]string, error) { return enrolled, nil }})
	srv := httptest.NewUnstartedServer(nil)
	h.url = "http://" + srv.Listener.Addr().String()
	h.cfg = api.Config{BaseURL: h.url, AuthorizationURI: "https://login.example/common/oauth2/authorize",
		ClientID: authtest.Audience, Store: db, Auth: verifier, Now: now, Log: quiet}
	if h.server, err = api.New(t.Context(), h.cfg); err != nil {
		t.Fatal(err)
	}
	srv.Config.Handler = h.server
	srv.Start()
	t.Cleanup(func() {
		srv.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// token is the token of one of the people in the wire scripts.
func (h *harness) token(who string) string {
	of := func(tenant string) map[string]any {
		return map[string]any{"tid": tenant, "iss": h.issuer.URL + "/" + tenant + "/v2.0"}
	}
	switch who {
	case "reader":
		return h.issuer.Token(map[string]any{"roles": []string{authtest.Read}})
	case "nobody":
		return h.issuer.Token(map[string]any{"roles": nil})
	case "user":
		return h.issuer.Token(map[string]any{"idtyp": nil, "scp": authtest.Write, "roles": nil, "oid": authtest.User})
	case "user-with-roles":
		return h.issuer.Token(map[string]any{"idtyp": nil, "scp": "openid", "oid": authtest.User})
	case "other-tenant":
		return h.issuer.Token(of(authtest.TenantB))
	case "suspended":
		return h.issuer.Token(of(suspendedTenant))
	case "stranger":
		return h.issuer.Token(of(strangeTenant))
	case "expired":
		return h.issuer.Token(map[string]any{"exp": 1})
	}
	return h.issuer.Token(nil)
}
