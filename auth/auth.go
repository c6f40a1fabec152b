package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"certstate"
)

// Permission is a Microsoft Graph permission.
type Permission string

// The permissions of the mission's resource.
const (
	ReadAll      Permission = "DeviceManagementConfiguration.Read.All"
	ReadWriteAll Permission = "DeviceManagementConfiguration.ReadWrite.All"
)

// Authenticated is what every principal may do.
const Authenticated Permission = ""

// Principal is who a verified token speaks for.
type Principal struct {
	Tenant      string // GUID, lower case
	App         string // the client's application id
	User        string // the user's object id in a delegated token, else ""
	TokenID     string // Entra's uti, for logs
	permissions []string
}

// Delegated reports whether an app acts for a signed-in user.
func (p *Principal) Delegated() bool { return p.User != "" }

// May reports whether the principal has one of the permissions. Names are
// compared whole and case-sensitively.
func (p *Principal) May(anyOf ...Permission) bool {
	for _, want := range anyOf {
		if want == Authenticated || slices.Contains(p.permissions, string(want)) {
			return true
		}
	}
	return false
}

// Actor names the principal in the change log.
func (p *Principal) Actor() string {
	if p.Delegated() {
		return "user:" + p.User
	}
	return "app:" + p.App
}

// Config says whose tokens are taken.
type Config struct {
	Issuers   []Issuer
	Audiences []string
	// Enrolled lists the tenants whose issuers may be asked for keys.
	Enrolled func(ctx context.Context) ([]string, error)
	Client   *http.Client // fetches metadata and keys; nil: a plain one
	Now      func() time.Time
	Log      *slog.Logger
	// Pause is the time in which at most three fetches from an issuer begin; 0:
	// a minute.
	Pause time.Duration
}

// Verifier verifies bearer tokens.
type Verifier struct {
	cfg  Config
	mu   sync.Mutex
	sets map[string]*keySet // by metadata URL
	seen verified
}

// GraphAudiences are Microsoft Graph's own, in every cloud.
var GraphAudiences = []string{
	"00000003-0000-0000-c000-000000000000", "https://graph.microsoft.com", "https://graph.microsoft.us",
	"https://dod-graph.microsoft.us", "https://microsoftgraph.chinacloudapi.cn",
}

// CheckAudience refuses Microsoft Graph's own audience.
func CheckAudience(aud string) error {
	if slices.Contains(GraphAudiences, strings.TrimSuffix(strings.ToLower(aud), "/")) {
		return fmt.Errorf("audience %s is Microsoft Graph's own: register an application for this server and use its id or App ID URI", aud)
	}
	return nil
}

// New makes a Verifier.
func New(cfg Config) *Verifier {
	if cfg.Client == nil {
		cfg.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Pause == 0 {
		cfg.Pause = time.Minute
	}
	return &Verifier{cfg: cfg, sets: map[string]*keySet{}}
}

// maxToken bounds a token before anything is decoded.
const maxToken = 16 << 10

// usualToken is the size in bytes up to which a token is hashed on the stack.
const usualToken = 2 << 10

// consumers is the tenant of personal Microsoft accounts.
const consumers = "9188040d-6c67-4c5b-b112-36a304b66dad"

// The refusals, with the messages Graph gives.
var (
	ErrEmpty    = refuse("Access token is empty.")
	errMalform  = refuse("CompactToken parsing failed with error code: 80049217")
	errToken    = refuse("Access token validation failure.")
	errAudience = refuse("Access token validation failure. Invalid audience.")
	errTime     = refuse("Access token has expired or is not yet valid.")
	errPersonal = refuse("Access token validation failure. Personal Microsoft accounts are not supported.")
)

func refuse(message string) error {
	return certstate.Errorf(certstate.Unauthenticated, "Authorization", "%s", message)
}

// Verify returns the principal of a token. Every refusal is Unauthenticated,
// joined with the reason for the log; it never holds the token.
func (v *Verifier) Verify(ctx context.Context, token string) (*Principal, error) {
	if token == "" {
		return nil, ErrEmpty
	}
	if len(token) > maxToken {
		return nil, errMalform
	}
	hash := sha256.Sum256(append(make([]byte, 0, usualToken), token...))
	if p := v.seen.get(hash, v.cfg.Now()); p != nil {
		return p, nil
	}
	r, err := v.verify(ctx, token)
	if err != nil {
		return nil, err
	}
	v.seen.put(hash, r)
	return r.principal, nil
}

func (v *Verifier) verify(ctx context.Context, token string) (*remembered, error) {
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		if _, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
			return nil, because(errToken, "algorithm not allowed")
		}
		return nil, because(errMalform, "%v", err)
	}
	c, err := parseClaims(jws.UnsafePayloadWithoutVerification())
	if err != nil {
		return nil, because(errMalform, "claims: %v", err)
	}
	is, tenant, err := v.issuer(&c)
	if err != nil {
		return nil, err
	}
	header := jws.Signatures[0].Protected
	if !slices.Contains(is.Algorithms, jose.SignatureAlgorithm(header.Algorithm)) {
		return nil, because(errToken, "algorithm %s is not the issuer's", header.Algorithm)
	}
	if header.KeyID == "" || len(header.KeyID) > 256 {
		return nil, because(errToken, "no usable kid")
	}
	set, err := v.keySet(ctx, is, tenant)
	if err != nil {
		return nil, err
	}
	k, generation, err := set.find(ctx, header.KeyID)
	if err != nil {
		return nil, because(errToken, "%v", err)
	}
	if err := fits(k, header.Algorithm, tenant, c.Issuer); err != nil {
		return nil, err
	}
	if _, err := jws.Verify(k.jwk.Key); err != nil {
		return nil, because(errToken, "signature: %v", err)
	}
	p, err := v.principal(&c, tenant)
	if err != nil {
		return nil, err
	}
	before := time.Time{}
	if c.Before != nil {
		before = time.Unix(int64(*c.Before), 0).Add(-skew)
	}
	return &remembered{p, before, time.Unix(int64(*c.Expires), 0).Add(skew), set, generation}, nil
}

func because(refusal error, format string, args ...any) error {
	return errors.Join(refusal, fmt.Errorf(format, args...))
}

// issuer finds the configured issuer a token must be from. Its template filled
// with the token's own tid must be the iss claim, exactly.
func (v *Verifier) issuer(c *claims) (*Issuer, string, error) {
	tenant := strings.ToLower(c.Tenant)
	if tenant != "" && (uuid.Validate(tenant) != nil || len(tenant) != 36 || tenant == uuid.Nil.String()) {
		return nil, "", because(errToken, "tid is not a GUID")
	}
	if tenant == consumers {
		return nil, "", errPersonal
	}
	for i := range v.cfg.Issuers {
		is := &v.cfg.Issuers[i]
		t := tenant
		if is.Tenant != "" {
			if t != "" && t != is.Tenant {
				continue
			}
			t = is.Tenant
		}
		if t == "" || c.Issuer != fill(is.Template, c.Tenant) && c.Issuer != fill(is.Template, t) {
			continue
		}
		if is.Version != "" && c.Version != is.Version {
			continue
		}
		return is, t, nil
	}
	return nil, "", because(errToken, "issuer is not trusted for this tenant and version")
}

// fits checks that a key is for this issuer and this algorithm. Entra's sets
// hold keys of several issuers, personal accounts' among them.
func fits(k key, alg, tenant, issuer string) error {
	if k.jwk.Algorithm != "" && k.jwk.Algorithm != alg {
		return because(errToken, "the key is for %s", k.jwk.Algorithm)
	}
	if k.issuer == "" || fill(k.issuer, tenant) == issuer {
		return nil
	}
	return because(errToken, "the key is for issuer %s", k.issuer)
}

// keySet is the set of keys for tokens of an issuer and tenant. A tenant that
// is not enrolled never has its metadata fetched; its tokens are refused
// anyway, and an enrolled tenant's keys will do to tell forged from genuine.
func (v *Verifier) keySet(ctx context.Context, is *Issuer, tenant string) (*keySet, error) {
	issuer := is.Template
	if strings.Contains(is.Metadata, tenantMark) {
		enrolled, err := v.cfg.Enrolled(ctx)
		if err != nil {
			return nil, err
		}
		if len(enrolled) > 0 && !slices.Contains(enrolled, tenant) {
			tenant = enrolled[0]
		}
		issuer = fill(issuer, tenant)
	} else if strings.Contains(issuer, tenantMark) {
		issuer = "" // a document for all tenants names the template in its own way
	}
	metadata := fill(is.Metadata, tenant)
	v.mu.Lock()
	defer v.mu.Unlock()
	set := v.sets[metadata]
	if set == nil {
		set = &keySet{metadata: metadata, issuer: issuer, template: is.Template, client: v.cfg.Client, now: v.cfg.Now, log: v.cfg.Log, pause: v.cfg.Pause}
		v.sets[metadata] = set
	}
	return set, nil
}

// principal checks what the issuer says, once it is known to say it. No other
// function makes a Principal.
func (v *Verifier) principal(c *claims, tenant string) (*Principal, error) {
	aud, ok := c.audience()
	if !ok || !slices.Contains(v.cfg.Audiences, aud) {
		return nil, because(errAudience, "audience %s", c.Audience)
	}
	if !c.alive(v.cfg.Now()) {
		return nil, errTime
	}
	names, delegated, ok := c.permissions()
	if !ok {
		return nil, because(errToken, "idtyp %q does not agree with scp", c.IDType)
	}
	p := &Principal{Tenant: tenant, App: c.AppV2, TokenID: c.TokenID, permissions: names}
	if p.App == "" {
		p.App = c.AppV1
	}
	if delegated {
		if p.User = c.Object; p.User == "" {
			return nil, because(errToken, "a delegated token without oid")
		}
	}
	return p, nil
}
