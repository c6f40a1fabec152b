package api

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"certstate"
	"certstate/odata"
)

// maxBody bounds a request body, compressed and decompressed, in bytes.
const maxBody = 1 << 20

// body reads and decodes the request body.
func (x *exchange) body() (*odata.Body, error) {
	if err := checkMediaType(x.r.Header); err != nil {
		return nil, err
	}
	data, err := readBody(http.MaxBytesReader(x.w, x.r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	return odata.DecodeBody(data)
}

func checkMediaType(h http.Header) error {
	if ct := h.Get("Content-Type"); ct != "" {
		if mt, _, err := mime.ParseMediaType(ct); err != nil || mt != "application/json" {
			return certstate.Errorf(certstate.Unsupported, "Content-Type", "The content type '%s' is not supported: send application/json.", ct)
		}
	}
	switch enc := strings.ToLower(h.Get("Content-Encoding")); enc {
	case "", "identity", "gzip", "x-gzip":
		return nil
	default:
		return certstate.Errorf(certstate.Unsupported, "Content-Encoding", "The content encoding '%s' is not supported: send gzip, or none.", enc)
	}
}

// readBody decompresses a body that begins with gzip's magic number, whatever
// Content-Encoding says: Microsoft's Go SDK mislabels the bodies it retries.
func readBody(r io.Reader) ([]byte, error) {
	br := bufio.NewReader(r)
	var src io.Reader = br
	magic, err := br.Peek(2)
	if err == nil && magic[0] == 0x1F && magic[1] == 0x8B {
		zr, err := gzip.NewReader(br)
		if err != nil {
			return nil, badGzip(err)
		}
		src = zr
	}
	data, err := io.ReadAll(io.LimitReader(src, maxBody+1))
	if len(data) > maxBody {
		return nil, tooLarge()
	}
	return data, badGzip(err)
}

func tooLarge() error {
	return certstate.Errorf(certstate.TooLarge, "", "The request body is larger than %d bytes.", maxBody)
}

func badGzip(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge()
	}
	return errors.Join(certstate.Errorf(certstate.Invalid, "", "The request body could not be read: %s.", err), err)
}
