package certificate

import (
	"crypto/sha1" //nolint:gosec // a thumbprint is a name here, not a proof
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"certstate/certificate/der"
)

// Facts is what a certificate says of itself. An absent extension leaves its
// fact empty, and so does a part that cannot be read: Oddities tells them apart.
// docs/certificates.md describes each form.
type Facts struct {
	DER []byte // the certificate alone; part of what Parse was given

	Issuer    string // RFC 4514
	Subject   string // RFC 4514
	Serial    string // upper-case hexadecimal in whole octets, "-" before a negative one
	NotBefore time.Time
	NotAfter  time.Time

	Thumbprint       string // SHA-1 over DER, upper-case hexadecimal
	ThumbprintSHA256 string // SHA-256 over DER, lower-case hexadecimal

	HasKeyUsages            bool
	KeyUsages               int32  // .NET's X509KeyUsageFlags
	ExtendedKeyUsages       string // "Client Authentication (1.3.6.1.5.5.7.3.2), 1.2.3"
	SubjectAlternativeNames string // "DNS:host, IP Address:10.0.0.1"
	AuthorityKeyIdentifier  string // upper-case hexadecimal
	SubjectKeyIdentifier    string // upper-case hexadecimal
	IsCA                    bool

	KeyType            string // "RSA", "EC P-256"; the object identifier if it has no name
	KeySize            int    // bits; 0: unknown, or the type says all
	SignatureAlgorithm string // as OpenSSL names it; the object identifier if it has no name

	CRLLocations    string // URLs, separated by one space
	OCSPLocations   string // URLs, separated by one space
	IssuerLocations string // URLs, separated by one space

	Oddities []Oddity // each once, in the order of the certificate
}

// ErrNotCertificate is wrapped by the error for what is no certificate. Within
// it is a *[der.Error] that says where and why.
var ErrNotCertificate = errors.New("not an X.509 certificate")

// Parse reads one certificate, in DER or BER. The error wraps
// [ErrNotCertificate] or is a *[LimitError].
func Parse(data []byte) (*Facts, error) {
	var p parser
	if err := p.certificate(data); err != nil {
		if tooMuch := (*LimitError)(nil); errors.As(err, &tooMuch) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", ErrNotCertificate, err)
	}
	return &p.facts, nil
}

// parser fills facts. Its methods follow the ASN.1 of RFC 5280 appendix A.1; one
// that returns an error has met what cannot be a certificate.
type parser struct {
	facts Facts
}

// certificate reads Certificate, RFC 5280 §4.1.
func (p *parser) certificate(data []byte) error {
	if err := LimitSize.check(len(data)); err != nil {
		return err
	}
	r := der.New(data)
	whole, err := p.read(&r, der.Sequence)
	if err != nil {
		return err
	}
	p.end(&r)
	p.identify(whole.Raw)
	in := whole.Children()
	tbs, err := p.read(&in, der.Sequence)
	if err != nil {
		return err
	}
	inner, err := p.tbsCertificate(tbs)
	if err != nil {
		return err
	}
	outer, err := p.read(&in, der.Sequence)
	if err != nil {
		return err
	}
	if _, err := p.read(&in, der.BitString); err != nil {
		return err
	}
	p.end(&in)
	p.signatureAlgorithm(inner, outer)
	return nil
}

func (p *parser) identify(whole []byte) {
	sum1, sum256 := sha1.Sum(whole), sha256.Sum256(whole) //nolint:gosec // see above
	p.facts.DER = whole
	p.facts.Thumbprint = upperHex(sum1[:])
	p.facts.ThumbprintSHA256 = hex.EncodeToString(sum256[:])
}

// tbsCertificate reads TBSCertificate and gives its signature algorithm.
func (p *parser) tbsCertificate(tbs der.Element) (algorithm der.Element, err error) {
	r := tbs.Children()
	version := p.version(&r)
	if err := p.serial(&r); err != nil {
		return algorithm, err
	}
	if algorithm, err = p.read(&r, der.Sequence); err != nil {
		return algorithm, err
	}
	if p.facts.Issuer, err = p.nextName(&r); err != nil {
		return algorithm, err
	}
	if p.facts.Issuer == "" {
		p.note(EmptyIssuer)
	}
	if err := p.validity(&r); err != nil {
		return algorithm, err
	}
	if p.facts.Subject, err = p.nextName(&r); err != nil {
		return algorithm, err
	}
	if err := p.subjectPublicKeyInfo(&r); err != nil {
		return algorithm, err
	}
	r.Value(1) // issuerUniqueID
	r.Value(2) // subjectUniqueID
	if extensions, ok := r.Parts(3); ok {
		if version < 2 {
			p.note(ExtensionsInOldVersion)
		}
		err = p.extensions(extensions)
	}
	p.end(&r)
	return algorithm, err
}

// version reads the version as it is encoded: 0 is v1.
func (p *parser) version(r *der.Reader) byte {
	e, ok := r.Parts(0)
	if !ok {
		return 0
	}
	in := e.Children()
	if n, err := in.Universal(der.Integer); err == nil && len(n.Body) == 1 && n.Body[0] <= 2 {
		return n.Body[0]
	}
	p.note(UnknownVersion)
	return 2
}

// serial reads CertificateSerialNumber, RFC 5280 §4.1.2.2.
func (p *parser) serial(r *der.Reader) error {
	e, err := p.read(r, der.Integer)
	if err != nil {
		return err
	}
	if err := LimitSerial.check(len(e.Body)); err != nil {
		return err
	}
	if len(e.Body) == 0 {
		return &der.Error{Offset: e.Offset, Reason: "the serial number has no octets"}
	}
	digits, negative := integerHex(e.Body)
	p.facts.Serial = digits
	switch {
	case negative:
		p.note(NegativeSerial)
	case digits == "00":
		p.note(ZeroSerial)
	}
	if len(e.Body) > 20 {
		p.note(LongSerial)
	}
	if padded(e.Body) {
		p.note(PaddedSerial)
	}
	return nil
}

// integerHex writes two's complement as a sign and whole octets of magnitude, as
// OpenSSL does.
func integerHex(b []byte) (digits string, negative bool) {
	magnitude := append([]byte(nil), b...)
	if negative = b[0]&0x80 != 0; negative {
		negate(magnitude)
	}
	for len(magnitude) > 1 && magnitude[0] == 0 {
		magnitude = magnitude[1:]
	}
	digits = upperHex(magnitude)
	if negative {
		digits = "-" + digits
	}
	return digits, negative
}

func negate(b []byte) {
	carry := true
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = ^b[i]
		if carry {
			b[i]++
			carry = b[i] == 0
		}
	}
}

// padded reports whether the first nine bits are alike, X.690 §8.3.2.
func padded(b []byte) bool {
	return len(b) > 1 && (b[0] == 0 && b[1]&0x80 == 0 || b[0] == 0xFF && b[1]&0x80 != 0)
}

// read reads an element of the universal tag.
func (p *parser) read(r *der.Reader, tag int) (der.Element, error) {
	e, err := r.Universal(tag)
	if e.NotDER {
		p.note(NotDER)
	}
	return e, err
}

func (p *parser) end(r *der.Reader) {
	if r.More() {
		p.note(TrailingData)
	}
}

func upperHex(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }
