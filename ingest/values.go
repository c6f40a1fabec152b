package ingest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"certstate/edm"
)

// Fault is why a row, or one cell of it, was left out.
type Fault struct {
	Column string // of the header; "": the whole row
	Reason string
	Cure   string // what would be right; "": Reason says it
}

func (f *Fault) Error() string {
	s := f.Reason
	if f.Column != "" {
		s = "column " + f.Column + ": " + s
	}
	if f.Cure != "" {
		s += ": " + f.Cure
	}
	return s
}

// timeForms are the forms of a time besides RFC 3339, all in UTC: as Intune
// exports it, as a date alone, and as .NET writes it in America, which only AM or
// PM tells from other countries' dates.
var timeForms = []string{
	"2006-01-02 15:04:05.9999999",
	"2006-01-02T15:04:05.9999999",
	"2006-01-02 15:04",
	"2006-01-02",
	"1/2/2006 3:04:05 PM",
	"1/2/2006 3:04 PM",
}

func parseTime(text string) (edm.DateTimeOffset, error) {
	if t, err := edm.ParseDateTimeOffset(text); err == nil {
		return t, nil
	}
	plain := strings.TrimSuffix(strings.TrimSuffix(text, " UTC"), " +00:00")
	for _, form := range timeForms {
		if t, err := time.Parse(form, plain); err == nil {
			return edm.Time(t), nil
		}
	}
	return edm.DateTimeOffset{}, &Fault{Reason: fmt.Sprintf("%q is no time", text), Cure: "write 2026-12-31T23:59:59Z, or 2026-12-31 23:59:59 in UTC"}
}

// keyUsageBits are the names of RFC 5280 §4.2.1.3 and of Windows, without spaces
// and in small letters, with the bits of .NET's X509KeyUsageFlags.
var keyUsageBits = map[string]int{
	"none":             0,
	"digitalsignature": 128,
	"nonrepudiation":   64, "contentcommitment": 64,
	"keyencipherment":  32,
	"dataencipherment": 16,
	"keyagreement":     8,
	"keycertsign":      4, "certificatesigning": 4,
	"crlsign": 2, "crlsigning": 2, "offlinecrlsigning": 2,
	"encipheronly": 1,
	"decipheronly": 32768,
}

// certutilBits are the octets that Windows writes after the names: "(a0)".
var certutilBits = regexp.MustCompile(`\s*\([0-9A-Fa-f ,]+\)\s*$`)

// keyUsages makes a list of names, or the number of them, a number.
func keyUsages(text string) (string, error) {
	if isNumber(text) {
		return text, nil
	}
	bits := 0
	for name := range strings.FieldsFuncSeq(certutilBits.ReplaceAllString(text, ""), func(r rune) bool { return r == ',' || r == ';' || r == '|' }) {
		bit, ok := keyUsageBits[strings.ToLower(letters(name))]
		if !ok {
			return "", &Fault{Reason: fmt.Sprintf("%q is no key usage", strings.TrimSpace(name)), Cure: "write their number, such as 160, or names such as DigitalSignature, KeyEncipherment"}
		}
		bits |= bit
	}
	return strconv.Itoa(bits), nil
}

func isNumber(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}
