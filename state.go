package certstate

import (
	"strings"
	"unicode/utf8"

	"certstate/edm"
)

// TypeName is the entity's qualified name on the wire.
const TypeName = "microsoft.graph.managedAllDeviceCertificateState"

// State is one certificate on one managed device. [Properties] binds each
// field to its name on the wire; times carry the offset they came with.
type State struct {
	ID                  edm.String         // the key: a GUID made here, or the client's own id
	RevokeStatus        RevokeStatus       // how far revocation has got
	RevokeStatusChanged edm.DateTimeOffset // when RevokeStatus last changed
	DeviceName          edm.String         // for people; not an identifier
	UserPrincipalName   edm.String
	NotAfter            edm.DateTimeOffset // RFC 5280 §4.1.2.5
	Issuer              edm.String         // RFC 5280 §4.1.2.4, as text
	Thumbprint          edm.String         // SHA-1 over the DER, as the source wrote it
	Serial              edm.String         // RFC 5280 §4.1.2.2, as the source wrote it
	Subject             edm.String         // RFC 5280 §4.1.2.6, as text
	KeyUsages           edm.Int32          // bits as the source wrote them, RFC 5280 §4.2.1.3
	ExtendedKeyUsages   edm.String         // RFC 5280 §4.2.1.12, as text
	NotBefore           edm.DateTimeOffset // RFC 5280 §4.1.2.5

	DeviceID         edm.String // the managed device's id in its MDM
	PolicyID         edm.String // the configuration profile that asked for the certificate
	UserID           edm.String // the user's directory id
	ThumbprintSHA256 edm.String // SHA-256 over the DER, lower-case hex
	Source           edm.String // where the record came from, such as "graph" or "demo"

	// What the certificate says of itself, in the forms of package certificate.
	Certificate        edm.Binary // DER, RFC 5280 §4.1
	SubjectAltNames    edm.String // RFC 5280 §4.2.1.6
	AuthorityKeyID     edm.String // RFC 5280 §4.2.1.1, upper-case hex
	SubjectKeyID       edm.String // RFC 5280 §4.2.1.2, upper-case hex
	KeyType            edm.String // such as "RSA", "EC P-256"
	KeySize            edm.Int32  // bits
	SignatureAlgorithm edm.String // RFC 5280 §4.1.1.2, by its registered name
	CRLLocations       edm.String // RFC 5280 §4.2.1.13, URLs with spaces between
	OCSPLocations      edm.String // RFC 5280 §4.2.2.1 id-ad-ocsp, likewise
	IssuerLocations    edm.String // RFC 5280 §4.2.2.1 id-ad-caIssuers, likewise
	Findings           Findings

	// The record's neighbours in its lineage, which the store infers.
	Supersedes   edm.String // the id of the record whose certificate this one renews
	SupersededBy edm.String // the id of the one that renews this one

	Created  edm.DateTimeOffset // when the register first held the record
	Modified edm.DateTimeOffset // when the record last changed

	// Version changes with every change of the record and never returns to an
	// earlier value, not even when an id is deleted and created again. It is
	// the ETag, not a property.
	Version int64
}

// Bounds on what a record may hold.
const (
	MaxIDLength     = 256    // characters
	MaxStringLength = 32_768 // characters of any other string
	MaxBinaryLength = 65_536 // octets
)

// Validate reports the first thing about s that no source may store. The store
// calls it on every write, so no way in gets round it.
func (s *State) Validate() error {
	if err := ValidateID(s.ID.S); err != nil {
		return err
	}
	for i := range Properties {
		p := &Properties[i]
		if octets, ok := p.Field(s).(*edm.Binary); ok && len(octets.Octets) > MaxBinaryLength {
			return Errorf(Invalid, p.Name, "%s is longer than %d octets.", p.Name, MaxBinaryLength)
		}
		text, ok := p.Field(s).(*edm.String)
		if !ok {
			continue
		}
		if !text.Valid && !p.Is(Nullable) {
			return Errorf(Invalid, p.Name, "%s cannot be null.", p.Name)
		}
		if err := validateText(p.Name, text.S, MaxStringLength); err != nil {
			return err
		}
	}
	return nil
}

// ValidateID reports why id cannot be a record's key, or nil.
func ValidateID(id string) error {
	switch {
	case id == "":
		return Errorf(Invalid, "id", "id cannot be empty: leave it out to have one made.")
	case id == "." || id == "..":
		return Errorf(Invalid, "id", "id cannot be %q: clients remove that segment from a URL.", id)
	case strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r == 0x7F }):
		return Errorf(Invalid, "id", "id cannot contain control characters.")
	}
	return validateText("id", id, MaxIDLength)
}

func validateText(name, s string, max int) error {
	if len(s) > max && utf8.RuneCountInString(s) > max {
		return Errorf(Invalid, name, "%s is longer than %d characters.", name, max)
	}
	if !utf8.ValidString(s) {
		return Errorf(Invalid, name, "%s is not valid UTF-8.", name)
	}
	// PostgreSQL's text cannot hold NUL, and no certificate field needs it.
	if strings.IndexByte(s, 0) >= 0 {
		return Errorf(Invalid, name, "%s contains the character U+0000.", name)
	}
	return nil
}
