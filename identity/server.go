package identity

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// server is what op calls once it has parsed a request. The tenant is in the
// context; errors carry their AADSTS number at the head of the description.
type server struct {
	op.UnimplementedServer
	p *Provider
}

// needed lists the parameters of each grant type that is supported.
var needed = map[oidc.GrantType][]string{
	oidc.GrantTypeClientCredentials: {"scope"},
	oidc.GrantTypeCode:              {"code", "redirect_uri"},
	oidc.GrantTypeRefreshToken:      {"refresh_token"},
}

// token is the token endpoint: RFC 6749 §3.2. It asks for what op would miss
// in words of its own, then lets op decide.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	anyOrigin(w)
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		p.writeFault(w, r, http.StatusMethodNotAllowed, faultNotPost.with(r.Method))
		return
	}
	// Parameters in the URL do not count: credentials there end up in logs, and
	// RFC 6749 §2.3.1 forbids them.
	bare := *r.URL
	bare.RawQuery = ""
	r.URL = &bare
	if status, err := parse(w, r); err != nil {
		p.writeFault(w, r, status, err)
		return
	}
	if err := complete(r); err != nil {
		p.writeFault(w, r, statusOf(err), err)
		return
	}
	p.dress(w, r, func(err *oidc.Error) {
		if status := statusOf(err); status != http.StatusUnauthorized || r.Header.Get("Authorization") == "" {
			p.writeFault(w, r, status, err)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="`+p.base+`"`) // RFC 6749 §5.2
		p.writeFault(w, r, http.StatusUnauthorized, err)
	})
}

// complete reports a parameter missing from a token request.
func complete(r *http.Request) *oidc.Error {
	grant := r.Form.Get("grant_type")
	params, ok := needed[oidc.GrantType(grant)]
	switch {
	case grant == "":
		return faultMissing.with("grant_type")
	case !ok:
		return faultGrantType.with(grant)
	}
	if _, _, basic := r.BasicAuth(); !basic {
		params = slices.Insert(slices.Clone(params), 0, "client_id")
	}
	for _, name := range params {
		if r.Form.Get(name) == "" {
			return faultMissing.with(name)
		}
	}
	return nil
}

// client returns the app with an id.
func (s *server) client(t *tenant, id string) (*client, error) {
	c := t.apps[strings.ToLower(id)]
	if c == nil {
		return nil, faultUnknownApp.with(id, t.name)
	}
	return c, nil
}

// VerifyClient authenticates the app of a token request (RFC 6749 §2.3): by
// its secret, or not at all if it is public.
func (s *server) VerifyClient(ctx context.Context, r *op.Request[op.ClientCredentials]) (op.Client, error) {
	c, err := s.client(tenantOf(ctx), r.Data.ClientID)
	if err != nil {
		return nil, err
	}
	appOnly := oidc.GrantType(r.Form.Get("grant_type")) == oidc.GrantTypeClientCredentials
	presented := r.Data.ClientSecret != "" || r.Data.ClientAssertion != ""
	switch {
	case c.app.Public && presented:
		return nil, faultPublic.with()
	case !presented && appOnly:
		return nil, faultNoSecretApp.with()
	case c.app.Public:
		return c, nil
	case !presented:
		return nil, faultNoSecret.with()
	case r.Data.ClientAssertion != "":
		return nil, faultAssertion.with()
	case !equalSecret(r.Data.ClientSecret, c.app.Secret):
		return nil, faultSecret.with(c.app.ID)
	}
	return c, nil
}

// ClientCredentialsExchange is RFC 6749 §4.4; the scope must be a .default.
func (s *server) ClientCredentialsExchange(ctx context.Context, r *op.ClientRequest[oidc.ClientCredentialsRequest]) (*op.Response, error) {
	t := tenantOf(ctx)
	q, err := s.p.parseScopes(t, r.Data.Scope)
	if err != nil {
		return nil, err
	}
	if !q.all {
		return nil, faultNotDefault.with(r.Data.Scope)
	}
	return answer(s.p.appToken(t, r.Client.(*client), q.resource))
}

// CodeExchange is RFC 6749 §4.1.3 with RFC 7636 §4.6. A code is spent by the
// first attempt of the app it was issued to, good or bad.
func (s *server) CodeExchange(ctx context.Context, r *op.ClientRequest[oidc.AccessTokenRequest]) (*op.Response, error) {
	t, c := tenantOf(ctx), r.Client.(*client)
	v, err := s.open(forCode, r.Data.Code, t, c)
	if err != nil {
		return nil, err
	}
	switch first, full := s.p.redeemed.once(v, s.p.now()); {
	case full:
		return nil, faultCodeFull.with()
	case !first:
		return nil, faultCodeUsed.with()
	case r.Data.RedirectURI != v.RedirectURI:
		return nil, faultOtherRedirect.with(r.Data.RedirectURI, v.RedirectURI)
	}
	var challenge *oidc.CodeChallenge
	if v.Challenge != "" {
		if r.Data.CodeVerifier == "" {
			return nil, faultNoVerifier.with()
		}
		challenge = &oidc.CodeChallenge{Challenge: v.Challenge, Method: oidc.CodeChallengeMethod(v.ChallengeMethod)}
	}
	if op.AuthorizeCodeChallenge(r.Data.CodeVerifier, challenge) != nil {
		return nil, faultVerifier.with()
	}
	return s.userTokens(t, c, v, strings.Fields(r.Form.Get("scope")))
}

// RefreshToken is RFC 6749 §6. As at Entra the old refresh token stays good
// until it expires.
func (s *server) RefreshToken(ctx context.Context, r *op.ClientRequest[oidc.RefreshTokenRequest]) (*op.Response, error) {
	t, c := tenantOf(ctx), r.Client.(*client)
	v, err := s.open(forRefresh, r.Data.RefreshToken, t, c)
	if err != nil {
		return nil, err
	}
	return s.userTokens(t, c, v, r.Data.Scopes)
}

// open opens a code or refresh token presented by c in t.
func (s *server) open(as purpose, text string, t *tenant, c *client) (session, error) {
	v, ok := s.p.sealer.open(as, text)
	switch {
	case !ok:
		return v, faultCodeInvalid.with()
	case v.Tenant != t.id:
		return v, faultOtherTenant.with()
	case v.App != c.app.ID:
		return v, faultOtherApp.with()
	case v.expired(s.p.now()):
		return v, faultExpired.with()
	}
	return v, nil
}

// userTokens answers with tokens for scopes, or for those v was issued for if
// there are none. They need not be among v's, for consent is not v's but the
// App's: a client may name the resource when it redeems, and MSAL for Go asks
// for openid and offline_access only then.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
func (s *server) userTokens(t *tenant, c *client, v session, scopes []string) (*op.Response, error) {
	if len(scopes) > 0 {
		v.Scopes = scopes
	}
	q, err := s.p.parseScopes(t, v.Scopes)
	if err != nil {
		return nil, err
	}
	return answer(s.p.userToken(t, c, q, v))
}

// answer is a token response; no cache may keep it (RFC 6749 §5.1).
func answer(body tokenBody, err error) (*op.Response, error) {
	if err != nil {
		return nil, err
	}
	resp := op.NewResponse(body)
	resp.Header.Set("Cache-Control", "no-store")
	resp.Header.Set("Pragma", "no-cache")
	return resp, nil
}
