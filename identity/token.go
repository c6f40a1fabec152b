package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/crypto"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// claims are those of Entra's v2.0 tokens; an access token and an ID token use
// different ones of them.
// https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
// https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
type claims struct {
	Aud string `json:"aud"`
	Iss string `json:"iss"`
	Iat int64  `json:"iat"` // unix seconds, like nbf and exp
	Nbf int64  `json:"nbf"`
	Exp int64  `json:"exp"`

	Azp    string `json:"azp,omitempty"`    // client id
	Azpacr string `json:"azpacr,omitempty"` // how the client proved itself: "0" not at all, "1" secret

	Email    string   `json:"email,omitempty"`
	Idtyp    string   `json:"idtyp,omitempty"` // "app" in an app-only token
	Name     string   `json:"name,omitempty"`
	Nonce    string   `json:"nonce,omitempty"`
	Oid      string   `json:"oid"`
	Username string   `json:"preferred_username,omitempty"`
	Roles    []string `json:"roles,omitempty"` // application permissions
	Scp      string   `json:"scp,omitempty"`   // delegated permissions
	Sub      string   `json:"sub"`
	Tid      string   `json:"tid"`
	Uti      string   `json:"uti"` // random: the token's own id
	Ver      string   `json:"ver"`
}

// tokenBody is the token endpoint's answer: RFC 6749 §5.1, OIDC Core §3.1.3.3
// and what Entra adds.
type tokenBody struct {
	TokenType    string `json:"token_type"`
	Scope        string `json:"scope,omitempty"` // not for app-only tokens
	ExpiresIn    int64  `json:"expires_in"`      // seconds
	ExtExpiresIn int64  `json:"ext_expires_in"`  // seconds
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	ClientInfo   string `json:"client_info,omitempty"` // MSAL's account: base64url of {uid, utid}
}

// newClaims returns what every token of t has.
func (p *Provider) newClaims(t *tenant, audience string) claims {
	now := p.now()
	return claims{
		Aud: audience,
		Iss: p.issuer(t),
		Iat: now.Unix(),
		Nbf: now.Unix(),
		Exp: now.Add(p.lifetime).Unix(),
		Tid: t.id,
		Uti: rand.Text(),
		Ver: "2.0",
	}
}

func (p *Provider) newTokenBody(access claims) (tokenBody, error) {
	token, err := crypto.Sign(access, p.signer)
	return tokenBody{
		TokenType:    oidc.BearerToken,
		ExpiresIn:    seconds(p.lifetime),
		ExtExpiresIn: seconds(p.lifetime),
		AccessToken:  token,
	}, err
}

// appToken returns an app-only token with all of the app's roles.
func (p *Provider) appToken(t *tenant, c *client, audience string) (tokenBody, error) {
	access := p.newClaims(t, audience)
	access.Azp, access.Azpacr = c.app.ID, "1"
	access.Idtyp = "app"
	access.Oid, access.Sub = c.object, c.object
	access.Roles = c.app.Roles
	return p.newTokenBody(access)
}

// userToken returns the tokens for what v's user lets c do, as far as q asks
// and c's app may.
func (p *Provider) userToken(t *tenant, c *client, q request, v session) (tokenBody, error) {
	names, scopes, err := q.grant(&c.app)
	if err != nil {
		return tokenBody{}, err
	}
	u := t.users[v.User]
	if u == nil {
		return tokenBody{}, faultNoUser.with(t.name)
	}
	if len(names) == 0 {
		// Only OpenID Connect's were asked for. A token without scp would pass for
		// an app-only one, so they stand there, as in Entra's tokens for Graph.
		names = scopes
	}
	access := p.newClaims(t, q.resource)
	access.Azp, access.Azpacr = c.app.ID, "1"
	if c.app.Public {
		access.Azpacr = "0"
	}
	access.Scp = strings.Join(names, " ")
	access.Oid, access.Sub = u.ID, pairwise(c.app.ID, u.ID)
	access.Name, access.Username = u.Name, u.UPN
	body, err := p.newTokenBody(access)
	if err != nil {
		return body, err
	}
	body.Scope = strings.Join(scopes, " ")
	if q.has(oidc.ScopeOpenID) {
		if body.IDToken, err = p.idToken(t, c, u, q, v.Nonce); err != nil {
			return body, err
		}
	}
	if q.has(oidc.ScopeOfflineAccess) {
		body.RefreshToken = p.sealer.seal(forRefresh, session{
			Expires: p.now().Add(refreshLifetime).Unix(),
			Tenant:  t.id,
			App:     c.app.ID,
			User:    u.ID,
			Scopes:  v.Scopes,
		})
	}
	body.ClientInfo, err = clientInfo(u.ID, t.id)
	return body, err
}

func (p *Provider) idToken(t *tenant, c *client, u *User, q request, nonce string) (string, error) {
	id := p.newClaims(t, c.app.ID)
	id.Nonce = nonce
	id.Oid, id.Sub = u.ID, pairwise(c.app.ID, u.ID)
	if q.has(oidc.ScopeProfile) {
		id.Name, id.Username = u.Name, u.UPN
	}
	if q.has(oidc.ScopeEmail) {
		id.Email = u.UPN
	}
	return crypto.Sign(id, p.signer)
}

// pairwise is the subject identifier of a user towards one app (OIDC Core §8.1).
func pairwise(app, user string) string {
	sum := sha256.Sum256([]byte(app + " " + user))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func clientInfo(user, tenant string) (string, error) {
	raw, err := json.Marshal(struct {
		UID  string `json:"uid"`
		UTID string `json:"utid"`
	}{user, tenant})
	return base64.RawURLEncoding.EncodeToString(raw), err
}

// seconds is d in whole seconds, as OAuth counts lifetimes.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }
