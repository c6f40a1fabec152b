package identity

import (
	"bytes"
	"encoding/base64"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

func TestClientCredentials(t *testing.T) {
	s := start(t)
	for scope, aud := range map[string]string{
		graph + "/.default":                                     graph,
		graph + "//.default":                                    graph + "/",
		"api://certstate/.default":                              "api://certstate",
		"5f9b1d2e-0000-4000-8000-000000000001/.default":         "5f9b1d2e-0000-4000-8000-000000000001",
		"openid offline_access profile  " + graph + "/.default": graph,
	} {
		got := s.tokens(s.token("grant_type", "client_credentials", "client_id", strings.ToUpper(daemon), "client_secret", secret, "scope", scope))
		if got.TokenType != "Bearer" || got.ExpiresIn != 3600 || got.ExtExpiresIn != 3600 ||
			got.Scope != "" || got.RefreshToken != "" || got.IDToken != "" || got.ClientInfo != "" {
			t.Errorf("%s: %+v", scope, got)
		}
		c := s.claims(got.AccessToken)
		now := float64(s.clock.now().Unix())
		want := map[string]any{
			"aud": aud, "iss": s.base + "/" + contoso + "/v2.0", "tid": contoso, "ver": "2.0",
			"iat": now, "nbf": now, "exp": now + 3600,
			"azp": daemon, "azpacr": "1", "idtyp": "app", "roles": []any{readAll, writeAll},
			"oid": c["oid"], "sub": c["oid"], "uti": c["uti"],
		}
		if !reflect.DeepEqual(c, want) {
			t.Errorf("%s:\n got %v\nwant %v", scope, c, want)
		}
		if oid, _ := c["oid"].(string); len(oid) != 36 || oid == daemon {
			t.Errorf("oid %q", oid)
		}
		if uti, _ := c["uti"].(string); len(uti) < 20 {
			t.Errorf("uti %q", uti)
		}
	}
}

func TestClientCredentialsByBasic(t *testing.T) {
	s := start(t)
	request := func(id, secret string) reply {
		r, _ := http.NewRequest("POST", s.base+"/"+contoso+tokenPath,
			strings.NewReader(url.Values{"grant_type": {"client_credentials"}, "scope": {graph + "/.default"}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
		return s.do(r)
	}
	if c := s.claims(s.tokens(request(daemon, secret)).AccessToken); c["azp"] != daemon {
		t.Error(c)
	}
	r := request(daemon, "wrong")
	if r.status != http.StatusUnauthorized || !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("%d %v", r.status, r.header)
	}
}

func TestAuthorizationCode(t *testing.T) {
	s := start(t)
	got := s.tokens(s.token(redemption(s.code(authorization()))...))
	if want := "openid profile " + graph + "/" + readAll; got.Scope != want {
		t.Errorf("scope %q, want %q", got.Scope, want)
	}
	info, _ := base64.RawURLEncoding.DecodeString(got.ClientInfo)
	if want := `{"uid":"` + alice + `","utid":"` + contoso + `"}`; string(info) != want {
		t.Errorf("client_info %s", info)
	}
	now := float64(s.clock.now().Unix())
	access := s.claims(got.AccessToken)
	want := map[string]any{
		"aud": graph, "iss": s.base + "/" + contoso + "/v2.0", "tid": contoso, "ver": "2.0",
		"iat": now, "nbf": now, "exp": now + 3600,
		"azp": web, "azpacr": "1", "scp": readAll,
		"name": "Alice <A>", "preferred_username": "Alice@contoso.example",
		"oid": alice, "sub": access["sub"], "uti": access["uti"],
	}
	if !reflect.DeepEqual(access, want) {
		t.Errorf("access token:\n got %v\nwant %v", access, want)
	}
	id := s.claims(got.IDToken)
	want = map[string]any{
		"aud": web, "iss": want["iss"], "tid": contoso, "ver": "2.0", "nonce": "n-1",
		"iat": now, "nbf": now, "exp": now + 3600,
		"name": "Alice <A>", "preferred_username": "Alice@contoso.example",
		"oid": alice, "sub": access["sub"], "uti": id["uti"],
	}
	if !reflect.DeepEqual(id, want) {
		t.Errorf("ID token:\n got %v\nwant %v", id, want)
	}
	if id["uti"] == access["uti"] || id["sub"] == alice || id["sub"] == "" {
		t.Errorf("%v %v", id, access)
	}
}

func TestPublicClient(t *testing.T) {
	s := start(t)
	const loopback = "http://localhost:49152"
	code := s.code(authorization("client_id", native, "redirect_uri", loopback, "scope", "openid "+readAll, "nonce", ""))
	got := s.tokens(s.token("grant_type", "authorization_code", "client_id", native, "redirect_uri", loopback, "code_verifier", verifier, "code", code))
	if c := s.claims(got.AccessToken); c["azpacr"] != "0" || c["azp"] != native || c["aud"] != graph || c["scp"] != readAll {
		t.Error(c)
	}
	if got.RefreshToken != "" || got.Scope != "openid "+readAll {
		t.Errorf("%+v", got)
	}
}

// TestScopes has web ask as a user; its App may have readAll and writeAll.
func TestScopes(t *testing.T) {
	s := start(t)
	for _, tt := range []struct{ ask, aud, scp, scope string }{
		{readAll, graph, readAll, readAll},
		{graph + "/" + writeAll + " " + graph + "/" + readAll, graph, writeAll + " " + readAll, graph + "/" + writeAll + " " + graph + "/" + readAll},
		{graph + "//" + readAll, graph + "/", readAll, graph + "//" + readAll},
		{"api://certstate/" + readAll + " api://certstate/Other", "api://certstate", readAll, "api://certstate/" + readAll},
		{"api://certstate/.default", "api://certstate", readAll + " " + writeAll, "api://certstate/" + readAll + " api://certstate/" + writeAll + " api://certstate/.default"},
		{".default", graph, readAll + " " + writeAll, readAll + " " + writeAll + " .default"},
		{"openid email", graph, "openid email", "openid email"},
	} {
		got := s.tokens(s.token(redemption(s.code(authorization("scope", tt.ask)))...))
		c := s.claims(got.AccessToken)
		if c["aud"] != tt.aud || c["scp"] != tt.scp || got.Scope != tt.scope || c["roles"] != nil || c["idtyp"] != nil {
			t.Errorf("%s: aud %v scp %v scope %q", tt.ask, c["aud"], c["scp"], got.Scope)
		}
		if (got.IDToken != "") != strings.Contains(tt.ask, "openid") {
			t.Errorf("%s: ID token %q", tt.ask, got.IDToken)
		}
	}
}

// TestScopesOfRedemption: what is asked for with the code counts.
func TestScopesOfRedemption(t *testing.T) {
	s := start(t)
	got := s.tokens(s.token(redemption(s.code(authorization("scope", readAll)), "scope", "openid offline_access api://certstate/"+writeAll)...))
	if c := s.claims(got.AccessToken); c["aud"] != "api://certstate" || c["scp"] != writeAll || got.IDToken == "" || got.RefreshToken == "" {
		t.Errorf("%+v", got)
	}
	r := s.token(redemption(s.code(authorization()), "scope", graph+"/User.Read")...)
	if e := decode[errorBody](s, r.body); e.Codes[0] != 65001 {
		t.Error(r.body)
	}
}

func TestRefresh(t *testing.T) {
	s := start(t)
	first := s.tokens(s.token(redemption(s.code(authorization()))...))
	refresh := func(token string, pairs ...string) reply {
		return s.token(append([]string{"grant_type", "refresh_token", "client_id", web, "client_secret", "web-Secret", "refresh_token", token}, pairs...)...)
	}
	s.clock.advance(23 * time.Hour)
	second := s.tokens(refresh(first.RefreshToken))
	if second.RefreshToken == "" || second.RefreshToken == first.RefreshToken || second.Scope != first.Scope {
		t.Errorf("%+v", second)
	}
	if c := s.claims(second.IDToken); c["nonce"] != nil || c["oid"] != alice {
		t.Error(c)
	}
	other := s.tokens(refresh(second.RefreshToken, "scope", "offline_access api://certstate/.default"))
	if c := s.claims(other.AccessToken); c["aud"] != "api://certstate" || c["scp"] != readAll+" "+writeAll {
		t.Error(c)
	}
	s.clock.advance(2 * time.Hour)
	s.tokens(refresh(other.RefreshToken))
	for name, r := range map[string]struct {
		reply
		code int
	}{
		"expired":         {refresh(first.RefreshToken), 70008},
		"not granted":     {refresh(second.RefreshToken, "scope", graph+"/User.Read"), 65001},
		"other app":       {s.token("grant_type", "refresh_token", "client_id", native, "refresh_token", second.RefreshToken), 70000},
		"an access token": {refresh(second.AccessToken), 9002313},
	} {
		got := decode[errorBody](s, r.body)
		if r.status != http.StatusBadRequest || got.Error != "invalid_grant" || !slices.Equal(got.Codes, []int{r.code}) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if (got.Suberror == "consent_required") != (r.code == 65001) {
			t.Errorf("%s: suberror %q", name, got.Suberror)
		}
	}
}

func TestTokenErrors(t *testing.T) {
	s := start(t)
	app := url.Values{"grant_type": {"client_credentials"}, "client_id": {daemon}, "client_secret": {secret}, "scope": {graph + "/.default"}}
	code := url.Values{"grant_type": {"authorization_code"}, "client_id": {web}, "client_secret": {"web-Secret"}, "redirect_uri": {back}, "code": {"x"}}
	for _, tt := range []struct {
		name   string
		form   url.Values
		status int
		kind   string
		code   int
	}{
		{"no grant type", form(app, "grant_type", ""), 400, "invalid_request", 900144},
		{"password grant", form(app, "grant_type", "password"), 400, "unsupported_grant_type", 70003},
		{"device grant", form(app, "grant_type", "urn:ietf:params:oauth:grant-type:device_code"), 400, "unsupported_grant_type", 70003},
		{"no client", form(app, "client_id", ""), 400, "invalid_request", 900144},
		{"unknown app", form(app, "client_id", alice), 400, "unauthorized_client", 700016},
		{"wrong secret", form(app, "client_secret", "x"), 401, "invalid_client", 7000215},
		{"no secret", form(app, "client_secret", ""), 401, "invalid_client", 7000216},
		{"no secret for code", form(code, "client_secret", ""), 401, "invalid_client", 7000218},
		{"assertion", form(app, "client_secret", "", "client_assertion", "x.y.z", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), 401, "invalid_client", 700027},
		{"assertion and secret", form(app, "client_assertion", "x.y.z", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), 400, "invalid_request", 9002313},
		{"public app, no secret", form(app, "client_id", native, "client_secret", ""), 401, "invalid_client", 7000216},
		{"public app, secret", form(app, "client_id", native), 401, "invalid_client", 700025},
		{"duplicate", url.Values{"grant_type": {"client_credentials", "client_credentials"}}, 400, "invalid_request", 9000411},
		{"no scope", form(app, "scope", ""), 400, "invalid_request", 900144},
		{"not .default", form(app, "scope", graph+"/"+readAll), 400, "invalid_scope", 1002012},
		{"OIDC scope only", form(app, "scope", "openid"), 400, "invalid_scope", 1002012},
		{"bad scope", form(app, "scope", graph+"/"), 400, "invalid_scope", 70011},
		{"scope with quote", form(app, "scope", `"/.default`), 400, "invalid_scope", 70011},
		{".default and more", form(app, "scope", graph+"/.default "+graph+"/"+readAll), 400, "invalid_scope", 70011},
		{"unknown resource", form(app, "scope", "https://vault.azure.net/.default"), 400, "invalid_resource", 500011},
		{"resource with two slashes", form(app, "scope", graph+"///.default"), 400, "invalid_resource", 500011},
		{"two resources", form(app, "scope", graph+"/.default api://certstate/.default"), 400, "invalid_request", 28000},
		{"too many scopes", form(app, "scope", strings.Repeat("openid ", maxScopes)+graph+"/.default"), 400, "invalid_request", 9002313},
		{"no code", form(code, "code", ""), 400, "invalid_request", 900144},
		{"no redirect URI", form(code, "redirect_uri", ""), 400, "invalid_request", 900144},
		{"garbage code", code, 400, "invalid_grant", 9002313},
		{"no refresh token", form(code, "grant_type", "refresh_token"), 400, "invalid_request", 900144},
		{"garbage refresh token", form(code, "grant_type", "refresh_token", "refresh_token", "AAAA"), 400, "invalid_grant", 9002313},
		{"too large", form(app, "x", strings.Repeat("x", maxBody)), 413, "invalid_request", 9002313},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := s.post("/"+contoso+tokenPath, tt.form)
			got := decode[errorBody](s, r.body)
			if r.status != tt.status || got.Error != tt.kind || !slices.Equal(got.Codes, []int{tt.code}) {
				t.Errorf("%d %s", r.status, r.body)
			}
			if codeOf(got.Description) != tt.code || !strings.Contains(got.Description, "Trace ID: "+got.Trace) || got.Correlation == "" || got.URI == "" {
				t.Errorf("%+v", got)
			}
			if _, err := time.Parse("2006-01-02 15:04:05Z", got.Timestamp); err != nil {
				t.Error(err)
			}
			if strings.Contains(r.body, secret) {
				t.Error("secret echoed")
			}
		})
	}
}

func TestTokenIsPostOnly(t *testing.T) {
	s := start(t)
	r := s.get("/" + contoso + tokenPath + "?grant_type=client_credentials")
	if got := decode[errorBody](s, r.body); r.status != http.StatusMethodNotAllowed || got.Codes[0] != 900561 {
		t.Errorf("%d %s", r.status, r.body)
	}
	query := url.Values{"client_id": {daemon}, "client_secret": {secret}, "scope": {graph + "/.default"}}.Encode()
	r = s.post("/"+contoso+tokenPath+"?"+query, form(nil, "grant_type", "client_credentials"))
	if got := decode[errorBody](s, r.body); r.status != http.StatusBadRequest || got.Codes[0] != 900144 {
		t.Errorf("credentials in the URL: %d %s", r.status, r.body)
	}
}

func TestCorrelation(t *testing.T) {
	s := start(t)
	r, _ := http.NewRequest("POST", s.base+"/"+contoso+tokenPath, nil)
	r.Header.Set("client-request-id", alice)
	if got := decode[errorBody](s, s.do(r).body); got.Correlation != alice {
		t.Error(got.Correlation)
	}
}

func TestCodeIsBoundAndSpentOnce(t *testing.T) {
	s := start(t)
	for _, tt := range []struct {
		name   string
		change []string
		status int
		code   int
	}{
		{"wrong verifier", []string{"code_verifier", strings.Repeat("x", 43)}, 400, 501481},
		{"no verifier", []string{"code_verifier", ""}, 400, 50148},
		{"other redirect URI", []string{"redirect_uri", "https://app.example/other"}, 401, 500112},
		{"used", nil, 400, 54005},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pairs := redemption(s.code(authorization()))
			if tt.change == nil {
				s.tokens(s.token(pairs...))
			}
			r := s.token(append(pairs, tt.change...)...)
			if got := decode[errorBody](s, r.body); r.status != tt.status || got.Codes[0] != tt.code {
				t.Errorf("%d %s", r.status, r.body)
			}
			if got := decode[errorBody](s, s.token(pairs...).body); got.Codes[0] != 54005 {
				t.Errorf("second attempt: %+v", got)
			}
		})
	}
}

func TestCodeOfAnother(t *testing.T) {
	s := start(t)
	code := s.code(authorization())
	refused := func(name string, r reply, want int) {
		t.Helper()
		if got := decode[errorBody](s, r.body); r.status != http.StatusBadRequest || got.Error != "invalid_grant" || got.Codes[0] != want {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	refused("app", s.token(redemption(code, "client_id", native, "client_secret", "")...), 70000)
	refused("tenant", s.post("/"+fabrikam+tokenPath, form(nil, redemption(code)...)), 700005)
	refused("use", s.token("grant_type", "refresh_token", "client_id", web, "client_secret", "web-Secret", "refresh_token", code), 9002313)
	s.tokens(s.token(redemption(code)...)) // none of these spent it

	code = s.code(authorization())
	s.clock.advance(codeLifetime)
	refused("time", s.token(redemption(code)...), 70008)

	code = s.code(authorization("code_challenge", "", "code_challenge_method", ""))
	refused("verifier without challenge", s.token(redemption(code)...), 501481)
	code = s.code(authorization("code_challenge", "", "code_challenge_method", ""))
	s.tokens(s.token(redemption(code, "code_verifier", "")...))
}

func TestRedeemedIsBounded(t *testing.T) {
	var r redeemed
	now := time.Unix(1000, 0)
	v := session{Expires: 1600}
	for i := range maxRedeemed {
		v.ID = string(rune(i + 1<<16))
		if first, full := r.once(v, now); !first || full {
			t.Fatal(i, first, full)
		}
	}
	v.ID = "one more"
	if first, full := r.once(v, now); first || !full {
		t.Error("full, but taken")
	}
	if first, full := r.once(v, time.Unix(1600, 0)); !first || full {
		t.Error("room after the others expired, but not taken")
	}
	if n := len(slices.Collect(maps.Keys(r.ids))); n != 1 {
		t.Error(n)
	}
}

// TestOneOfManyRedeems has all use one code at once.
func TestOneOfManyRedeems(t *testing.T) {
	s := start(t)
	pairs := redemption(s.code(authorization()))
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if r := s.token(pairs...); r.status == http.StatusOK {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Error(won.Load())
	}
}

// TestNoSecretIsLogged reads what the library logs of good and bad requests.
func TestNoSecretIsLogged(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer slog.SetDefault(before)

	s := start(t)
	code := s.code(authorization())
	got := s.tokens(s.token(redemption(code)...))
	s.token(redemption(code)...)
	s.token(redemption(code, "client_secret", "another-secret")...)
	s.token(redemption(code, "client_id", native)...)
	s.token(redemption(code, "grant_type", "refresh_token", "refresh_token", got.RefreshToken[1:])...)
	s.signIn(authorization(), "alice@contoso.example", "another-password")
	s.authorize(authorization("prompt", "none"))

	if !strings.Contains(log.String(), "AADSTS7000215") {
		t.Errorf("nothing logged: %s", log.String())
	}
	for _, secret := range []string{"web-Secret", "another-secret", password, "another-password", verifier, code, got.AccessToken, got.RefreshToken[1:], got.IDToken} {
		if strings.Contains(log.String(), secret) || strings.Contains(log.String(), url.QueryEscape(secret)) {
			t.Errorf("%q in %s", secret, log.String())
		}
	}
}

func FuzzScopes(f *testing.F) {
	for _, s := range []string{"openid " + graph + "/.default", readAll, graph + "//" + readAll, "//", "api://certstate/ x", ".default"} {
		f.Add(s)
	}
	p, err := New(testConfig())
	if err != nil {
		f.Fatal(err)
	}
	t := p.tenants[contoso]
	f.Fuzz(func(test *testing.T, scope string) {
		q, err := p.parseScopes(t, strings.Split(scope, " "))
		if err != nil {
			if e, ok := errors.AsType[*oidc.Error](err); !ok || codeOf(e.Description) == 0 {
				test.Errorf("no number: %v", err)
			}
			return
		}
		if !p.resources[strings.TrimSuffix(q.resource, "/")] || q.all && len(q.byName) > 0 {
			test.Errorf("%q: %+v", scope, q)
		}
		names, _, err := q.grant(&t.apps[web].app)
		for _, name := range names {
			if err != nil || name != readAll && name != writeAll {
				test.Errorf("%q: %v %v", scope, names, err)
			}
		}
	})
}
