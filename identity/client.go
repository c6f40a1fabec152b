package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// client is an App as op.Client: what op asks before it calls the server's methods.
type client struct {
	app    App
	object string // object id of its service principal, a GUID
}

func (c *client) GetID() string                    { return c.app.ID }
func (c *client) RedirectURIs() []string           { return c.app.RedirectURIs }
func (c *client) PostLogoutRedirectURIs() []string { return c.app.RedirectURIs }
func (c *client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c *client) GrantTypes() []oidc.GrantType        { return oidc.AllGrantTypes }
func (c *client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

// IsScopeAllowed lets every scope through: op would drop the others without a
// word, the server's methods say which one is wrong.
func (c *client) IsScopeAllowed(string) bool { return true }

// ApplicationType decides how op matches redirect URIs: exactly for web, with
// the port of a loopback URI free for native (RFC 8252 §7.3).
func (c *client) ApplicationType() op.ApplicationType {
	if c.app.Public {
		return op.ApplicationTypeNative
	}
	return op.ApplicationTypeWeb
}

func (c *client) AuthMethod() oidc.AuthMethod {
	if c.app.Public {
		return oidc.AuthMethodNone
	}
	return oidc.AuthMethodPost
}

// DevMode would allow plain http redirect URIs anywhere.
func (c *client) DevMode() bool { return false }

// The rest is for op's own tokens and log-in, which are not used.

func (c *client) LoginURL(string) string               { return "" }
func (c *client) IDTokenLifetime() time.Duration       { return 0 }
func (c *client) ClockSkew() time.Duration             { return 0 }
func (c *client) IDTokenUserinfoClaimsAssertion() bool { return false }
func (c *client) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(s []string) []string { return s }
}
func (c *client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(s []string) []string { return s }
}

// equalSecret compares in a time that tells nothing of either, their lengths included.
func equalSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
