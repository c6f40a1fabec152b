package identity

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	codeLifetime    = 10 * time.Minute // RFC 6749 §4.1.2: at most 10 minutes
	loginLifetime   = 15 * time.Minute // how long a sign-in page stays usable
	refreshLifetime = 24 * time.Hour   // as Entra gives single page apps

	maxBody      = 64 << 10 // octets of a request body
	maxAuthorize = 8 << 10  // octets of an authorization request's parameters
	maxScopes    = 200      // in one scope parameter
)

// Provider is an identity provider. It is an [http.Handler] for the paths the
// package comment lists and safe for concurrent use.
type Provider struct {
	base      string
	tenants   map[string]*tenant // by lower-case id
	resources map[string]bool
	defaultTo string // the resource of bare permission names
	lifetime  time.Duration
	now       func() time.Time

	signer   jose.Signer
	keys     []byte // the JWK set, the same for all tenants
	sealer   *sealer
	redeemed redeemed

	oauth http.Handler // op's handler, below a tenant's path
	mux   *http.ServeMux
}

type tenant struct {
	id, name string
	apps     map[string]*client // by lower-case id
	users    map[string]*User   // by lower-case id
	byUPN    map[string]*User   // by lower-case UPN
}

// New returns a provider for c, or all of c's faults joined. It keeps copies.
func New(c Config) (*Provider, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	p := &Provider{
		base:      c.BaseURL,
		tenants:   map[string]*tenant{},
		resources: map[string]bool{},
		defaultTo: c.Resources[0],
		lifetime:  c.TokenLifetime,
		now:       c.Now,
	}
	if p.lifetime == 0 {
		p.lifetime = time.Hour
	}
	if p.now == nil {
		p.now = time.Now
	}
	for _, r := range c.Resources {
		p.resources[r] = true
	}
	for _, t := range c.Tenants {
		p.tenants[strings.ToLower(t.ID)] = newTenant(t)
	}
	kid, keys, err := newKeySet(c.Key, p.base)
	if err != nil {
		return nil, err
	}
	p.keys = keys
	if p.signer, err = op.SignerFromKey(signingKey{kid, c.Key}); err != nil {
		return nil, err
	}
	if p.sealer, err = newSealer(); err != nil {
		return nil, err
	}
	p.oauth = op.RegisterServer(&server{p: p}, op.Endpoints{
		Token:         op.NewEndpoint(tokenPath),
		Authorization: op.NewEndpoint(authorizePath),
	}, op.WithServerCORSOptions(nil))
	p.route()
	return p, nil
}

func newTenant(t Tenant) *tenant {
	in := &tenant{
		id:    strings.ToLower(t.ID),
		name:  t.Name,
		apps:  map[string]*client{},
		users: map[string]*User{},
		byUPN: map[string]*User{},
	}
	for _, a := range t.Apps {
		a.ID = strings.ToLower(a.ID)
		// Entra's service principal has an object id of its own; this one is made
		// of tenant and app, so that it survives a restart.
		object := uuid.NewSHA1(uuid.MustParse(t.ID), []byte(a.ID)).String()
		in.apps[a.ID] = &client{app: a, object: object}
	}
	for _, u := range t.Users {
		u.ID = strings.ToLower(u.ID)
		in.users[u.ID] = &u
		in.byUPN[strings.ToLower(u.UPN)] = &u
	}
	return in
}

// Paths below a tenant's.
const (
	tokenPath     = "/oauth2/v2.0/token"
	authorizePath = "/oauth2/v2.0/authorize"
	logoutPath    = "/oauth2/v2.0/logout"
	loginPath     = "/login"
	keysPath      = "/discovery/v2.0/keys"
	keysPathV1    = "/discovery/keys"
	metadataPath  = "/.well-known/openid-configuration"
)

func (p *Provider) route() {
	p.mux = http.NewServeMux()
	for _, row := range []struct {
		pattern string
		shared  bool // answered for "common" and "organizations" too
		handle  func(http.ResponseWriter, *http.Request)
	}{
		{"GET /{tenant}/v2.0" + metadataPath, true, p.metadata},
		{"GET /{tenant}" + metadataPath, true, p.metadataV1},
		{"GET /{tenant}" + keysPath, true, p.jwks},
		{"GET /{tenant}" + keysPathV1, true, p.jwks},
		{"/{tenant}" + tokenPath, false, p.token},
		{"/{tenant}" + authorizePath, false, p.authorize},
		{"GET /{tenant}" + loginPath, false, p.showLogin},
		{"POST /{tenant}" + loginPath, false, p.login},
		{"/{tenant}" + logoutPath, false, p.logout},
	} {
		p.mux.HandleFunc(row.pattern, p.inTenant(row.shared, row.handle))
	}
}

// ServeHTTP answers everything under /{tenant}/.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

type tenantKey struct{}

// tenantOf returns the tenant the request is for; nil for a shared endpoint.
func tenantOf(ctx context.Context) *tenant {
	t, _ := ctx.Value(tenantKey{}).(*tenant)
	return t
}

// inTenant puts the tenant that the path names into the request's context.
func (p *Provider) inTenant(shared bool, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		name := r.PathValue("tenant")
		t := p.tenants[strings.ToLower(name)]
		if t == nil {
			switch common := name == "common" || name == "organizations"; {
			case common && shared:
				next(w, r)
			case common:
				p.writeFault(w, r, http.StatusBadRequest, faultNoTenant.with())
			default:
				p.writeFault(w, r, http.StatusBadRequest, faultUnknownTenant.with(name))
			}
			return
		}
		next(w, r.WithContext(context.WithValue(r.Context(), tenantKey{}, t)))
	}
}

// url returns the address of path in t.
func (p *Provider) url(t *tenant, path string) string { return p.base + "/" + t.id + path }

func (p *Provider) issuer(t *tenant) string { return p.url(t, "/v2.0") }

// strip removes the tenant from the path, for op knows only what follows it.
func (p *Provider) strip(r *http.Request) *http.Request {
	out := new(http.Request)
	*out = *r
	out.URL = &url.URL{Path: strings.TrimPrefix(r.URL.Path, "/"+r.PathValue("tenant")), RawQuery: r.URL.RawQuery}
	return out
}

// parse reads the form and refuses a parameter given twice (RFC 6749 §3.1, §3.2).
func parse(w http.ResponseWriter, r *http.Request) (int, *oidc.Error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		if large := new(http.MaxBytesError); errors.As(err, &large) {
			return http.StatusRequestEntityTooLarge, faultTooLarge.with()
		}
		return http.StatusBadRequest, faultMalformed.with()
	}
	for name, values := range r.Form {
		if len(values) > 1 {
			return http.StatusBadRequest, faultDuplicate.with(name)
		}
	}
	return 0, nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// What is written here always marshals; a failed write is the client's loss.
	_ = json.NewEncoder(w).Encode(v)
}
