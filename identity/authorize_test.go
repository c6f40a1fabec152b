package identity

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestResponseModes(t *testing.T) {
	s := start(t)
	for mode, prefix := range map[string]string{"": back + "?", "query": back + "?", "fragment": back + "#"} {
		r := s.signIn(authorization("response_mode", mode), "alice@contoso.example", password)
		at := r.header.Get("Location")
		params, err := url.ParseQuery(strings.TrimPrefix(at, prefix))
		if err != nil || !strings.HasPrefix(at, prefix) || params.Get("code") == "" || params.Get("state") != "st&te" {
			t.Errorf("%q: %s", mode, at)
		}
	}
	r := s.signIn(authorization("response_mode", "form_post"), "alice@contoso.example", password)
	policy := r.header.Get("Content-Security-Policy")
	if r.status != http.StatusOK || !strings.Contains(r.body, `action="`+back+`"`) || !strings.Contains(r.body, `name="code"`) ||
		!strings.Contains(r.body, `value="st&amp;te"`) || !strings.Contains(policy, "script-src 'unsafe-hashes'") {
		t.Errorf("form_post: %d %s %s", r.status, policy, r.body)
	}
}

// TestAuthorizePages has what must not reach the redirect URI.
func TestAuthorizePages(t *testing.T) {
	s := start(t)
	for _, tt := range []struct {
		name   string
		params url.Values
		code   string
	}{
		{"no client", authorization("client_id", ""), "AADSTS900144"},
		{"unknown app", authorization("client_id", alice), "AADSTS700016"},
		{"no redirect URI", authorization("redirect_uri", ""), "AADSTS50011"},
		{"unknown redirect URI", authorization("redirect_uri", back+"/"), "AADSTS50011"},
		{"app without redirect URI", authorization("client_id", daemon), "AADSTS50011"},
		{"script", authorization("redirect_uri", "javascript:alert(1)"), "AADSTS50011"},
		{"loopback, other path", authorization("client_id", native, "redirect_uri", "http://127.0.0.1:80/other"), "AADSTS50011"},
		{"not loopback", authorization("client_id", native, "redirect_uri", "http://localhost.example:80"), "AADSTS50011"},
		{"https port", authorization("client_id", native, "redirect_uri", "https://spa.example:444/"), "AADSTS50011"},
		{"confidential port", authorization("redirect_uri", "https://app.example:444/back"), "AADSTS50011"},
		{"duplicate", url.Values{"client_id": {web, web}}, "AADSTS9000411"},
		{"too large", authorization("state", strings.Repeat("s", maxAuthorize)), "AADSTS9002313"},
		{"markup", authorization("client_id", "<b>"), "&lt;b&gt;"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := s.authorize(tt.params)
			if r.status != http.StatusBadRequest || r.header.Get("Location") != "" || !strings.Contains(r.body, tt.code) ||
				!strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
				t.Errorf("%d %v %s", r.status, r.header, r.body)
			}
		})
	}
	r, _ := http.NewRequest("PUT", s.base+"/"+contoso+authorizePath, nil)
	if got := s.do(r); got.status != http.StatusMethodNotAllowed {
		t.Error(got.status)
	}
}

// TestAuthorizeErrors has what the app is told at its redirect URI.
func TestAuthorizeErrors(t *testing.T) {
	s := start(t)
	public := authorization("client_id", native, "redirect_uri", "http://localhost:1234", "scope", readAll)
	for _, tt := range []struct {
		name   string
		params url.Values
		kind   string
		code   int // 0: an error in the library's words
	}{
		{"token response", authorization("response_type", "token"), "unauthorized_client", 0},
		{"no response type", authorization("response_type", ""), "invalid_request", 0},
		{"no scope", authorization("scope", ""), "invalid_request", 0},
		{"challenge method", authorization("code_challenge_method", "S512"), "invalid_request", 0},
		{"challenge size", authorization("code_challenge", "short"), "invalid_request", 501491},
		{"request object", authorization("request", "e30.e30."), "request_not_supported", 0},
		{"silent", authorization("prompt", "none"), "login_required", 50058},
		{"not granted", authorization("scope", graph+"/User.Read"), "consent_required", 65001},
		{"unknown resource", authorization("scope", "https://vault.azure.net/.default"), "invalid_resource", 500011},
		{"two resources", authorization("scope", readAll+" api://certstate/"+readAll), "invalid_request", 28000},
		{"public without PKCE", form(public, "code_challenge", ""), "invalid_request", 9002325},
		{"public with plain", form(public, "code_challenge_method", "plain"), "invalid_request", 9002325},
		{"public with default method", form(public, "code_challenge_method", ""), "invalid_request", 9002325},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := s.authorize(tt.params)
			at, found := strings.CutPrefix(r.header.Get("Location"), tt.params.Get("redirect_uri")+"?")
			got, err := url.ParseQuery(at)
			if r.status != http.StatusFound || !found || err != nil || got.Get("error") != tt.kind ||
				codeOf(got.Get("error_description")) != tt.code || got.Get("state") != "st&te" || got.Has("code") {
				t.Errorf("%d %s", r.status, r.header.Get("Location"))
			}
		})
	}
	r := s.authorize(authorization("prompt", "none", "response_mode", "fragment"))
	if !strings.HasPrefix(r.header.Get("Location"), back+"#error=login_required") {
		t.Error(r.header.Get("Location"))
	}
}

func TestRedirectURIs(t *testing.T) {
	s := start(t)
	for _, uri := range []string{"http://localhost", "http://localhost:1", "http://127.0.0.1:65535", "http://127.0.0.1:5/cb", "https://spa.example/", "tool://back"} {
		r := s.signIn(authorization("client_id", native, "redirect_uri", uri, "scope", readAll), "alice@contoso.example", password)
		if r.status != http.StatusSeeOther || !strings.HasPrefix(r.header.Get("Location"), uri+"?code=") {
			t.Errorf("%s: %d %s", uri, r.status, r.header.Get("Location"))
		}
	}
}

func TestAuthorizeByPost(t *testing.T) {
	s := start(t)
	r := s.post("/"+contoso+authorizePath, authorization("prompt", "select_account", "login_hint", `a"b@contoso.example`))
	login := s.get(r.header.Get("Location"))
	if login.status != http.StatusOK || !strings.Contains(login.body, `value="a&#34;b@contoso.example"`) {
		t.Errorf("%d %s", login.status, login.body)
	}
}

func TestLoginPage(t *testing.T) {
	s := start(t)
	login := s.get(s.authorize(authorization()).header.Get("Location"))
	for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"} {
		if got := login.header.Get(name); got != want {
			t.Errorf("%s %q", name, got)
		}
	}
	policy := strings.Split(login.header.Get("Content-Security-Policy"), "; ")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "form-action 'self' https://app.example", "style-src '" + hash(pageStyle) + "'"} {
		if !slices.Contains(policy, want) {
			t.Errorf("no %q in %q", want, policy)
		}
	}
	// The hash in the policy is that of the style as it is written.
	style := login.body[strings.Index(login.body, "<style>")+len("<style>") : strings.Index(login.body, "</style>")]
	if style != pageStyle {
		t.Error("style was changed by the template")
	}
	for _, want := range []string{"Web App", "Contoso", `<label for="username">`, `<label for="password">`, `lang="en"`} {
		if !strings.Contains(login.body, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(login.body, "<script") {
		t.Error("script")
	}
}

func TestWrongPassword(t *testing.T) {
	s := start(t)
	pages := map[string]string{}
	for name, try := range map[string][2]string{
		"wrong password": {"alice@contoso.example", "wrong"},
		"no password":    {"alice@contoso.example", ""},
		"unknown user":   {"alicf@contoso.example", password},
		"no user":        {"", ""},
	} {
		r := s.signIn(authorization(), try[0], try[1])
		if r.status != http.StatusUnprocessableEntity || r.header.Get("Location") != "" ||
			!strings.Contains(r.body, `role="alert"`) || !strings.Contains(r.body, "AADSTS50126") || strings.Contains(r.body, password) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		pages[name] = r.body
		if hidden.FindString(r.body) == "" {
			t.Errorf("%s: no second try", name)
		}
	}
	same := func(page string) string {
		return strings.ReplaceAll(hidden.ReplaceAllString(page, ""), "alicf", "alice")
	}
	if same(pages["wrong password"]) != same(pages["unknown user"]) {
		t.Error("the page tells unknown users from wrong passwords")
	}
}

func TestLoginRefused(t *testing.T) {
	s := start(t)
	at := s.authorize(authorization()).header.Get("Location")
	s.clock.advance(loginLifetime)
	for name, r := range map[string]reply{
		"expired":      s.get(at),
		"no request":   s.get("/" + contoso + loginPath),
		"other tenant": s.get(strings.Replace(at, contoso, fabrikam, 1)),
		"changed":      s.get(at + "A"),
		"a code":       s.get("/" + contoso + loginPath + "?request=" + s.code(authorization())),
	} {
		if r.status != http.StatusBadRequest || !strings.Contains(r.body, "AADSTS") || strings.Contains(r.body, "<form") {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	r, _ := http.NewRequest("POST", s.base+"/"+contoso+loginPath, io.LimitReader(zeros{}, maxBody+1))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if got := s.do(r); got.status != http.StatusRequestEntityTooLarge {
		t.Error(got.status)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = '0'
	}
	return len(b), nil
}

func TestLogout(t *testing.T) {
	s := start(t)
	for query, want := range map[string]string{
		"post_logout_redirect_uri=" + url.QueryEscape(back) + "&state=a%26b": back + "?state=a%26b",
		"post_logout_redirect_uri=" + url.QueryEscape(back):                  back,
		"post_logout_redirect_uri=https://evil.example":                      "",
		"": "",
	} {
		r := s.get("/" + contoso + logoutPath + "?" + query)
		if got := r.header.Get("Location"); got != want || (want == "") != strings.Contains(r.body, "signed out") {
			t.Errorf("%s: %d %q", query, r.status, got)
		}
	}
}

// A sign-in that began before the app was asked again is no worse for it.
func TestLoginTwice(t *testing.T) {
	s := start(t)
	first, second := s.code(authorization()), s.code(authorization())
	s.clock.advance(time.Minute)
	s.tokens(s.token(redemption(second)...))
	s.tokens(s.token(redemption(first)...))
}
