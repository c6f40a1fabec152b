package certificate

import "slices"

// Oddity names a way in which a certificate departs from its standard, or from
// what this package knows. The names are stored and queried, so they stay.
type Oddity string

const (
	NotDER                    Oddity = "notDER"
	TrailingData              Oddity = "trailingData"
	UnknownVersion            Oddity = "unknownVersion"
	ExtensionsInOldVersion    Oddity = "extensionsInOldVersion"
	NegativeSerial            Oddity = "negativeSerial"
	ZeroSerial                Oddity = "zeroSerial"
	LongSerial                Oddity = "longSerial"
	PaddedSerial              Oddity = "paddedSerial"
	EmptyIssuer               Oddity = "emptyIssuer"
	BadName                   Oddity = "badName"
	BadStringEncoding         Oddity = "badStringEncoding"
	BadTime                   Oddity = "badTime"
	UnusualTime               Oddity = "unusualTime"
	NotAfterBeforeNotBefore   Oddity = "notAfterBeforeNotBefore"
	SignatureMismatch         Oddity = "signatureAlgorithmMismatch"
	UnknownSignatureAlgorithm Oddity = "unknownSignatureAlgorithm"
	UnknownKeyAlgorithm       Oddity = "unknownKeyAlgorithm"
	UnknownCurve              Oddity = "unknownCurve"
	ExplicitCurve             Oddity = "explicitCurve"
	BadKey                    Oddity = "badKey"
	DuplicateExtension        Oddity = "duplicateExtension"
	BadExtension              Oddity = "badExtension"
	BadAlternativeName        Oddity = "badAlternativeName"
	ListCut                   Oddity = "listCut"
)

// Oddities says what each one means.
var Oddities = []struct {
	Oddity
	Doc string
}{
	{NotDER, "The encoding is BER, not DER: a length in a longer form than it needs, or an indefinite one."},
	{TrailingData, "Octets follow where the certificate, or a part of it, should end."},
	{UnknownVersion, "The version is none of v1, v2 and v3."},
	{ExtensionsInOldVersion, "There are extensions, which only v3 has."},
	{NegativeSerial, "The serial number is negative (RFC 5280 §4.1.2.2)."},
	{ZeroSerial, "The serial number is zero (RFC 5280 §4.1.2.2)."},
	{LongSerial, "The serial number is longer than 20 octets (RFC 5280 §4.1.2.2)."},
	{PaddedSerial, "The serial number is encoded with more octets than it needs (X.690 §8.3.2)."},
	{EmptyIssuer, "The issuer has no name (RFC 5280 §4.1.2.4)."},
	{BadName, "A name is not built as RFC 5280 §4.1.2.4 says; what can be read of it is given."},
	{BadStringEncoding, "A string holds what its type does not allow."},
	{BadTime, "A time of validity is no time; it is left out."},
	{UnusualTime, "A time of validity is in a form that RFC 5280 §4.1.2.5 does not allow, but clear."},
	{NotAfterBeforeNotBefore, "The certificate ends before it begins."},
	{SignatureMismatch, "The signature algorithm is given twice, differently (RFC 5280 §4.1.1.2)."},
	{UnknownSignatureAlgorithm, "The signature algorithm has no name here; its object identifier is given."},
	{UnknownKeyAlgorithm, "The key's algorithm has no name here; its object identifier is given."},
	{UnknownCurve, "The key's curve has no name here; its object identifier is given."},
	{ExplicitCurve, "The key's curve is spelt out, not named (RFC 5480 §2.1.1)."},
	{BadKey, "The public key cannot be read, so its size is unknown."},
	{DuplicateExtension, "An extension occurs more than once (RFC 5280 §4.2); the first is read."},
	{BadExtension, "An extension that is read here cannot be read."},
	{BadAlternativeName, "An alternative name or location is not of the form that its type demands."},
	{ListCut, "A list is longer than a property holds, and was cut after a whole item."},
}

func (p *parser) note(o Oddity) {
	if !slices.Contains(p.facts.Oddities, o) {
		p.facts.Oddities = append(p.facts.Oddities, o)
	}
}
