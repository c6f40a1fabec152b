package ingest

import (
	"bytes"
	"errors"
	"regexp"

	"certstate/certificate"
	"certstate/certificate/der"
)

// Names of what is mistaken for a certificate.
const (
	aRequest   = "a certificate request"
	aCRL       = "a certificate revocation list"
	aPublicKey = "a public key"
)

// kind is what a structure can be, and what is done with it.
type kind struct {
	outline *regexp.Regexp
	read    func(*collector, der.Element) error
}

// kinds tell structures apart by their [certificate.Outline]; the first that fits counts, and
// the last always does. Octets leave this package only in a certificate's
// outline: what may be a key does not.
var kinds = []kind{
	{regexp.MustCompile(`^o0?$`), (*collector).contentInfo},
	{regexp.MustCompile(`^i\(o0\)`), (*collector).pkcs12},                // PFX, RFC 7292 §4
	{regexp.MustCompile(`^i\(o.*?\)s`), privateKey},                      // PrivateKeyInfo, RFC 5958 §2
	{regexp.MustCompile(`^is`), privateKey},                              // ECPrivateKey, RFC 5915 §3
	{regexp.MustCompile(`^i{6}`), privateKey},                            // RSAPrivateKey, RFC 8017 §A.1.2, and OpenSSL's of DSA
	{regexp.MustCompile(`^\(o.*?\)s`), privateKey},                       // EncryptedPrivateKeyInfo, RFC 5958 §3
	{regexp.MustCompile(`^\(o.*?\)b$`), notCertificate(aPublicKey)},      // SubjectPublicKeyInfo
	{regexp.MustCompile(`^ii$`), notCertificate(aPublicKey)},             // RSAPublicKey
	{regexp.MustCompile(`^e0?$`), notCertificate("an OCSP response")},    // RFC 6960 §4.2.1
	{regexp.MustCompile(`^\(i\(\)\(\)0?\)\(`), notCertificate(aRequest)}, // CertificationRequest, RFC 2986 §4.2
	{regexp.MustCompile(`^\(i?\(\)\(\)t`), notCertificate(aCRL)},         // CertificateList, RFC 5280 §5.1
	{certificate.Shape, (*collector).candidate},
	{regexp.MustCompile(`^`), notCertificate("a structure of another kind")},
}

func privateKey(c *collector, _ der.Element) error { return c.add(nil, ErrPrivateKey) }

func notCertificate(what string) func(*collector, der.Element) error {
	return func(c *collector, _ der.Element) error { return c.add(nil, &NotCertificateError{what}) }
}

func (c *collector) candidate(e der.Element) error { return c.add(e.Raw, nil) }

// der reads structures one after another.
func (c *collector) der(data []byte) error {
	for r := der.New(data); r.More(); {
		if c.place.Block == 0 {
			c.place.Offset = r.Offset()
		}
		if r.Rest()[0] != 0x30 {
			return c.tail(r.Rest())
		}
		e, err := r.Next()
		if err != nil {
			return c.add(nil, err)
		}
		if err := c.structure(e); err != nil {
			return err
		}
	}
	return nil
}

// tail judges what follows the last structure; a line end or zeros do not matter.
func (c *collector) tail(rest []byte) error {
	switch {
	case len(bytes.Trim(rest, "\x00 \t\r\n")) == 0:
		return nil
	case c.place.Number > 0:
		return c.add(nil, errors.New("octets that begin no certificate"))
	case c.place.Block > 0:
		return c.add(nil, &NotCertificateError{"a PEM block of other octets"})
	}
	return ErrNoCertificates
}

// beginsWithDER reports whether data begins with a structure of a kind known
// here.
func beginsWithDER(data []byte) bool {
	r := der.New(data)
	e, err := r.Universal(der.Sequence)
	return err == nil && kindOf(e) < len(kinds)-1
}

func (c *collector) structure(e der.Element) error { return kinds[kindOf(e)].read(c, e) }

func kindOf(e der.Element) int {
	text := certificate.Outline(e)
	for i, kind := range kinds {
		if kind.outline.MatchString(text) {
			return i
		}
	}
	return len(kinds) - 1
}
