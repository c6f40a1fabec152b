package certificate

import (
	"math/bits"

	"certstate/certificate/der"
)

// keyKind is a key algorithm: its name, and what completes it and the size from
// the parameters and the key.
type keyKind struct {
	name   string
	finish func(p *parser, parameters der.Reader, key der.Element) bool
}

// subjectPublicKeyInfo reads SubjectPublicKeyInfo, RFC 5280 §4.1.2.7.
func (p *parser) subjectPublicKeyInfo(r *der.Reader) error {
	e, err := p.read(r, der.Sequence)
	if err != nil {
		return err
	}
	in := e.Children()
	algorithm, err := p.read(&in, der.Sequence)
	if err != nil {
		return err
	}
	oid, parameters := algorithmOf(algorithm)
	kind, known := keys[oid]
	if !known {
		kind = keyKind{signatures[oid], fixed(0)} // post-quantum keys have their signature's identifier
	}
	if p.facts.KeyType = kind.name; kind.name == "" {
		p.facts.KeyType = oid
		p.note(UnknownKeyAlgorithm)
	}
	key, err := p.read(&in, der.BitString)
	if err != nil {
		p.note(BadKey)
		return nil
	}
	if !kind.finish(p, parameters, key) {
		p.note(BadKey)
	}
	p.end(&in)
	return LimitRSA.check(p.rsaBits())
}

// rsaBits is the size of an RSA key, 0 for others: of them no numbers are read.
func (p *parser) rsaBits() int {
	switch p.facts.KeyType {
	case "RSA", "RSA-PSS", "RSA-OAEP":
		return p.facts.KeySize
	}
	return 0
}

// algorithmOf reads AlgorithmIdentifier, RFC 5280 §4.1.1.2. The identifier is ""
// if it cannot be read.
func algorithmOf(e der.Element) (oid string, parameters der.Reader) {
	parameters = e.Children()
	id, err := parameters.Universal(der.OID)
	if err != nil {
		return "", parameters
	}
	oid, _ = der.OIDText(id.Body)
	return oid, parameters
}

func fixed(bits int) func(*parser, der.Reader, der.Element) bool {
	return func(p *parser, _ der.Reader, _ der.Element) bool {
		p.facts.KeySize = bits
		return true
	}
}

// rsaSize reads RSAPublicKey, RFC 8017 §A.1.1.
func (p *parser) rsaSize(_ der.Reader, key der.Element) bool {
	if len(key.Body) == 0 {
		return false
	}
	r := der.New(key.Body[1:])
	return p.sizeOfFirst(&r)
}

// primeSize reads the parameters of DSA, RFC 3279 §2.3.2, and Diffie-Hellman,
// §2.3.3: p comes first. They may be inherited from the issuer's key.
func (p *parser) primeSize(parameters der.Reader, _ der.Element) bool {
	return !parameters.More() || p.sizeOfFirst(&parameters)
}

// sizeOfFirst sets the size to that of a sequence's first number.
func (p *parser) sizeOfFirst(r *der.Reader) bool {
	e, err := r.Universal(der.Sequence)
	if err != nil {
		return false
	}
	in := e.Children()
	n, err := in.Universal(der.Integer)
	p.facts.KeySize = bitLen(n.Body)
	return err == nil && p.facts.KeySize > 0
}

func bitLen(b []byte) int {
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	if len(b) == 0 {
		return 0
	}
	return 8*(len(b)-1) + bits.Len8(b[0])
}

// curve reads ECParameters, RFC 5480 §2.1.1, and RFC 3279 §2.3.5 where the curve
// is spelt out.
func (p *parser) curve(parameters der.Reader, _ der.Element) bool {
	e, err := parameters.Next()
	if err != nil {
		return false
	}
	if e.Is(der.Sequence) {
		p.note(ExplicitCurve)
		p.facts.KeyType += " explicit"
		return p.explicitCurve(e)
	}
	oid, ok := der.OIDText(e.Body)
	if !e.Is(der.OID) || !ok {
		return false
	}
	curve, known := curves[oid]
	if !known {
		p.note(UnknownCurve)
		p.facts.KeyType += " " + oid
		return true
	}
	p.facts.KeyType, p.facts.KeySize = p.facts.KeyType+" "+curve.name, curve.bits
	return true
}

// explicitCurve finds the order: version, field, curve, base, order.
func (p *parser) explicitCurve(e der.Element) bool {
	in := e.Children()
	for range 4 {
		if _, err := in.Next(); err != nil {
			return false
		}
	}
	order, err := in.Universal(der.Integer)
	p.facts.KeySize = bitLen(order.Body)
	return err == nil && p.facts.KeySize > 0
}

// signatureAlgorithm names the algorithm that the certificate gives twice.
func (p *parser) signatureAlgorithm(inner, outer der.Element) {
	if string(inner.Body) != string(outer.Body) {
		p.note(SignatureMismatch)
	}
	oid, _ := algorithmOf(outer)
	if p.facts.SignatureAlgorithm = signatures[oid]; p.facts.SignatureAlgorithm == "" {
		p.facts.SignatureAlgorithm = oid
		p.note(UnknownSignatureAlgorithm)
	}
}
