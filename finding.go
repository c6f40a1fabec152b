package certstate

import "certstate/edm"

// Findings are what is wrong with a record and its certificate, or worth to be
// looked at: a set of flags.
type Findings int64

// What is found when a certificate is compared with what the record's source
// says of it.
const (
	Unparseable              Findings = 1 << iota // the certificate cannot be read
	Irregular                                     // the certificate breaks rules of RFC 5280, and was read nevertheless
	ThumbprintMismatch                            // another thumbprint is stated
	SerialMismatch                                // another serial number
	SerialRadix                                   // the serial number in decimal, where hexadecimal is expected
	IssuerMismatch                                // another issuer
	SubjectMismatch                               // another subject
	IssuanceMismatch                              // another date of issuance
	ExpiryMismatch                                // another date of expiry
	KeyUsageMismatch                              // another key usage
	ExtendedKeyUsageMismatch                      // other purposes
	SharedCertificate                             // another device has the same certificate
	NoLongerReported                              // no live source that reported the certificate does so now
	RenewalStalled                                // it nears its end, or is past it, and has no successor
)

// FindingsType names the findings on the wire.
var FindingsType = &edm.EnumType{
	Name:  "certstate.certificateFindings",
	Flags: true,
	Members: []string{"none", "unparseable", "irregular", "thumbprintMismatch", "serialMismatch", "serialRadix", "issuerMismatch", "subjectMismatch",
		"issuanceMismatch", "expiryMismatch", "keyUsageMismatch", "extendedKeyUsageMismatch", "sharedCertificate", "noLongerReported", "renewalStalled"},
}

func (v Findings) String() string              { return FindingsType.Format(int64(v)) }
func (v *Findings) Text() string               { return v.String() }
func (v *Findings) TypeName() string           { return FindingsType.Name }
func (v *Findings) ControlType() string        { return "#" + FindingsType.Name }
func (v *Findings) IsNull() bool               { return false }
func (v *Findings) SetNull()                   { *v = 0 }
func (v *Findings) Assign(from edm.Value) bool { return edm.Replace(v, from) }
func (v *Findings) Suffixes() []string         { return []string{""} }
func (v *Findings) Scanned(bool)               {}

func (v *Findings) AppendJSON(b []byte) []byte { return edm.AppendJSONString(b, v.String()) }

func (v *Findings) SetJSON(s edm.Scalar) error {
	n, err := FindingsType.ParseJSON(s)
	if err == nil {
		*v = Findings(n)
	}
	return err
}

func (v *Findings) AppendSQL(args []any) []any { return append(args, int64(*v)) }
func (v *Findings) AppendScan(ts []any) []any  { return append(ts, edm.Int64Column((*int64)(v))) }
