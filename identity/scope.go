package identity

import (
	"slices"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// request is a scope parameter understood.
//
// A scope is one of OpenID Connect's (openid, profile, email, offline_access),
// or a permission of one resource: "{resource}/{name}", "{resource}/.default"
// for all that is granted already, or the bare name of one of the first
// configured resource's.
// https://learn.microsoft.com/entra/identity-platform/scopes-oidc
type request struct {
	oidc     []string // OpenID Connect's, as asked
	resource string   // as asked, and so the aud of the token
	byName   []asked
	all      bool   // .default
	allAs    string // the scope that said so
}

type asked struct{ name, scope string }

const defaultScope = ".default"

func (q request) has(scope string) bool { return slices.Contains(q.oidc, scope) }

// permissions reports whether q asks for any permission of a resource.
func (q request) permissions() bool { return q.all || len(q.byName) > 0 }

// parseScopes understands scopes for t.
func (p *Provider) parseScopes(t *tenant, scopes []string) (request, error) {
	var q request
	if len(scopes) > maxScopes {
		return q, faultTooLarge.with()
	}
	for _, scope := range scopes {
		if scope == "" { // two blanks in a row
			continue
		}
		switch scope {
		case oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, oidc.ScopeOfflineAccess:
			if !q.has(scope) {
				q.oidc = append(q.oidc, scope)
			}
			continue
		}
		if err := p.addPermission(t, &q, scope); err != nil {
			return q, err
		}
	}
	if q.all && len(q.byName) > 0 {
		return q, faultScope.with(q.allAs + " (" + defaultScope + " can't be combined with resource-specific scopes)")
	}
	if q.resource == "" {
		q.resource = p.defaultTo
	}
	return q, nil
}

func (p *Provider) addPermission(t *tenant, q *request, scope string) error {
	// The last slash separates, so that "https://graph.microsoft.com//.default"
	// asks for a resource, and gets an aud, that ends in one.
	resource, name := p.defaultTo, scope
	if i := strings.LastIndexByte(scope, '/'); i >= 0 {
		resource, name = scope[:i], scope[i+1:]
	}
	switch {
	case !isScopeToken(scope) || name == "" || resource == "":
		return faultScope.with(scope)
	case !p.resources[strings.TrimSuffix(resource, "/")]:
		return faultResource.with(resource, t.name)
	case q.resource != "" && q.resource != resource:
		return faultTwoResource.with(scope)
	}
	q.resource = resource
	if name == defaultScope {
		q.all, q.allAs = true, scope
	} else if !slices.Contains(q.byName, asked{name, scope}) {
		q.byName = append(q.byName, asked{name, scope})
	}
	return nil
}

// grant returns the permissions of q that app may have on behalf of a user, by
// name for the token's scp, and the scopes as the token response lists them.
// It fails if permissions were asked for and none is left.
func (q request) grant(app *App) (names, scopes []string, err error) {
	scopes = slices.DeleteFunc(slices.Clone(q.oidc), func(s string) bool { return s == oidc.ScopeOfflineAccess })
	if q.all {
		for _, name := range app.Scopes {
			names = append(names, name)
			scopes = append(scopes, strings.TrimSuffix(q.allAs, defaultScope)+name)
		}
		scopes = append(scopes, q.allAs) // MSAL looks for what it asked
	}
	for _, a := range q.byName {
		if slices.Contains(app.Scopes, a.name) {
			names = append(names, a.name)
			scopes = append(scopes, a.scope)
		}
	}
	if q.permissions() && len(names) == 0 {
		return nil, nil, faultConsent.with(app.ID, app.Name)
	}
	return names, scopes, nil
}
