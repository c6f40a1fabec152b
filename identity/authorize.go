package identity

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// authorize is the authorization endpoint: RFC 6749 §3.1, OIDC Core §3.1.2.
// Errors that may not go to the redirect URI become a page.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		p.showFault(w, r, http.StatusMethodNotAllowed, faultMalformed.with())
		return
	}
	if status, err := parse(w, r); err != nil {
		p.showFault(w, r, status, err)
		return
	}
	if len(r.Form.Encode()) > maxAuthorize {
		p.showFault(w, r, http.StatusBadRequest, faultTooLarge.with())
		return
	}
	p.dress(w, r, func(err *oidc.Error) { p.showFault(w, r, statusOf(err), err) })
}

// VerifyAuthRequest finds the app and checks the redirect URI, without which no
// error can be handed to it.
func (s *server) VerifyAuthRequest(ctx context.Context, r *op.Request[oidc.AuthRequest]) (*op.ClientRequest[oidc.AuthRequest], error) {
	if r.Data.ClientID == "" {
		return nil, faultMissing.with("client_id")
	}
	c, err := s.client(tenantOf(ctx), r.Data.ClientID)
	if err != nil {
		return nil, err
	}
	if err := op.ValidateAuthReqRedirectURI(c, r.Data.RedirectURI, oidc.ResponseTypeCode); err != nil {
		return nil, faultRedirect.with(r.Data.RedirectURI, c.app.ID)
	}
	return &op.ClientRequest[oidc.AuthRequest]{Request: r, Client: c}, nil
}

// Authorize sends the browser to the sign-in page. op has checked redirect URI,
// prompt, response type and code_challenge_method by now, and hands what fails
// here to the redirect URI.
func (s *server) Authorize(ctx context.Context, r *op.ClientRequest[oidc.AuthRequest]) (*op.Redirect, error) {
	t, c, ask := tenantOf(ctx), r.Client.(*client), r.Data
	switch {
	case ask.RequestParam != "":
		return nil, oidc.ErrRequestNotSupported()
	case slices.Contains(ask.Prompt, oidc.PromptNone):
		return nil, faultNotSignedIn.with()
	case c.app.Public && (ask.CodeChallenge == "" || ask.CodeChallengeMethod != oidc.CodeChallengeMethodS256):
		return nil, faultPKCE.with()
	case ask.CodeChallenge != "" && (len(ask.CodeChallenge) < 43 || len(ask.CodeChallenge) > 128): // RFC 7636 §4.2
		return nil, faultChallenge.with()
	}
	q, err := s.p.parseScopes(t, ask.Scopes)
	if err != nil {
		return nil, err
	}
	if _, _, err := q.grant(&c.app); err != nil {
		// invalid_grant is an error of the token endpoint.
		return nil, errConsentRequired().WithDescription("%s", faultConsent.with(c.app.ID, c.app.Name).Description)
	}
	sealed := s.p.sealer.seal(forLogin, session{
		Expires:         s.p.now().Add(loginLifetime).Unix(),
		Tenant:          t.id,
		App:             c.app.ID,
		Scopes:          ask.Scopes,
		RedirectURI:     ask.RedirectURI,
		Challenge:       ask.CodeChallenge,
		ChallengeMethod: string(ask.CodeChallengeMethod),
		Nonce:           ask.Nonce,
		State:           ask.State,
		ResponseMode:    string(ask.ResponseMode),
		LoginHint:       ask.LoginHint,
	})
	return op.NewRedirect(s.p.url(t, loginPath) + "?" + url.Values{"request": {sealed}}.Encode()), nil
}

// logout has no session to end. It sends the browser to
// post_logout_redirect_uri if an app of the tenant has it for a redirect URI,
// else it says so (OIDC RP-Initiated Logout §2).
func (p *Provider) logout(w http.ResponseWriter, r *http.Request) {
	if status, err := parse(w, r); err != nil {
		p.showFault(w, r, status, err)
		return
	}
	target := r.Form.Get("post_logout_redirect_uri")
	for _, c := range tenantOf(r.Context()).apps {
		if target == "" || !slices.Contains(c.app.RedirectURIs, target) {
			continue
		}
		if state := r.Form.Get("state"); state != "" {
			u, _ := url.Parse(target) // checked by New
			query := u.Query()
			query.Set("state", state)
			u.RawQuery = query.Encode()
			target = u.String()
		}
		http.Redirect(w, r, target, http.StatusSeeOther)
		return
	}
	p.show(w, http.StatusOK, page{Tenant: tenantOf(r.Context()).name, Heading: "You are signed out", Text: "It is safe to close this window."})
}
