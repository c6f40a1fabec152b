package store

import (
	"errors"
	"fmt"

	"certstate"
	"certstate/certificate"
)

// certificateOf reads a record's certificate, where state is the record's row.
const certificateOf = "(SELECT der FROM certificate AS c WHERE c.part = state.part AND c.tenant = state.tenant AND c.sha256 = state.thumbprint_sha256_hex) AS certificate"

var certificateSet = certstate.All &^ certstate.InRow

// observe compares a record with its certificate, and has it say what the
// certificate says. stated are the properties that have just been given: a new
// certificate replaces what others said of an earlier one. facts are those of the
// certificate, if it has been read already; else nil.
func observe(s *certstate.State, stated certstate.Set, facts *certificate.Facts) error {
	if stated&(certificateSet|certificate.Properties) == 0 {
		return nil
	}
	reported, sha256 := s.Findings&certstate.NoLongerReported, s.ThumbprintSHA256
	certificate.Forget(s)
	if !s.Certificate.Valid {
		return nil
	}
	var fill certstate.Set
	if stated&certificateSet != 0 {
		fill = certificate.Properties &^ stated
	}
	err := certificate.Describe(s, facts, fill)
	switch {
	case err == nil:
	case errors.Is(err, certificate.ErrNotCertificate) && certificate.Shaped([]byte(s.Certificate.Octets)):
		certificate.Name(s)
	case errors.Is(err, certificate.ErrNotCertificate): // it may be a private key: it is not kept
		return certstate.Errorf(certstate.Invalid, "certificate", "'certificate' is no X.509 certificate in DER: send the octets between the lines of its PEM file; files of other forms come in by import jobs. What was sent was not kept.")
	default:
		return certstate.Errorf(certstate.Invalid, "certificate", "The certificate cannot be kept: %s.", err)
	}
	if s.ThumbprintSHA256 == sha256 {
		s.Findings |= reported
	}
	return s.Validate()
}

// keepCertificate keeps a record's certificate, unless it is kept already.
func (tx *tx) keepCertificate(t Tenant, s *certstate.State) error {
	if !s.Certificate.Valid {
		return nil
	}
	err := tx.later("INSERT INTO certificate (part, tenant, sha256, der) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
		t.part(), t.no, s.ThumbprintSHA256.S, []byte(s.Certificate.Octets))
	if err != nil {
		return fmt.Errorf("keep the certificate: %w", err)
	}
	return nil
}

// forgetCertificates removes the certificates of versions that ended up to a
// change, unless another version or a record has them.
const forgetCertificates = "DELETE FROM certificate WHERE part = $1 AND tenant = $2 AND sha256 IN " +
	"(SELECT thumbprint_sha256_hex FROM past WHERE part = $1 AND tenant = $2 AND n <= $3 AND thumbprint_sha256_hex <> '') AND " +
	"NOT EXISTS (SELECT 1 FROM state AS s WHERE s.tenant = $2 AND s.part = $1 AND s.thumbprint_sha256_hex = sha256 AND s.thumbprint_sha256_hex <> '') AND " +
	"NOT EXISTS (SELECT 1 FROM past AS p WHERE p.tenant = $2 AND p.part = $1 AND p.thumbprint_sha256_hex = sha256 AND p.thumbprint_sha256_hex <> '' AND p.n > $3)"
