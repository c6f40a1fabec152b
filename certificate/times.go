package certificate

import (
	"strings"
	"time"

	"certstate/certificate/der"
)

// validity reads Validity, RFC 5280 §4.1.2.5.
func (p *parser) validity(r *der.Reader) error {
	e, err := p.read(r, der.Sequence)
	if err != nil {
		return err
	}
	in := e.Children()
	p.facts.NotBefore = p.time(&in)
	p.facts.NotAfter = p.time(&in)
	p.end(&in)
	if !p.facts.NotAfter.IsZero() && p.facts.NotAfter.Before(p.facts.NotBefore) {
		p.note(NotAfterBeforeNotBefore)
	}
	return nil
}

// time reads Time. What is none is the zero time.
func (p *parser) time(r *der.Reader) time.Time {
	e, err := r.Next()
	if err != nil || e.Constructed || !e.Is(der.UTCTime) && !e.Is(der.GeneralizedTime) {
		p.note(BadTime)
		return time.Time{}
	}
	t, usual, ok := parseTime(string(e.Body), e.Tag)
	switch {
	case !ok:
		p.note(BadTime)
	case !usual:
		p.note(UnusualTime)
	}
	return t
}

// timeForms are the forms of UTCTime and GeneralizedTime in X.680 §46 and §47;
// years of UTCTime have been made four digits, and fractions cut off.
var timeForms = []struct {
	layout string
	usual  bool // RFC 5280 allows it
}{
	{"20060102150405Z", true},
	{"20060102150405Z0700", false},
	{"20060102150405", false},
	{"200601021504Z0700", false},
	{"200601021504", false},
	{"2006010215Z0700", false},
	{"2006010215", false},
}

// parseTime reads the text of a time; without an offset it is taken as UTC.
func parseTime(s string, tag int) (_ time.Time, usual, ok bool) {
	usual = true
	if tag == der.UTCTime {
		if len(s) < len("YYMMDDhhmm") || !digits(s[:10]) {
			return time.Time{}, false, false
		}
		s = century(s[:2]) + s
	} else {
		var fraction bool
		s, fraction = cutFraction(s)
		usual = !fraction && s >= "2050"
	}
	if len(s) < len("YYYYMMDDhh") || !digits(s[:10]) {
		return time.Time{}, false, false
	}
	for _, form := range timeForms {
		if t, err := time.Parse(form.layout, s); err == nil {
			t = t.UTC()
			if t.Year() < 0 || t.Year() > 9999 { // an offset led out of the four digits
				return time.Time{}, false, false
			}
			return t, usual && form.usual, true
		}
	}
	return time.Time{}, false, false
}

// century is that of a year in two digits, RFC 5280 §4.1.2.5.1.
func century(year string) string {
	if year >= "50" {
		return "19"
	}
	return "20"
}

// cutFraction takes the fraction from a GeneralizedTime: the register's times
// need no parts of a second from a certificate.
func cutFraction(s string) (whole string, found bool) {
	i := strings.IndexAny(s, ".,")
	if i < 0 {
		return s, false
	}
	rest := strings.TrimLeft(s[i+1:], "0123456789")
	return s[:i] + rest, true
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }
