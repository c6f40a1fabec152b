package identity

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Config says who may get tokens, and for what.
type Config struct {
	// BaseURL is the public root, such as "https://localhost:8443": https (or
	// http on a loopback host), no path, no trailing slash. Issuers are built on it.
	BaseURL string

	// Key signs every token with RS256. At least 2048 bits. Its kid is its
	// RFC 7638 thumbprint.
	Key *rsa.PrivateKey

	Tenants []Tenant

	// Resources are the identifiers tokens are issued for, without trailing
	// slash: "https://graph.microsoft.com", "api://…", a GUID. A permission
	// asked for by its bare name belongs to the first, as it belongs to Graph
	// at Entra.
	Resources []string

	Now           func() time.Time // nil: time.Now
	TokenLifetime time.Duration    // of access and ID tokens; zero: 1 hour
}

// Tenant is a directory: one issuer, its apps and users.
type Tenant struct {
	ID    string // GUID
	Name  string // shown on the sign-in page
	Apps  []App
	Users []User
}

// App is an app registration.
type App struct {
	ID     string // client id, a GUID
	Name   string // shown on the sign-in page
	Secret string // client secret; empty exactly if Public

	Roles  []string // application permissions, all of them in every app-only token
	Scopes []string // delegated permissions the app may be granted

	// RedirectURIs are matched exactly, except that the port of a loopback
	// URI of a Public app is free (RFC 8252 §7.3).
	RedirectURIs []string

	// Public apps have no secret and must use PKCE with S256 (RFC 7636).
	Public bool
}

// User is somebody who can sign in.
type User struct {
	ID       string // object id, a GUID
	UPN      string // user principal name, what is typed on the sign-in page; case does not count
	Name     string
	Password string
}

// validate reports every fault of c, each with its place.
func (c *Config) validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if msg := faultOfBase(c.BaseURL); msg != "" {
		bad("base URL %q: %s", c.BaseURL, msg)
	}
	if c.Key == nil {
		bad("key: missing")
	} else if c.Key.N.BitLen() < 2048 {
		bad("key: %d bits, at least 2048 needed", c.Key.N.BitLen())
	}
	if c.TokenLifetime < 0 {
		bad("token lifetime: %v is negative", c.TokenLifetime)
	}
	if len(c.Resources) == 0 {
		bad("resources: at least one needed")
	}
	for i, r := range c.Resources {
		if !isScopeToken(r) || strings.HasSuffix(r, "/") {
			bad("resources[%d] %q: must be a URI or GUID without trailing slash", i, r)
		}
	}
	if len(c.Tenants) == 0 {
		bad("tenants: at least one needed")
	}
	seen := map[string]bool{}
	for i := range c.Tenants {
		t := &c.Tenants[i]
		place := fmt.Sprintf("tenants[%d]", i)
		checkID(bad, seen, place, t.ID)
		t.validate(place, bad)
	}
	return errors.Join(faults...)
}

func (t *Tenant) validate(place string, bad func(string, ...any)) {
	ids := map[string]bool{}
	for i := range t.Apps {
		place := fmt.Sprintf("%s.apps[%d]", place, i)
		checkID(bad, ids, place, t.Apps[i].ID)
		t.Apps[i].validate(place, bad)
	}
	names := map[string]bool{}
	for i, u := range t.Users {
		place := fmt.Sprintf("%s.users[%d]", place, i)
		checkID(bad, ids, place, u.ID)
		upn := strings.ToLower(u.UPN)
		if upn == "" || names[upn] {
			bad("%s: UPN %q is empty or already used", place, u.UPN)
		}
		names[upn] = true
		if u.Password == "" {
			bad("%s: password missing", place)
		}
	}
}

func (a *App) validate(place string, bad func(string, ...any)) {
	if a.Public != (a.Secret == "") {
		bad("%s: a public app has no secret, every other app needs one", place)
	}
	for _, p := range append(a.Roles[:len(a.Roles):len(a.Roles)], a.Scopes...) {
		if !isScopeToken(p) || strings.Contains(p, "/") {
			bad("%s: permission %q is not a name", place, p)
		}
	}
	for _, uri := range a.RedirectURIs {
		u, err := url.Parse(uri)
		switch {
		case err != nil || u.Scheme == "" || u.Fragment != "":
			bad("%s: redirect URI %q must be absolute and have no fragment", place, uri)
		case u.Scheme == "http" && !isLoopback(u.Hostname()):
			bad("%s: redirect URI %q: http is for loopback hosts only", place, uri)
		case u.Scheme != "https" && u.Scheme != "http" && !a.Public:
			bad("%s: redirect URI %q: own schemes are for public apps only", place, uri)
		}
	}
}

// checkID reports an id that is no GUID in the usual 36 characters, or is in
// seen already.
func checkID(bad func(string, ...any), seen map[string]bool, place, id string) {
	if _, err := uuid.Parse(id); err != nil || len(id) != 36 {
		bad("%s: id %q is not a GUID", place, id)
	}
	if id = strings.ToLower(id); seen[id] {
		bad("%s: id %s is already used", place, id)
	}
	seen[id] = true
}

func faultOfBase(base string) string {
	u, err := url.Parse(base)
	switch {
	case err != nil || u.Host == "":
		return "not an absolute URL"
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		// MSAL takes the first path segment of an authority for the tenant.
		return "must be scheme and host only, without trailing slash"
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		return "must be https, or http on a loopback host"
	}
	return ""
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// isScopeToken reports whether s is a scope-token of RFC 6749 §3.3:
// 1*( %x21 / %x23-5B / %x5D-7E ).
func isScopeToken(s string) bool {
	for _, b := range []byte(s) {
		if b <= ' ' || b > '~' || b == '"' || b == '\\' {
			return false
		}
	}
	return s != ""
}
