package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"certstate"
	"certstate/edm"
)

// face is how a kind of failure looks on the wire.
type face struct {
	status int
	code   string // error.code, as Graph and Intune spell it
	nested bool   // error.message is Intune's JSON in a string
}

// faces is the only place that knows an HTTP status of a failure.
var faces = map[certstate.Code]face{
	certstate.Internal:        {http.StatusInternalServerError, "InternalServerError", false},
	certstate.Invalid:         {http.StatusBadRequest, "BadRequest", false},
	certstate.Unauthenticated: {http.StatusUnauthorized, "InvalidAuthenticationToken", false},
	certstate.Forbidden:       {http.StatusForbidden, "Forbidden", true},
	certstate.NotFound:        {http.StatusNotFound, "ResourceNotFound", true},
	certstate.NotAllowed:      {http.StatusMethodNotAllowed, "Request_BadRequest", false},
	certstate.NotAcceptable:   {http.StatusNotAcceptable, "NotAcceptable", false},
	certstate.Unimplemented:   {http.StatusNotImplemented, "NotImplemented", false},
	certstate.Gone:            {http.StatusGone, "syncStateNotFound", false},
	certstate.Expired:         {http.StatusGone, "Gone", false},
	certstate.Conflict:        {http.StatusConflict, "Conflict", false},
	certstate.Precondition:    {http.StatusPreconditionFailed, "ConditionNotMet", true},
	certstate.Unsatisfiable:   {http.StatusRequestedRangeNotSatisfiable, "InvalidRange", false},
	certstate.TooLarge:        {http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", false},
	certstate.Unsupported:     {http.StatusUnsupportedMediaType, "UnsupportedMediaType", false},
	certstate.TooMany:         {http.StatusTooManyRequests, "TooManyRequests", false},
	certstate.Unavailable:     {http.StatusServiceUnavailable, "ServiceUnavailable", false},
	certstate.Full:            {http.StatusInsufficientStorage, "InsufficientStorage", false},
	certstate.Dependency:      {http.StatusFailedDependency, "FailedDependency", false},
}

// statusClientGone stands in the log for a request whose client went away, as
// nginx has it.
const statusClientGone = 499

// challenge is Graph's WWW-Authenticate, with the authority of this server's
// first issuer in the place of Entra's.
func (x *exchange) challenge() string {
	if x.isPowerQuery() {
		return x.powerQueryChallenge()
	}
	return `Bearer realm="", authorization_uri="` + x.s.cfg.AuthorizationURI + `", client_id="` + x.s.cfg.ClientID + `"`
}

// powerQuery begins the User-Agent of Excel and Power BI.
const powerQuery = "Microsoft.Data.Mashup"

func (x *exchange) isPowerQuery() bool { return strings.HasPrefix(x.r.UserAgent(), powerQuery) }

// powerQueryChallenge is what Power Query finds its organisational sign-in by:
// the authority, bare, and once it asks with an empty token, the address to sign
// in at (learn.microsoft.com/power-query/connectors/odatafeed). Of Graph's
// challenge it would take the empty realm.
func (x *exchange) powerQueryChallenge() string {
	if x.r.Header.Get("Authorization") == "" {
		return "Bearer realm=" + strings.TrimSuffix(x.s.cfg.AuthorizationURI, "/oauth2/authorize")
	}
	return "Bearer authorization_uri=" + x.s.cfg.AuthorizationURI
}

// fail answers with err in Graph's error shape. What the client may not read
// of it goes to the log.
func (x *exchange) fail(err error) {
	if x.r.Context().Err() != nil { // nobody is there to hear it
		x.status, x.code, x.err = statusClientGone, "ClientClosedRequest", err
		return
	}
	if isShed(err) || certstate.ErrorCode(err) == certstate.TooMany {
		x.s.load.hold(x.r.Context())
	}
	err = x.s.cfg.Store.Judge(err)
	f := faces[certstate.ErrorCode(err)]
	message, target := "The server could not answer. Its log has the reason under this request-id.", ""
	if e, ok := errors.AsType[*certstate.Error](err); ok {
		message, target = e.Message, e.Target
	}
	x.err, x.code = err, f.code
	h := x.w.Header()
	if strings.HasPrefix(target, repeatPrefix) {
		h.Set(repeatResult, "rejected")
	}
	switch f.status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", x.challenge())
	case http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		h.Set("Retry-After", "1")
	case http.StatusTooManyRequests:
		if h.Get("Retry-After") == "" { // something must end first
			h.Set("Retry-After", "60")
		}
	}
	if f.nested {
		message = x.intuneMessage(message)
	}
	x.contentType("application/json")
	x.write(f.status, x.errorBody(f.code, message, target))
}

// errorBody is Graph's error object. The Go SDK needs message to be a string
// and date to have no zone.
func (x *exchange) errorBody(code, message, target string) []byte {
	b := edm.AppendJSONString([]byte(`{"error":{"code":`), code)
	b = edm.AppendJSONString(append(b, `,"message":`...), message)
	if target != "" {
		b = edm.AppendJSONString(append(b, `,"target":`...), target)
	}
	b = append(b, `,"innerError":{"date":"`...)
	b = x.s.now().UTC().AppendFormat(b, "2006-01-02T15:04:05")
	b = edm.AppendJSONString(append(b, `","request-id":`...), x.id)
	b = edm.AppendJSONString(append(b, `,"client-request-id":`...), x.clientID)
	return append(b, `}}}`...)
}

// intuneMessage wraps text as Intune does: pretty-printed JSON in a string,
// which scripts parse a second time.
func (x *exchange) intuneMessage(text string) string {
	message := struct {
		Version            int     `json:"_version"`
		Message            string  `json:"Message"`
		CustomPhrase       string  `json:"CustomApiErrorPhrase"`
		RetryAfter         *string `json:"RetryAfter"`
		ErrorSourceService string  `json:"ErrorSourceService"`
		HTTPHeaders        string  `json:"HttpHeaders"`
	}{
		Version: 3, HTTPHeaders: "{}",
		Message: text + " - Operation ID (for customer support): 00000000-0000-0000-0000-000000000000 - Activity ID: " +
			x.id + " - Url: " + x.s.cfg.BaseURL + x.r.URL.EscapedPath(),
	}
	b, err := json.MarshalIndent(message, "", "  ")
	if err != nil {
		return text
	}
	return strings.ReplaceAll(string(b), "\n", "\r\n")
}

// now is the clock, which tests set.
func (s *Server) now() time.Time { return s.cfg.Now() }
