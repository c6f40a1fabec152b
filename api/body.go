package api

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"certstate"
)

// Bounds of a request body, compressed and decompressed, in bytes. A batch's
// leaves room for as many records as it has requests.
const (
	maxBody      = 1 << 20
	maxBatchBody = 4 << 20
)

// receive reads the body, if the route takes one.
func (x *exchange) receive() (err error) {
	limit := x.route.body
	if limit == 0 {
		return nil
	}
	if err := checkMediaType(x.r.Header); err != nil {
		return err
	}
	x.buf = bodies.Get().(*bytes.Buffer)
	x.buf.Reset()
	if x.data, err = x.readBody(http.MaxBytesReader(x.w, x.r.Body, limit), limit); err == nil {
		x.fingerprint(x.data)
	}
	return err
}

// decoded is the body decoded with from, which keeps nothing of what it is
// given.
func decoded[T any](x *exchange, from func([]byte) (T, error)) (T, error) {
	defer x.drop()
	return from(x.data)
}

// drop gives the body up.
func (x *exchange) drop() {
	if x.buf == nil {
		return
	}
	bodies.Put(x.buf)
	x.s.load.release(x.held)
	x.buf, x.data, x.held = nil, nil, 0
}

func checkMediaType(h http.Header) error {
	if ct := h.Get("Content-Type"); ct != "" {
		if mt, _, err := mime.ParseMediaType(ct); err != nil || mt != "application/json" {
			return certstate.Errorf(certstate.Unsupported, "Content-Type", "The content type '%s' is not supported: send application/json, in batches too.", ct)
		}
	}
	switch enc := strings.ToLower(h.Get("Content-Encoding")); enc {
	case "", "identity", "gzip", "x-gzip":
		return nil
	default:
		return certstate.Errorf(certstate.Unsupported, "Content-Encoding", "The content encoding '%s' is not supported: send gzip, or none.", enc)
	}
}

// bodies hold request bodies while they are decoded.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readBody reads a body and decompresses it if it begins with gzip's magic
// number, whatever Content-Encoding says: Microsoft's Go SDK mislabels the bodies
// it retries.
func (x *exchange) readBody(r io.Reader, limit int64) ([]byte, error) {
	if _, err := x.buf.ReadFrom(heldReader{r, x}); err != nil {
		return nil, badBody(err)
	}
	data := x.buf.Bytes()
	if !bytes.HasPrefix(data, []byte{0x1F, 0x8B}) {
		return data, nil
	}
	zr, err := gzip.NewReader(x.buf)
	if err != nil {
		return nil, badBody(err)
	}
	data, err = io.ReadAll(io.LimitReader(heldReader{zr, x}, limit+1))
	if int64(len(data)) > limit {
		return nil, tooLarge(limit)
	}
	return data, badBody(err)
}

func tooLarge(limit int64) error {
	return certstate.Errorf(certstate.TooLarge, "", "The request body is larger than %d bytes.", limit)
}

func badBody(err error) error {
	if err == nil || isShed(err) {
		return err
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(e.Limit)
	}
	return errors.Join(certstate.Errorf(certstate.Invalid, "", "The request body could not be read: %s.", err), err)
}
