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
	"certstate/odata"
)

// Bounds of a request body, compressed and decompressed, in bytes. A batch's
// leaves room for as many records as it has requests.
const (
	maxBody      = 1 << 20
	maxBatchBody = 4 << 20
)

// body reads and decodes the body of a request to write.
func (x *exchange) body() (*odata.Body, error) { return decode(x, maxBody, odata.DecodeBody) }

// decode reads a body of at most limit bytes and decodes it with from, which
// keeps nothing of what it is given.
func decode[T any](x *exchange, limit int64, from func([]byte) (T, error)) (none T, err error) {
	if err := checkMediaType(x.r.Header); err != nil {
		return none, err
	}
	buf := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(buf)
	buf.Reset()
	data, err := readBody(http.MaxBytesReader(x.w, x.r.Body, limit), buf, limit)
	if err != nil {
		return none, err
	}
	x.fingerprint(data)
	return from(data)
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

// readBody reads a body into buf and decompresses it if it begins with gzip's
// magic number, whatever Content-Encoding says: Microsoft's Go SDK mislabels
// the bodies it retries.
func readBody(r io.Reader, buf *bytes.Buffer, limit int64) ([]byte, error) {
	if _, err := buf.ReadFrom(r); err != nil {
		return nil, badBody(err)
	}
	data := buf.Bytes()
	if !bytes.HasPrefix(data, []byte{0x1F, 0x8B}) {
		return data, nil
	}
	zr, err := gzip.NewReader(buf)
	if err != nil {
		return nil, badBody(err)
	}
	data, err = io.ReadAll(io.LimitReader(zr, limit+1))
	if int64(len(data)) > limit {
		return nil, tooLarge(limit)
	}
	return data, badBody(err)
}

func tooLarge(limit int64) error {
	return certstate.Errorf(certstate.TooLarge, "", "The request body is larger than %d bytes.", limit)
}

func badBody(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(e.Limit)
	}
	return errors.Join(certstate.Errorf(certstate.Invalid, "", "The request body could not be read: %s.", err), err)
}
