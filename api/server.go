package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"certstate"
	"certstate/auth"
	"certstate/odata"
	"certstate/store"
)

// Config is what the HTTP face needs to know.
type Config struct {
	BaseURL          string // public root without a trailing slash, such as https://register.example.com
	AuthorizationURI string // where clients sign in, for WWW-Authenticate
	ClientID         string // this server's application, for WWW-Authenticate
	Store            *store.Store
	Auth             *auth.Verifier
	Throttle         Throttle
	InFlight         int              // requests that read, and as many that write, worked on or waiting at once; 0: DefaultInFlight
	Now              func() time.Time // nil: time.Now
	Log              *slog.Logger     // nil: slog.Default
}

// Server answers requests.
type Server struct {
	cfg       Config
	root      string // version root, where all links begin
	routes    []route
	https     bool // clients come by TLS
	sealer    *odata.Sealer
	describe  description
	throttle  throttle
	load      *load
	downloads *shares
	uploads   *shares
	draining  atomic.Bool
}

// New makes a Server. The key of its page tokens is the database's, so that
// links outlive a restart.
func New(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	key, err := cfg.Store.Secret(ctx, "page-token")
	if err != nil {
		return nil, err
	}
	sealer, err := odata.NewSealer(key, cfg.Now)
	if err != nil {
		return nil, err
	}
	self, err := describe(cfg.BaseURL, cfg.Store.Repeats() > 0)
	return &Server{cfg: cfg, root: cfg.BaseURL + "/beta", routes: routes, https: strings.HasPrefix(cfg.BaseURL, "https:"), sealer: sealer, describe: self,
		throttle: throttle{Throttle: cfg.Throttle}, load: newLoad(cmp.Or(cfg.InFlight, DefaultInFlight()), cfg.Log), downloads: newShares(maxDownloads), uploads: newShares(maxUploads)}, err
}

// Drain makes /readyz fail, so that a balancer sends no more requests.
func (s *Server) Drain() { s.draining.Store(true) }

// exchange is one request and its answer.
type exchange struct {
	s  *Server
	w  http.ResponseWriter
	r  *http.Request
	id string // request-id

	started time.Time

	within  string // request-id of the batch it is a request of, "" outside
	refused error  // why that batch does not run it

	clientID  string // client-request-id
	values    [4]string
	given     int // of values, by header
	route     *route
	version   string // the path's
	key       string // of the record the path names
	principal *auth.Principal
	tenant    store.Tenant
	rep       odata.Representation
	table     *odata.TableForm // nil: as rep says
	prefs     odata.Preferences
	once      *certstate.Once // nil unless the request may be repeated

	turn *store.Lane   // that the request has a turn of, nil for none
	buf  *bytes.Buffer // of the body that is held, nil for none
	data []byte        // the body, decompressed
	held int64         // bytes read of it, compressed and decompressed

	aborted bool // the connection is to be closed in the middle of the answer

	status int
	code   string // error.code of the answer, "" for a success
	err    error  // the failure, for the log
}

// ServeHTTP is the door: ids and headers, then who is asking, then whether they
// may, then the route's handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.open(w, r).run() }

// open begins an exchange with what every response carries.
func (s *Server) open(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{s: s, w: w, r: r, id: newRequestID(), started: s.now()}
	x.headers()
	return x
}

// newRequestID is a random UUID (RFC 9562 §5.4) of which nobody's safety hangs.
func newRequestID() string {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], rand.Uint64()&^0xf000|0x4000)
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()&^(3<<62)|2<<62)
	return id.String()
}

// run is the rest of an exchange, down to its line in the log.
func (x *exchange) run() {
	surplus := x.tooMany()
	switch {
	case x.r.URL.Path == "/healthz":
		x.plain(http.StatusOK, "ok")
	case x.r.URL.Path == "/readyz":
		x.ready()
	case surplus:
		x.fail(store.ErrShed)
	case x.r.Method == http.MethodOptions:
		x.preflight()
	default:
		if err := x.serve(); err != nil {
			x.fail(err)
		}
	}
	x.log()
	if x.aborted {
		panic(http.ErrAbortHandler)
	}
}

func (x *exchange) serve() error {
	rt, err := x.find()
	switch {
	case err == nil && rt.signed():
		err = x.authenticateURL(rt)
	case err != nil || !rt.anonymous(): // strangers are not told what there is
		if err := x.authenticate(); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	x.route = rt
	if err := x.repeatable(); err != nil {
		return err
	}
	if !rt.anonymous() && !rt.signed() && !x.principal.May(rt.permissions...) {
		return certstate.Errorf(certstate.Forbidden, "",
			"Application is not authorized to perform this operation. Application must have one of the following scopes: %s", rt.scopes())
	}
	if err := x.throttled(); err != nil {
		return err
	}
	if err := odata.CheckVersions(x.r.Header["Odata-Maxversion"], x.r.Header["Odata-Version"]); err != nil {
		return err
	}
	x.prefs = odata.ParsePrefer(x.r.Header.Values("Prefer"))
	if x.table, err = x.tableForm(); err != nil {
		return err
	}
	if !rt.own && x.table == nil {
		if x.rep, err = x.representation(); err != nil {
			return err
		}
	}
	defer x.drop()
	if err := x.enter(); err != nil {
		return err
	}
	defer x.leave()
	return rt.handle(x)
}

// representation is what $format asks for or, without it, Accept.
func (x *exchange) representation() (odata.Representation, error) {
	if format, given := odata.Format(x.r.URL.RawQuery); given {
		return odata.ParseFormat(format, x.route.tables())
	}
	return odata.Accept(strings.Join(x.r.Header.Values("Accept"), ","))
}

// authenticate sets the principal and its tenant. The tenant comes from the
// token and from nowhere else.
func (x *exchange) authenticate() (err error) {
	if x.principal, err = x.s.cfg.Auth.Verify(x.r.Context(), bearer(x.r.Header)); err != nil {
		return err
	}
	return x.enrolled(x.principal.Tenant)
}

// authenticateURL sets the tenant that a URL was signed for, which asks for no token:
// whoever has the URL may follow it.
func (x *exchange) authenticateURL(rt *route) error {
	q, err := odata.ParseQuery(x.r.URL.RawQuery, odata.SignedURL)
	if err != nil {
		return err
	}
	tenant, err := x.s.sealer.OpenURL(rt.signature(), signedResource(rt.pattern, x.key), q.Signature)
	if err != nil {
		return err
	}
	return x.enrolled(tenant)
}

// enrolled sets the tenant, if it is one that is served.
func (x *exchange) enrolled(tenant string) (err error) {
	x.tenant, err = x.s.cfg.Store.Tenant(x.r.Context(), tenant)
	switch {
	case certstate.ErrorCode(err) == certstate.NotFound:
		return certstate.Errorf(certstate.Forbidden, "", "Request not applicable to target tenant: tenant %s is not enrolled. Enrol it with: certstate tenant add %s",
			tenant, tenant)
	case err != nil:
		return err
	case x.tenant.Suspended:
		return certstate.Errorf(certstate.Forbidden, "", "Request not applicable to target tenant: tenant %s is suspended.", x.tenant.ID)
	}
	return nil
}

// bearer is the token of the one Authorization header there may be, or "".
func bearer(h http.Header) string {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// diagnostic stands where Graph names its data centre; support scripts log it.
const diagnostic = `{"ServerInfo":{"DataCenter":"self-hosted","Slice":"E","Ring":"1","ScaleUnit":"001","RoleInstance":"certstate"}}`

// headers sets what every response carries. OData-Version is set in the
// spelling of the standard: a second one in Go's spelling would break clients.
func (x *exchange) headers() {
	x.clientID = x.r.Header.Get("Client-Request-Id") // in Go's spelling nothing is converted
	if x.clientID == "" || len(x.clientID) > 128 {
		x.clientID = x.id
	}
	x.header("request-id", x.id)
	x.header("client-request-id", x.clientID)
	h := x.w.Header()
	for _, c := range constantHeaders {
		h[c.name] = c.value
	}
	if x.r.Header["Origin"] != nil { // a browser's page asks
		h["Access-Control-Allow-Origin"] = anyOrigin
		h["Access-Control-Expose-Headers"] = exposed
	}
	if x.s.https {
		h["Strict-Transport-Security"] = transportSecurity
	}
}

// header sets a header of the answer, in the spelling given, without a slice of
// its own for one of the few that nearly every answer has.
func (x *exchange) header(name, value string) {
	if x.given == len(x.values) {
		x.w.Header()[name] = []string{value}
		return
	}
	x.values[x.given] = value
	x.w.Header()[name] = x.values[x.given : x.given+1 : x.given+1]
	x.given++
}

// constantHeaders are shared by all responses: a handler that wants another
// value sets the header anew.
var constantHeaders = []struct {
	name  string
	value []string
}{
	{"x-ms-ags-diagnostic", []string{diagnostic}},
	{"OData-Version", []string{"4.0"}},
	{"Vary", []string{"Accept-Encoding, Origin"}},
	{"Cache-Control", []string{"no-cache"}},
}

var (
	transportSecurity = []string{"max-age=31536000"}
	anyOrigin         = []string{"*"}
	noSniff           = []string{"nosniff"}
	exposed           = []string{"ETag, Location, OData-Version, Preference-Applied, Content-Range, Repeatability-Result, request-id, client-request-id, Retry-After"}
)

// preflight answers a browser that asks what it may send (Fetch standard, CORS).
func (x *exchange) preflight() {
	h := x.w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Range, Accept, If-Match, If-None-Match, Prefer, OData-Version, OData-MaxVersion, client-request-id, SdkVersion, ConsistencyLevel, "+
		strings.Join(append(repeatHeaders, reasonHeader), ", "))
	h.Set("Access-Control-Max-Age", "3600")
	x.write(http.StatusOK, nil)
}

func (x *exchange) ready() {
	switch err := x.s.cfg.Store.Ready(x.r.Context()); {
	case x.s.draining.Load():
		x.plain(http.StatusServiceUnavailable, "shutting down")
	case err != nil:
		x.err = err
		x.w.Header().Set("Retry-After", "1")
		x.plain(http.StatusServiceUnavailable, notReady(err))
	default:
		x.plain(http.StatusOK, "ready")
	}
}

// notReady is what a client may read of why the store is not ready.
func notReady(err error) string {
	if e, ok := errors.AsType[*certstate.Error](err); ok {
		return e.Message
	}
	return "The register's database cannot be used. Its log has the reason."
}

// log writes the request's one line. It holds no token, no body, no query and
// no name of a person.
func (x *exchange) log() {
	now := x.s.now()
	level := slog.LevelInfo
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs, slog.String("method", x.r.Method), slog.Int("status", x.status),
		slog.Duration("took", now.Sub(x.started)), slog.String("request_id", x.id))
	if x.route != nil {
		attrs = append(attrs, slog.String("route", x.route.pattern))
	}
	if x.within != "" {
		attrs = append(attrs, slog.String("batch_request_id", x.within))
	}
	if p := x.principal; p != nil {
		attrs = append(attrs, slog.String("tenant", p.Tenant), slog.String("app", p.App))
		if p.Delegated() {
			attrs = append(attrs, slog.String("user", p.User))
		}
		if p.TokenID != "" {
			attrs = append(attrs, slog.String("token_id", p.TokenID))
		}
	} else if x.tenant.ID != "" { // by a signed URL
		attrs = append(attrs, slog.String("tenant", x.tenant.ID))
	}
	if x.clientID != x.id {
		attrs = append(attrs, slog.String("client_request_id", x.clientID))
	}
	if x.err != nil {
		attrs = append(attrs, slog.String("code", x.code), slog.String("error", x.err.Error()))
	}
	switch {
	case isShed(x.err): // many, when there is least time for them
		x.s.load.count()
		level = slog.LevelDebug
	case x.status >= 500:
		level = slog.LevelError
	}
	// Not LogAttrs: it would look for its caller, which is always this line.
	if to := x.s.cfg.Log.Handler(); to.Enabled(x.r.Context(), level) {
		line := slog.NewRecord(now, level, "request", 0)
		line.AddAttrs(attrs...)
		_ = to.Handle(x.r.Context(), line)
	}
}
