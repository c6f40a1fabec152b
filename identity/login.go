package identity

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is the one page there is: a sign-in form if Request is set, else a message.
type page struct {
	Tenant  string // its name
	Heading string
	Text    string
	Detail  string // an error with its number

	Request string // sealed for login
	App     string // its name
	User    string // UPN to begin with
	Wrong   bool   // the password was
	Style   template.CSS

	target string // redirect URI, where the form's answer will lead
}

// show writes v. Its policy lets the page run nothing, be framed by nobody, and
// send its form here and on to the app: Chromium holds a redirect that follows
// a form to form-action, too.
func (p *Provider) show(w http.ResponseWriter, status int, v page) {
	v.Style = template.CSS(pageStyle) //nolint:gosec // the embedded style sheet, which nobody else writes
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, v); err != nil {
		http.Error(w, "page could not be built", http.StatusInternalServerError)
		return
	}
	setPolicy(w, "style-src '"+hash(pageStyle)+"'", v.target)
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes())
}

func setPolicy(w http.ResponseWriter, source, target string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"+
		origin(target)+"; "+source)
}

// origin is target's as a CSP source with a blank before it: scheme and host,
// or the scheme alone if it is an app's own.
func origin(target string) string {
	u, err := url.Parse(target)
	switch {
	case err != nil || u.Scheme == "":
		return ""
	case u.Scheme == "https" || u.Scheme == "http":
		return " " + u.Scheme + "://" + u.Host
	}
	return " " + u.Scheme + ":"
}

// hash is a CSP source that allows exactly text.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func (p *Provider) showFault(w http.ResponseWriter, r *http.Request, status int, err *oidc.Error) {
	p.show(w, status, page{
		Tenant:  tenantOf(r.Context()).name,
		Heading: "Sorry, we could not sign you in",
		Detail:  numbered(err).Description,
	})
}

// openLogin returns the authorization request that the form or URL carries and
// its app. It shows a page and returns nil if there is none.
func (p *Provider) openLogin(w http.ResponseWriter, r *http.Request) (session, *client) {
	if status, err := parse(w, r); err != nil {
		p.showFault(w, r, status, err)
		return session{}, nil
	}
	t := tenantOf(r.Context())
	v, ok := p.sealer.open(forLogin, r.Form.Get("request"))
	switch c := t.apps[v.App]; {
	case !ok || v.Tenant != t.id || c == nil:
		p.showFault(w, r, http.StatusBadRequest, faultMalformed.with())
	case v.expired(p.now()):
		p.showFault(w, r, http.StatusBadRequest, faultLoginExpired.with())
	default:
		return v, c
	}
	return session{}, nil
}

func (p *Provider) loginPage(r *http.Request, v session, c *client) page {
	return page{
		Tenant:  tenantOf(r.Context()).name,
		Heading: "Sign in",
		Request: r.Form.Get("request"),
		App:     c.app.Name,
		User:    v.LoginHint,
		target:  v.RedirectURI,
	}
}

func (p *Provider) showLogin(w http.ResponseWriter, r *http.Request) {
	if v, c := p.openLogin(w, r); c != nil {
		p.show(w, http.StatusOK, p.loginPage(r, v, c))
	}
}

// login takes the form and, if the password is right, sends the browser back
// to the app with a code.
func (p *Provider) login(w http.ResponseWriter, r *http.Request) {
	v, c := p.openLogin(w, r)
	if c == nil {
		return
	}
	// An unknown user takes as long as a wrong password and looks the same.
	u, known := tenantOf(r.Context()).byUPN[strings.ToLower(strings.TrimSpace(r.PostForm.Get("username")))]
	if !known {
		u = &User{Password: rand.Text()}
	}
	if !equalSecret(r.PostForm.Get("password"), u.Password) || !known {
		again := p.loginPage(r, v, c)
		again.Wrong, again.User, again.Detail = true, r.PostForm.Get("username"), faultPassword.with().Description
		p.show(w, http.StatusUnprocessableEntity, again)
		return
	}
	p.sendCode(w, r, v, u)
}

// sendCode is the authorization response: RFC 6749 §4.1.2, in the response
// mode the app asked for.
func (p *Provider) sendCode(w http.ResponseWriter, r *http.Request, v session, u *User) {
	code := v
	code.ID, code.User = rand.Text(), u.ID
	code.Expires = p.now().Add(codeLifetime).Unix()
	code.State, code.ResponseMode, code.LoginHint = "", "", ""
	response := &op.CodeResponseType{Code: p.sealer.seal(forCode, code), State: v.State}

	mode, encoder := oidc.ResponseMode(v.ResponseMode), oidc.NewEncoder()
	if mode == oidc.ResponseModeFormPost {
		// The library's page posts itself by an onload attribute.
		setPolicy(w, "script-src 'unsafe-hashes' '"+hash("javascript:document.forms[0].submit()")+"'", v.RedirectURI)
		_ = op.AuthResponseFormPost(w, v.RedirectURI, response, encoder)
		return
	}
	target, err := op.AuthResponseURL(v.RedirectURI, oidc.ResponseTypeCode, mode, response, encoder)
	if err != nil {
		p.showFault(w, r, http.StatusInternalServerError, faultInternal.with())
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, target, http.StatusSeeOther)
}
