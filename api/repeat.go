package api

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/store"
)

// The headers of OASIS's Repeatable Requests Version 1.0: a client that did not
// hear the answer sends the request again, and it is carried out once.
const (
	repeatPrefix    = "Repeatability-"
	requestIDHeader = store.RequestIDTarget
	firstSentHeader = store.FirstSentTarget
	clientIDHeader  = "Repeatability-Client-ID" // for cleaning up early, which nobody has to do here
	repeatResult    = "Repeatability-Result"
)

// repeatHeaders are those of a request.
var repeatHeaders = []string{requestIDHeader, firstSentHeader, clientIDHeader}

// maxRequestID bounds a request's id, in bytes.
const maxRequestID = 256

// printedHeaders are the headers that say what a request asks for, and the time
// that tells how long it is remembered. Clients may set others anew when they
// send it again.
var printedHeaders = []string{firstSentHeader, "Accept", "Certstate-Reason", "Content-Type", "If-Match", "OData-MaxVersion", "OData-Version", "Prefer"}

// repeatable makes the request one that is carried out once, if it asks to be:
// the standard has it ignored for what changes nothing. Every refusal names one
// of the headers as its target, and so is answered as rejected; whatever else
// happens to the request, the answer says accepted.
func (x *exchange) repeatable() error {
	if x.route.method == http.MethodGet || x.route.signed() {
		return nil
	}
	id, first := x.r.Header.Values(requestIDHeader), x.r.Header.Values(firstSentHeader)
	if len(id)+len(first) == 0 {
		return nil
	}
	if len(id) != 1 || id[0] == "" || len(id[0]) > maxRequestID {
		return certstate.Errorf(certstate.Invalid, requestIDHeader, "Give one %s of 1 to %d characters, such as a GUID; it goes with %s.", requestIDHeader, maxRequestID, firstSentHeader)
	}
	sent, err := parseFirstSent(first)
	if err != nil {
		return err
	}
	if x.route.pattern == batch {
		return certstate.Errorf(certstate.Unimplemented, requestIDHeader, "A batch cannot be repeated as a whole: give each of its requests a %s and a %s.", requestIDHeader, firstSentHeader)
	}
	if x.route.pattern == register {
		return certstate.Errorf(certstate.Unimplemented, requestIDHeader, "Registering a certificate again makes no second record: send the request without %s and %s.", requestIDHeader, firstSentHeader)
	}
	if strings.Contains(strings.ToLower(x.route.pattern), "jobs") {
		return certstate.Errorf(certstate.Unimplemented, requestIDHeader, "A job that was made twice does no harm: send the request without %s and %s.", requestIDHeader, firstSentHeader)
	}
	if x.s.cfg.Store.Repeats() == 0 {
		return certstate.Errorf(certstate.Unimplemented, requestIDHeader, "This server does not remember requests: send the request without %s and %s.", requestIDHeader, firstSentHeader)
	}
	x.once = &certstate.Once{Key: digest(x.principal.App, x.principal.User, strings.ToLower(id[0])), First: sent}
	asked := []string{x.r.Method, x.r.URL.EscapedPath(), x.r.URL.RawQuery}
	for _, name := range printedHeaders {
		asked = append(asked, strings.Join(x.r.Header.Values(name), ","))
	}
	x.once.Print = digest(asked...)
	x.w.Header().Set(repeatResult, "accepted")
	return nil
}

// parseFirstSent reads the one value there must be: an IMF-fixdate (RFC 9110
// §5.6.7), the weekday included.
func parseFirstSent(values []string) (edm.DateTimeOffset, error) {
	if len(values) == 1 {
		if t, err := time.Parse(http.TimeFormat, values[0]); err == nil && t.Format(http.TimeFormat) == values[0] {
			return edm.Time(t), nil
		}
	}
	return edm.DateTimeOffset{}, certstate.Errorf(certstate.Invalid, firstSentHeader,
		"Give one %s, the time when the request was first sent, as in: Tue, 26 Mar 2019 16:06:51 GMT; it goes with %s.", firstSentHeader, requestIDHeader)
}

// fingerprint adds the body, decompressed, to what the request asks: a client may
// compress it otherwise when it sends it again.
func (x *exchange) fingerprint(body []byte) {
	if x.once != nil {
		x.once.Print = digest(string(x.once.Print[:]), string(body))
	}
}

// digest is a SHA-256 of some texts, each with its length.
func digest(texts ...string) (sum [32]byte) {
	h := sha256.New()
	for _, text := range texts {
		n := len(text)
		h.Write([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) // never fails, hash.Hash
		h.Write([]byte(text))
	}
	h.Sum(sum[:0])
	return sum
}
