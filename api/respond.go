package api

import (
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"certstate"
	"certstate/odata"
)

// gzipFrom is the size in bytes from which a body is worth compressing.
const gzipFrom = 1400

var gzipWriters = sync.Pool{New: func() any {
	zw, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err)
	}
	return zw
}}

// contentType says what the answer is. A browser is told not to guess otherwise;
// of what is called JSON it does not (WHATWG MIME Sniffing §7).
func (x *exchange) contentType(mediaType string) {
	x.header("Content-Type", mediaType)
	if !strings.HasPrefix(mediaType, "application/json") {
		x.w.Header()["X-Content-Type-Options"] = noSniff
	}
}

// json answers with a JSON body.
func (x *exchange) json(status int, body []byte) error {
	x.contentType(x.rep.ContentType())
	x.write(status, body)
	return nil
}

// typed answers with a body of another media type.
func (x *exchange) typed(mediaType string, body []byte) error {
	x.contentType(mediaType)
	x.write(http.StatusOK, body)
	return nil
}

func (x *exchange) plain(status int, text string) {
	x.contentType("text/plain")
	x.write(status, []byte(text))
}

// unmeasured is the length in bytes from which net/http does not say by itself how
// long a body is.
const unmeasured = 2048

// write sends the answer, whole and with its length, once the request has given
// its turn back. A client that has gone hears nothing; there is no one to tell.
func (x *exchange) write(status int, body []byte) {
	x.leave()
	x.status = status
	h := x.w.Header()
	if len(body) >= gzipFrom && acceptsGzip(x.r.Header) {
		h.Set("Content-Encoding", "gzip")
		x.w.WriteHeader(status)
		if x.r.Method == http.MethodHead {
			return
		}
		zw := gzipWriters.Get().(*gzip.Writer)
		defer gzipWriters.Put(zw)
		zw.Reset(x.w)
		_, _ = zw.Write(body)
		_ = zw.Close()
		return
	}
	if len(body) >= unmeasured || x.r.Method == http.MethodHead && len(body) > 0 {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body)
}

func acceptsGzip(h http.Header) bool {
	for item := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, params, _ := strings.Cut(item, ";")
		if strings.TrimSpace(name) == "gzip" && strings.ReplaceAll(params, " ", "") != "q=0" {
			return true
		}
	}
	return false
}

// buffers hold bodies while they are built.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

// maxPooled keeps a rare huge page from staying in memory, in bytes.
const maxPooled = 4 << 20

// built has fill build a body in a pooled buffer and answers with it.
func (x *exchange) built(status int, fill func(b []byte) ([]byte, error)) error {
	buf := buffers.Get().(*[]byte)
	b, err := fill((*buf)[:0])
	if err != nil {
		return err
	}
	err = x.json(status, b)
	if cap(b) <= maxPooled {
		*buf = b
		buffers.Put(buf)
	}
	return err
}

// shape is the shape a query asks for.
func (x *exchange) shape(q *odata.Query) odata.Shape {
	sh := odata.ShapeOf(x.root(), q, x.rep.Level)
	sh.Epoch = x.tenant.Epoch
	return sh
}

func (x *exchange) etag(s *certstate.State) string { return odata.ETag(s.Version, x.tenant.Epoch) }

// entity answers with one record.
func (x *exchange) entity(status int, sh odata.Shape, s *certstate.State) error {
	x.header("ETag", x.etag(s))
	sh.IEEE754 = x.rep.IEEE754
	return x.built(status, func(b []byte) ([]byte, error) { return sh.AppendEntity(b, s), nil })
}
