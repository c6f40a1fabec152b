package certificate_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"certstate/certificate"
)

// tlv writes an element with a length in the shortest form.
func tlv(tag byte, parts ...[]byte) []byte {
	body := join(parts...)
	switch n := len(body); {
	case n < 0x80:
		return append([]byte{tag, byte(n)}, body...)
	case n < 0x100:
		return append([]byte{tag, 0x81, byte(n)}, body...)
	case n < 0x10000:
		return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, body...)
	default:
		return append([]byte{tag, 0x83, byte(n >> 16), byte(n >> 8), byte(n)}, body...)
	}
}

func join(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func seq(parts ...[]byte) []byte { return tlv(0x30, parts...) }
func set(parts ...[]byte) []byte { return tlv(0x31, parts...) }
func str(tag byte, s string) []byte {
	return tlv(tag, []byte(s))
}

func bytesOf(digits string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// Object identifiers of the tests.
var (
	cn      = bytesOf("0603550403")
	org     = bytesOf("060355040a")
	oid123  = bytesOf("06022a03")
	sha256  = seq(bytesOf("06092a864886f70d01010b"), bytesOf("0500"))
	p256    = seq(seq(bytesOf("06072a8648ce3d0201"), bytesOf("06082a8648ce3d030107")), bytesOf("03020004"))
	rsaOID  = seq(bytesOf("06092a864886f70d010101"), bytesOf("0500"))
	someSig = bytesOf("03020001")
)

func rdn(oid, value []byte) []byte { return set(seq(oid, value)) }

// parts are those of a certificate; a test replaces what it is about.
type parts struct {
	version, serial, inner, issuer, validity, subject, key, unique, extensions, outer, signature, after []byte
}

func ordinary() parts {
	return parts{
		version:  bytesOf("a003020102"),
		serial:   bytesOf("02020a0b"),
		inner:    sha256,
		issuer:   seq(rdn(cn, str(12, "CA"))),
		validity: seq(str(23, "260102030405Z"), str(23, "270102030405Z")),
		subject:  seq(rdn(org, str(12, "Fleet")), rdn(cn, str(12, "Laptop, 1"))),
		key:      p256,
		outer:    sha256, signature: someSig,
	}
}

func (p parts) der() []byte {
	tbs := seq(p.version, p.serial, p.inner, p.issuer, p.validity, p.subject, p.key, p.unique, p.extensions)
	return join(seq(tbs, p.outer, p.signature), p.after)
}

// with is a certificate with one extension, whose value is given.
func with(oid string, value []byte) []byte {
	c := ordinary()
	c.extensions = extensions(extension(oid, value))
	return c.der()
}

func extensions(list ...[]byte) []byte { return tlv(0xA3, seq(list...)) }
func extension(oid string, value []byte) []byte {
	return seq(tlv(6, bytesOf(oid)), tlv(4, value))
}

func parse(t *testing.T, der []byte) *certificate.Facts {
	t.Helper()
	f, err := certificate.Parse(der)
	if err != nil {
		t.Fatalf("%v\n%x", err, der)
	}
	return f
}
