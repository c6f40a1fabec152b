package api

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"certstate"
	"certstate/edm"
	"certstate/odata"
)

// maxBatchAnswer is how much a batch's answers may hold, in bytes of their
// bodies, before it runs no more requests: twenty pages of long records would
// take more memory than one request should.
const maxBatchAnswer = 32 << 20

// batch runs the requests of a batch (Graph, "JSON batching") one after another
// and answers with what each of them was answered. It succeeds whatever they
// do. Each comes in by the door, as if it had come alone: what a principal may
// do, every limit, and the log are the same.
func (x *exchange) batch() error {
	if x.within != "" {
		return certstate.Errorf(certstate.Invalid, "url", "A batch is not allowed inside a batch: send its requests in this one, or in one of their own.")
	}
	if _, err := odata.ParseQuery(x.r.URL.RawQuery, odata.NoOptions); err != nil {
		return err
	}
	in, err := decoded(x, odata.DecodeBatch)
	if err != nil {
		return err
	}
	answers := make([]answer, len(in.Items))
	size := 0
	for _, i := range in.Order {
		if err := x.r.Context().Err(); err != nil {
			return err // no one is there to read the answers
		}
		item := &in.Items[i]
		err := unmet(in, item, answers)
		if err == nil && size >= maxBatchAnswer {
			err = certstate.Errorf(certstate.TooLarge, "", "The answers before this one fill the batch, so it was not run: send it in another batch, or ask for less with $top and $select.")
		}
		x.part(item, err, &answers[i])
		size += len(answers[i].body)
	}
	return x.built(http.StatusOK, func(b []byte) ([]byte, error) {
		b = append(b, `{"responses":[`...)
		for i := range answers {
			if i > 0 {
				b = append(b, ',')
			}
			b = answers[i].append(b, &in.Items[i])
		}
		return append(b, `]}`...), nil
	})
}

// unmet is the failure of an item one of whose dependencies failed.
func unmet(in *odata.Batch, item *odata.BatchItem, answers []answer) error {
	for _, i := range item.DependsOn {
		if status := answers[i].status; status >= http.StatusBadRequest {
			return certstate.Errorf(certstate.Dependency, "dependsOn", "This request was not run: it depends on request '%s', which was answered with status %d.", in.Items[i].ID, status)
		}
	}
	return nil
}

// itemRequestHeaders are the headers an item may set. All others are ignored
// as what belongs to a connection. Names ending in - stand for all that begin so.
var itemRequestHeaders = []string{"accept", "certstate-reason", "client-request-id", "consistencylevel", "content-type",
	"if-match", "if-none-match", "odata-", "prefer", "repeatability-", "sdkversion"}

// part has the door answer one item, or say there why it is refused.
func (x *exchange) part(item *odata.BatchItem, refused error, a *answer) {
	r := x.r.WithContext(x.r.Context()) // its own copy; who asks, and from where, is the same
	r.Header = http.Header{"Authorization": x.r.Header["Authorization"], "Client-Request-Id": {x.clientID}}
	for name, value := range item.Header {
		if slices.ContainsFunc(itemRequestHeaders, func(known string) bool {
			return name == known || strings.HasSuffix(known, "-") && strings.HasPrefix(name, known)
		}) {
			r.Header.Set(name, value)
		}
	}
	if own, given := item.Header["authorization"]; refused == nil && given && own != r.Header.Get("Authorization") {
		refused = certstate.Errorf(certstate.Invalid, "headers/Authorization", "A request of a batch is its caller's and cannot have an Authorization of its own.")
	}
	if refused == nil {
		if target, err := item.Target(x.version, x.s.cfg.BaseURL); err != nil {
			refused = err
		} else {
			r.URL, r.RequestURI = target, target.RequestURI()
		}
	}
	r.Method, r.ContentLength, r.TransferEncoding = item.Method, int64(len(item.Body)), nil
	r.Body = io.NopCloser(bytes.NewReader(item.Body))
	*a = answer{header: http.Header{}}
	inner := x.s.open(a, r)
	inner.within, inner.refused = x.id, refused
	inner.run()
}

// answer is the response to an item, kept in memory.
type answer struct {
	header http.Header
	status int
	body   []byte
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { a.body = append(a.body, b...); return len(b), nil }

// itemResponseHeaders are those of an item's response that say something of it;
// the others are the batch's own.
var itemResponseHeaders = []string{"Allow", "Cache-Control", "Content-Type", "ETag", "Location", "OData-EntityId", "OData-Version",
	"Preference-Applied", repeatResult, "Retry-After", "WWW-Authenticate", "request-id"}

// append appends an item's response. Its shape is what Microsoft's SDKs can
// read: header values are strings, Content-Type has this spelling, a response
// without content has no body, not even null, and content that is not JSON is
// base64 (Graph, "JSON batching").
func (a *answer) append(b []byte, item *odata.BatchItem) []byte {
	b = edm.AppendJSONString(append(b, `{"id":`...), item.ID)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(a.status), 10)
	b = append(b, `,"headers":{`...)
	first := true
	for _, name := range itemResponseHeaders {
		value := a.value(name)
		if value == "" {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(edm.AppendJSONString(b, name), ':')
		b = edm.AppendJSONString(b, value)
	}
	b = append(b, '}')
	switch {
	case len(a.body) == 0 || item.Method == http.MethodHead:
	case strings.HasPrefix(a.value("Content-Type"), "application/json"):
		b = append(append(b, `,"body":`...), a.body...)
	default:
		b = append(b, `,"body":"`...)
		b = append(base64.StdEncoding.AppendEncode(b, a.body), '"')
	}
	return append(b, '}')
}

// value is a header's value, however its name was spelt when it was set.
func (a *answer) value(name string) string {
	for key, values := range a.header {
		if strings.EqualFold(key, name) {
			return strings.Join(values, ", ")
		}
	}
	return ""
}
