package ingest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"

	"certstate/certificate"
)

// Limits on what a file of certificates may hold, before any is parsed. What is
// beyond them is a *[certificate.LimitError].
var (
	LimitFile         = certificate.Limit{Name: "file", Max: 16 << 20, Unit: "octets", Reason: "it is read whole"}
	LimitCertificates = certificate.Limit{Name: "list of certificates in one file", Max: 10_000, Unit: "certificates", Reason: "a bundle, not a register; those come as NDJSON"}
	LimitIterations   = certificate.Limit{Name: "key derivation of a PKCS#12 file", Max: 2_000_000, Unit: "rounds", Reason: "about two seconds; Firefox, the most careful, asks for 600,000"}
)

// Limits lists them.
var Limits = []*certificate.Limit{&LimitFile, &LimitCertificates, &LimitIterations}

// Faults that callers tell apart. Their messages are for the person who sent the
// file, and never hold any of it.
var (
	ErrPrivateKey     = errors.New("a private key: the register takes none, and has not kept it; send the certificate alone, and treat a key that was sent as known to others")
	ErrNoCertificates = errors.New("no certificate: PEM, DER, PKCS#7, PKCS#12 and base64 of these are read")
)

// ErrPassword is the fault of a PKCS#12 file whose password was not given, or another.
var ErrPassword error = &Fault{Reason: "the PKCS#12 file does not open with this password", Cure: "give the file's own with --password-file"}

// NotCertificateError names what was found in a certificate's place.
type NotCertificateError struct {
	What string // with its article
}

func (e *NotCertificateError) Error() string { return e.What + ", not a certificate" }

// Place is where in a file something was found, so that a report can say it.
type Place struct {
	Block  int // of PEM, from 1; 0: the file is not PEM
	Line   int // where the block begins, from 1; 0: the file is not text
	Number int // within the block or file, from 1
	Offset int // in octets, from 0, where the file is DER
}

func (p Place) String() string {
	if p.Block > 0 {
		s := fmt.Sprintf("block %d, line %d", p.Block, p.Line)
		if p.Number > 1 {
			s += fmt.Sprintf(", certificate %d", p.Number)
		}
		return s
	}
	return fmt.Sprintf("certificate %d, octet %d", p.Number, p.Offset)
}

// Found is what a file holds in one place: a certificate, not yet parsed, or why
// it is none.
type Found struct {
	Place
	DER []byte // may be part of the file's own octets
	Err error
}

// ReadCertificates finds the certificates in a file by what its octets are, not
// by its name: PEM with any number of blocks and any text between, DER, several
// one after another, PKCS#7, PKCS#12, and base64 of these without armour.
//
// Private keys are found, refused and left out, with [ErrPrivateKey] in their
// place. A PKCS#12 file holds them by its nature: there they are passed over, and
// never decrypted. Its password is used for nothing else; its integrity is not
// checked, for a register believes a certificate no more than its source.
//
// An error means that the file as a whole cannot be read, and Found is what came
// before.
func ReadCertificates(data []byte, password string) ([]Found, error) {
	if len(data) > LimitFile.Max {
		return nil, &certificate.LimitError{Limit: &LimitFile, Got: len(data)}
	}
	c := collector{password: password, rounds: LimitIterations.Max}
	err := c.file(data)
	if err == nil && len(c.found) == 0 {
		err = ErrNoCertificates
	}
	return c.found, err
}

// collector gathers what a file holds.
type collector struct {
	password string
	rounds   int // of key derivation still allowed
	place    Place
	found    []Found
}

func (c *collector) file(data []byte) error {
	data = asUTF8(data)
	text := bytes.TrimSpace(data)
	switch {
	case len(text) == 0:
		return ErrNoCertificates
	case beginsWithDER(data): // which may hold PEM: signed mail does
		return c.der(data)
	case bytes.Contains(data, beginMarker):
		return c.pem(data)
	case keepsPrivateKeys(text):
		return c.add(nil, ErrPrivateKey)
	}
	if der, ok := bareBase64(text); ok {
		return c.der(der)
	}
	for magic, what := range otherFiles {
		if bytes.HasPrefix(text, []byte(magic)) {
			return c.add(nil, &NotCertificateError{what})
		}
	}
	return c.der(data)
}

// add notes a certificate or a fault at the current place.
func (c *collector) add(der []byte, fault error) error {
	if len(c.found) >= LimitCertificates.Max {
		return &certificate.LimitError{Limit: &LimitCertificates, Got: len(c.found) + 1}
	}
	c.place.Number++
	c.found = append(c.found, Found{c.place, der, fault})
	return nil
}

// otherFiles are formats that people take for certificates, by their first
// octets.
var otherFiles = map[string]string{
	"\xFE\xED\xFE\xED": "a Java keystore (convert it with keytool -importkeystore -deststoretype PKCS12)",
	"\xCE\xCE\xCE\xCE": "a Java keystore (convert it with keytool -importkeystore -deststoretype PKCS12)",
	"PK\x03\x04":       "a zip archive",
	"\x1F\x8B":         "a gzip archive",
	"ssh-":             "an SSH public key",
	"ecdsa-sha2-":      "an SSH public key",
	"{":                "JSON",
	"[":                "JSON",
}

// keepsPrivateKeys recognises private keys in text without PEM's armour.
func keepsPrivateKeys(text []byte) bool {
	if bytes.HasPrefix(text, []byte("PuTTY-User-Key-File-")) || bytes.HasPrefix(text, []byte("openssh-key-v1\x00")) {
		return true
	}
	if text[0] != '{' && text[0] != '[' || !bytes.Contains(text, []byte(`"kty"`)) {
		return false
	}
	for _, member := range []string{`"d"`, `"k"`, `"p"`, `"q"`, `"priv"`} { // RFC 7518 §6, RFC 9964
		if bytes.Contains(text, []byte(member)) {
			return true
		}
	}
	return false
}

// asUTF8 takes the byte order mark from text, and makes UTF-16, which PowerShell
// writes, into UTF-8.
func asUTF8(data []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(data, []byte("\xEF\xBB\xBF")):
		return data[3:]
	case bytes.HasPrefix(data, []byte("\xFF\xFE")):
		order = binary.LittleEndian
	case bytes.HasPrefix(data, []byte("\xFE\xFF")):
		order = binary.BigEndian
	default:
		return data
	}
	units := make([]uint16, len(data)/2-1)
	for i := range units {
		units[i] = order.Uint16(data[2+2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}

// bareBase64 decodes text that is base64 and nothing else, and holds DER.
func bareBase64(text []byte) ([]byte, bool) {
	if text[0] != 'M' { // as does 0x30, the first octet of everything that is read
		return nil, false
	}
	der, err := decodeBase64(text)
	return der, err == nil
}

// decodeBase64 passes over white space, and over padding that is missing.
func decodeBase64(text []byte) ([]byte, error) {
	clean := strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '\r', '\n', '\f', '\v':
			return -1
		}
		return r
	}, string(text))
	der, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(clean, "="))
	if err != nil {
		return nil, errors.New("not base64")
	}
	return der, nil
}
