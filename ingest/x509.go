// Package ingest turns what other systems keep about certificates into states
// of the register.
package ingest

import (
	"crypto/sha1" //nolint:gosec // a thumbprint is a name here, not a proof
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"math/bits"
	"strings"

	"certstate"
	"certstate/edm"
)

// FromCertificate fills the properties that a certificate says of itself
// (RFC 5280 §4.1, §4.2): names in RFC 4514 form, serial and thumbprints in
// hexadecimal, key usage in the layout of [KeyUsages].
func FromCertificate(c *x509.Certificate) certstate.State {
	sum1, sum256 := sha1.Sum(c.Raw), sha256.Sum256(c.Raw) //nolint:gosec // see above
	return certstate.State{
		NotBefore:         edm.Time(c.NotBefore.UTC()),
		NotAfter:          edm.Time(c.NotAfter.UTC()),
		Issuer:            edm.Str(c.Issuer.String()),
		Subject:           edm.Str(c.Subject.String()),
		Serial:            edm.Str(strings.ToUpper(hex.EncodeToString(c.SerialNumber.Bytes()))),
		Thumbprint:        edm.Str(strings.ToUpper(hex.EncodeToString(sum1[:]))),
		ThumbprintSHA256:  edm.Str(hex.EncodeToString(sum256[:])),
		KeyUsages:         edm.Int(KeyUsages(c.KeyUsage)),
		ExtendedKeyUsages: edm.Str(strings.Join(extendedKeyUsages(c), ", ")),
	}
}

// KeyUsages is a key usage in the bit layout of .NET's X509KeyUsageFlags, which
// the values in Intune's reports show: digitalSignature 0x80 down to
// encipherOnly 0x01, as in the DER bit string's first octet, and decipherOnly
// 0x8000 (RFC 5280 §4.2.1.3).
func KeyUsages(u x509.KeyUsage) int32 {
	n := int32(bits.Reverse8(uint8(u & 0xFF)))
	if u&x509.KeyUsageDecipherOnly != 0 {
		n |= 0x8000
	}
	return n
}

// purposes names the key purposes of RFC 5280 §4.2.1.12 and Microsoft's
// smart-card logon, as Windows names them.
var purposes = map[x509.ExtKeyUsage]string{
	x509.ExtKeyUsageAny:             "Any Purpose (2.5.29.37.0)",
	x509.ExtKeyUsageServerAuth:      "Server Authentication (1.3.6.1.5.5.7.3.1)",
	x509.ExtKeyUsageClientAuth:      "Client Authentication (1.3.6.1.5.5.7.3.2)",
	x509.ExtKeyUsageCodeSigning:     "Code Signing (1.3.6.1.5.5.7.3.3)",
	x509.ExtKeyUsageEmailProtection: "Secure Email (1.3.6.1.5.5.7.3.4)",
	x509.ExtKeyUsageTimeStamping:    "Time Stamping (1.3.6.1.5.5.7.3.8)",
	x509.ExtKeyUsageOCSPSigning:     "OCSP Signing (1.3.6.1.5.5.7.3.9)",
}

func extendedKeyUsages(c *x509.Certificate) (names []string) {
	for _, u := range c.ExtKeyUsage {
		if name, ok := purposes[u]; ok {
			names = append(names, name)
		}
	}
	for _, oid := range c.UnknownExtKeyUsage {
		names = append(names, oid.String())
	}
	return names
}
