package ingest

import (
	"bytes"
	"fmt"
	"strings"

	"certstate/certificate/der"
)

var (
	beginMarker = []byte("-----BEGIN ")
	dashes      = []byte("-----")
)

// pem reads the blocks of RFC 7468, wherever in a line they begin. Text between
// them is passed over.
func (c *collector) pem(data []byte) error {
	c.place = Place{Line: 1}
	for {
		begin := bytes.Index(data, beginMarker)
		if begin < 0 {
			return nil
		}
		c.place.Line += bytes.Count(data[:begin], []byte("\n"))
		c.place.Block, c.place.Number = c.place.Block+1, 0
		data = data[begin:]
		size, err := c.block(data)
		if err != nil {
			return err
		}
		c.place.Line += bytes.Count(data[:size], []byte("\n"))
		data = data[size:]
	}
}

// block reads the block at the beginning of data and gives its length.
func (c *collector) block(data []byte) (size int, err error) {
	at := len(beginMarker)
	labelEnd := bytes.Index(data[at:], dashes)
	lineEnd := bytes.IndexByte(data[at:], '\n')
	if labelEnd < 0 || lineEnd >= 0 && lineEnd < labelEnd {
		return at, c.add(nil, fmt.Errorf("a line that begins a PEM block but does not end with %s", dashes))
	}
	label := string(data[at : at+labelEnd])
	at += labelEnd + len(dashes)
	bodyEnd := bytes.Index(data[at:], dashes)
	end := []byte("-----END " + label + "-----")
	if bodyEnd < 0 || !bytes.HasPrefix(data[at+bodyEnd:], end) {
		if isPrivate(label) {
			return at, c.add(nil, ErrPrivateKey)
		}
		return at, c.add(nil, fmt.Errorf("a PEM block that is not followed by its end line"))
	}
	body := data[at : at+bodyEnd]
	return at + bodyEnd + len(end), c.body(label, body)
}

// labels are those of RFC 7468 and OpenSSL, and what they hold that is no
// certificate; "" if it is one, or a container of some.
var labels = map[string]string{
	"CERTIFICATE":             "",
	"X509 CERTIFICATE":        "",
	"X.509 CERTIFICATE":       "",
	"TRUSTED CERTIFICATE":     "",
	"PKCS7":                   "",
	"CMS":                     "",
	"PKCS #7 SIGNED DATA":     "",
	"CERTIFICATE CHAIN":       "",
	"PKCS12":                  "",
	"CERTIFICATE REQUEST":     aRequest,
	"NEW CERTIFICATE REQUEST": aRequest,
	"X509 CRL":                aCRL,
	"CRL":                     aCRL,
	"PUBLIC KEY":              aPublicKey,
	"RSA PUBLIC KEY":          aPublicKey,
	"SSH2 PUBLIC KEY":         aPublicKey,
	"DH PARAMETERS":           "parameters of a key",
	"X9.42 DH PARAMETERS":     "parameters of a key",
	"DSA PARAMETERS":          "parameters of a key",
	"EC PARAMETERS":           "parameters of a key",
	"ATTRIBUTE CERTIFICATE":   "an attribute certificate",
}

func isPrivate(label string) bool { return strings.Contains(label, "PRIVATE KEY") }

func (c *collector) body(label string, body []byte) error {
	if isPrivate(label) {
		return c.add(nil, ErrPrivateKey)
	}
	what, known := labels[label]
	switch {
	case !known:
		return c.add(nil, &NotCertificateError{"a PEM block of a kind that is not known"})
	case what != "":
		return c.add(nil, &NotCertificateError{what})
	}
	octets, err := decodeBase64(withoutHeaders(body))
	if err != nil {
		return c.add(nil, fmt.Errorf("a PEM block whose body is %w", err))
	}
	if label == "TRUSTED CERTIFICATE" { // OpenSSL's own: its trust settings follow
		r := der.New(octets)
		if e, err := r.Next(); err == nil {
			octets = e.Raw
		}
	}
	return c.der(octets)
}

// withoutHeaders takes away headers, which end with an empty line (RFC 1421
// §4.4).
func withoutHeaders(body []byte) []byte {
	if !bytes.ContainsRune(body, ':') {
		return body
	}
	body = bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))
	if _, rest, found := bytes.Cut(bytes.TrimLeft(body, " \t\n"), []byte("\n\n")); found {
		return rest
	}
	return body
}
