package identity

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

const (
	contoso  = "8a0d5a3e-6e0f-4c5e-9f6b-2d5c5c1f0a01"
	fabrikam = "8a0d5a3e-6e0f-4c5e-9f6b-2d5c5c1f0a02"
	daemon   = "11111111-1111-4111-8111-111111111111" // confidential, no redirect
	web      = "22222222-2222-4222-8222-222222222222" // confidential
	native   = "33333333-3333-4333-8333-333333333333" // public
	alice    = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"

	secret   = "daemon-Secret~1"
	password = "correct horse"
	graph    = "https://graph.microsoft.com"
	readAll  = "DeviceManagementConfiguration.Read.All"
	writeAll = "DeviceManagementConfiguration.ReadWrite.All"
	back     = "https://app.example/back"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
)

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// clock is a time the test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func testConfig() Config {
	return Config{
		BaseURL:   "https://localhost:8443",
		Key:       testKey(),
		Resources: []string{graph, "api://certstate", "5f9b1d2e-0000-4000-8000-000000000001"},
		Tenants: []Tenant{
			{
				ID: contoso, Name: "Contoso",
				Apps: []App{
					{ID: daemon, Name: "Daemon", Secret: secret, Roles: []string{readAll, writeAll}},
					{ID: web, Name: "Web App", Secret: "web-Secret", Scopes: []string{readAll, writeAll}, RedirectURIs: []string{back}},
					{ID: native, Name: "Tool", Public: true, Scopes: []string{readAll},
						RedirectURIs: []string{"http://localhost", "http://127.0.0.1/cb", "https://spa.example/", "tool://back"}},
				},
				Users: []User{{ID: alice, UPN: "Alice@contoso.example", Name: "Alice <A>", Password: password}},
			},
			{ID: fabrikam, Name: "Fabrikam", Apps: []App{{ID: web, Name: "Web App", Secret: "web-Secret", RedirectURIs: []string{back}}}},
		},
	}
}

// site is a provider on a listener.
type site struct {
	*testing.T
	base   string
	client *http.Client // follows no redirect
	clock  *clock
}

func start(t *testing.T) *site {
	t.Helper()
	var p *Provider
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.ServeHTTP(w, r) }))
	srv.StartTLS()
	t.Cleanup(srv.Close)
	c := testConfig()
	at := &clock{t: time.Now().Truncate(time.Second)}
	c.BaseURL, c.Now = srv.URL, at.now
	var err error
	if p, err = New(c); err != nil {
		t.Fatal(err)
	}
	client := srv.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &site{t, srv.URL, client, at}
}

// reply is a response read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

func (s *site) do(r *http.Request) reply {
	s.Helper()
	resp, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(body)}
}

func (s *site) get(path string) reply {
	s.Helper()
	r, err := http.NewRequest("GET", s.address(path), nil)
	if err != nil {
		s.Fatal(err)
	}
	return s.do(r)
}

func (s *site) post(path string, form url.Values) reply {
	s.Helper()
	r, err := http.NewRequest("POST", s.address(path), strings.NewReader(form.Encode()))
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.do(r)
}

func (s *site) address(path string) string {
	if strings.HasPrefix(path, "https:") {
		return path
	}
	return s.base + path
}

// form makes values of "name", "value" pairs; an empty value removes the name.
func form(base url.Values, pairs ...string) url.Values {
	out := url.Values{}
	for name, values := range base {
		out[name] = values
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			out.Del(pairs[i])
		} else {
			out.Set(pairs[i], pairs[i+1])
		}
	}
	return out
}

func (s *site) token(pairs ...string) reply {
	s.Helper()
	return s.post("/"+contoso+tokenPath, form(nil, pairs...))
}

func decode[T any](s *site, body string) (v T) {
	s.Helper()
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		s.Fatalf("%v in %s", err, body)
	}
	return v
}

// tokens wants a successful token response.
func (s *site) tokens(r reply) tokenBody {
	s.Helper()
	if r.status != http.StatusOK {
		s.Fatalf("%d %s", r.status, r.body)
	}
	if got := r.header.Get("Cache-Control"); got != "no-store" {
		s.Errorf("Cache-Control %q", got)
	}
	return decode[tokenBody](s, r.body)
}

// claims verifies a token with the published keys and returns its claims.
func (s *site) claims(token string) map[string]any {
	s.Helper()
	set := decode[jose.JSONWebKeySet](s, s.get("/"+contoso+keysPath).body)
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		s.Fatal(err)
	}
	keys := set.Key(jws.Signatures[0].Header.KeyID)
	if len(keys) != 1 {
		s.Fatalf("kid %q: %d keys", jws.Signatures[0].Header.KeyID, len(keys))
	}
	payload, err := jws.Verify(keys[0])
	if err != nil {
		s.Fatal(err)
	}
	raw, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if header := decode[map[string]string](s, string(raw)); header["typ"] != "JWT" || header["alg"] != "RS256" {
		s.Errorf("header %v", header)
	}
	return decode[map[string]any](s, string(payload))
}

// authorization is a valid authorization request of web.
func authorization(pairs ...string) url.Values {
	return form(url.Values{
		"client_id":             {web},
		"response_type":         {"code"},
		"redirect_uri":          {back},
		"scope":                 {"openid profile offline_access " + graph + "/" + readAll},
		"state":                 {"st&te"},
		"nonce":                 {"n-1"},
		"code_challenge":        {oidc.NewSHACodeChallenge(verifier)},
		"code_challenge_method": {"S256"},
	}, pairs...)
}

func (s *site) authorize(params url.Values) reply {
	s.Helper()
	return s.get("/" + contoso + authorizePath + "?" + params.Encode())
}

var hidden = regexp.MustCompile(`name="request" value="([^"]+)"`)

// signIn goes through the sign-in page and returns the answer to its form.
func (s *site) signIn(params url.Values, upn, password string) reply {
	s.Helper()
	r := s.authorize(params)
	if r.status != http.StatusFound {
		s.Fatalf("authorize: %d %s", r.status, r.body)
	}
	login := s.get(r.header.Get("Location"))
	found := hidden.FindStringSubmatch(login.body)
	if login.status != http.StatusOK || found == nil {
		s.Fatalf("login: %d %s", login.status, login.body)
	}
	return s.post("/"+contoso+loginPath, url.Values{
		"request": {html.UnescapeString(found[1])}, "username": {upn}, "password": {password}})
}

// code signs alice in and returns the code.
func (s *site) code(params url.Values) string {
	s.Helper()
	r := s.signIn(params, "alice@Contoso.example", password)
	if r.status != http.StatusSeeOther {
		s.Fatalf("sign in: %d %s", r.status, r.body)
	}
	u, err := url.Parse(r.header.Get("Location"))
	if err != nil {
		s.Fatal(err)
	}
	if got := u.Query().Get("state"); got != params.Get("state") {
		s.Errorf("state %q", got)
	}
	return u.Query().Get("code")
}

// redemption is the token request for a code of authorization().
func redemption(code string, pairs ...string) []string {
	return append([]string{"grant_type", "authorization_code", "client_id", web, "client_secret", "web-Secret",
		"redirect_uri", back, "code_verifier", verifier, "code", code}, pairs...)
}
