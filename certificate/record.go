package certificate

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"certstate"
	"certstate/edm"
)

// fact binds what a certificate says to the property that states it.
type fact struct {
	property string
	set      func(*Facts, *certstate.State)
	// differs says what is found if a record states something else than the
	// certificate; nil: it states what the certificate says, always.
	differs func(*Facts, *certstate.State) certstate.Findings
}

// facts are the properties that a record without them takes from its
// certificate. Those that only a certificate can tell come last.
var facts = []fact{
	{"certificateExpirationDateTime",
		func(f *Facts, s *certstate.State) { s.NotAfter = edm.Time(f.NotAfter.UTC()) },
		func(f *Facts, s *certstate.State) certstate.Findings {
			return found(!sameSecond(f.NotAfter, s.NotAfter), certstate.ExpiryMismatch)
		}},
	{"certificateIssuanceDateTime",
		func(f *Facts, s *certstate.State) { s.NotBefore = edm.Time(f.NotBefore.UTC()) },
		func(f *Facts, s *certstate.State) certstate.Findings {
			return found(!sameSecond(f.NotBefore, s.NotBefore), certstate.IssuanceMismatch)
		}},
	{"certificateIssuerName",
		func(f *Facts, s *certstate.State) { s.Issuer = edm.Str(f.Issuer) },
		func(f *Facts, s *certstate.State) certstate.Findings {
			return found(!SameName(f.Issuer, s.Issuer.S), certstate.IssuerMismatch)
		}},
	{"certificateSubjectName",
		func(f *Facts, s *certstate.State) { s.Subject = edm.Str(f.Subject) },
		func(f *Facts, s *certstate.State) certstate.Findings {
			return found(!SameName(f.Subject, s.Subject.S), certstate.SubjectMismatch)
		}},
	{"certificateThumbprint",
		func(f *Facts, s *certstate.State) { s.Thumbprint = edm.Str(f.Thumbprint) },
		func(f *Facts, s *certstate.State) certstate.Findings {
			return found(!sameThumbprint(f, s.Thumbprint.S), certstate.ThumbprintMismatch)
		}},
	{"certificateSerialNumber",
		func(f *Facts, s *certstate.State) { s.Serial = edm.Str(f.Serial) },
		serialFindings},
	{"certificateKeyUsages",
		func(f *Facts, s *certstate.State) {
			s.KeyUsages = edm.Int32{N: int64(f.KeyUsages), Valid: f.HasKeyUsages}
		},
		func(f *Facts, s *certstate.State) certstate.Findings {
			return found(s.KeyUsages.N != int64(f.KeyUsages), certstate.KeyUsageMismatch)
		}},
	{"certificateExtendedKeyUsages",
		func(f *Facts, s *certstate.State) { s.ExtendedKeyUsages = text(f.ExtendedKeyUsages) },
		func(f *Facts, s *certstate.State) certstate.Findings {
			return found(!samePurposes(f.ExtendedKeyUsages, s.ExtendedKeyUsages.S), certstate.ExtendedKeyUsageMismatch)
		}},

	{"certificateSha256Thumbprint",
		func(f *Facts, s *certstate.State) { s.ThumbprintSHA256 = edm.Str(f.ThumbprintSHA256) },
		func(f *Facts, s *certstate.State) certstate.Findings { // by which the certificate is kept
			stated := s.ThumbprintSHA256.S
			s.ThumbprintSHA256 = edm.Str(f.ThumbprintSHA256)
			return found(!sameThumbprint(f, stated), certstate.ThumbprintMismatch)
		}},

	{"certificateSubjectAlternativeNames", func(f *Facts, s *certstate.State) { s.SubjectAltNames = text(f.SubjectAlternativeNames) }, nil},
	{"certificateAuthorityKeyIdentifier", func(f *Facts, s *certstate.State) { s.AuthorityKeyID = text(f.AuthorityKeyIdentifier) }, nil},
	{"certificateSubjectKeyIdentifier", func(f *Facts, s *certstate.State) { s.SubjectKeyID = text(f.SubjectKeyIdentifier) }, nil},
	{"certificateKeyType", func(f *Facts, s *certstate.State) { s.KeyType = text(f.KeyType) }, nil},
	{"certificateKeySize", func(f *Facts, s *certstate.State) { s.KeySize = edm.Int32{N: int64(f.KeySize), Valid: f.KeySize > 0} }, nil},
	{"certificateSignatureAlgorithm", func(f *Facts, s *certstate.State) { s.SignatureAlgorithm = text(f.SignatureAlgorithm) }, nil},
	{"certificateRevocationListLocations", func(f *Facts, s *certstate.State) { s.CRLLocations = text(f.CRLLocations) }, nil},
	{"certificateOcspLocations", func(f *Facts, s *certstate.State) { s.OCSPLocations = text(f.OCSPLocations) }, nil},
	{"certificateIssuerLocations", func(f *Facts, s *certstate.State) { s.IssuerLocations = text(f.IssuerLocations) }, nil},
}

// Properties are those that say something of a certificate.
var Properties = func() (set certstate.Set) {
	for i := range facts {
		set |= 1 << facts[i].index()
	}
	return set
}()

func (f *fact) index() int {
	i, ok := certstate.Lookup(f.property)
	if !ok {
		panic("certificate: there is no property " + f.property)
	}
	return i
}

// Describe makes a record say what its certificate says: in every property that
// states nothing, in those of fill, and in those that only a certificate can
// tell. What the record states otherwise stays, and is found. f is what Parse has
// read of the certificate; nil has it read. It returns an error if what the record
// holds is no certificate, or more than Parse reads.
func Describe(s *certstate.State, f *Facts, fill certstate.Set) error {
	if f == nil || string(f.DER) != s.Certificate.Octets {
		var err error
		if f, err = Parse([]byte(s.Certificate.Octets)); err != nil {
			return err
		}
		s.Certificate = edm.Bin(f.DER)
	}
	s.Findings = found(len(f.Oddities) > 0, certstate.Irregular)
	for i := range facts {
		fact := &facts[i]
		n := fact.index()
		if fact.differs == nil || fill.Has(n) || Unstated(certstate.Properties[n].Field(s)) {
			fact.set(f, s)
			continue
		}
		s.Findings |= fact.differs(f, s)
	}
	return nil
}

// Forget empties the properties that only a certificate can tell.
func Forget(s *certstate.State) {
	for i := range facts {
		if n := facts[i].index(); certstate.Properties[n].Is(certstate.Computed) {
			certstate.Properties[n].Field(s).SetNull()
		}
	}
	s.Findings = 0
}

// Unstated reports whether a value is one that nobody has given: null, or a date's
// zero.
func Unstated(v edm.Value) bool {
	t, date := v.(*edm.DateTimeOffset)
	return v.IsNull() || date && t.Ticks == 0
}

func text(s string) edm.String { return edm.String{S: s, Valid: s != ""} }

func found(yes bool, what certstate.Findings) certstate.Findings {
	if yes {
		return what
	}
	return 0
}

// sameSecond compares as exactly as certificates can tell the time.
func sameSecond(t time.Time, stated edm.DateTimeOffset) bool {
	want := edm.Time(t.UTC()).Ticks
	return stated.Ticks/ticksPerSecond == want/ticksPerSecond
}

const ticksPerSecond = 10_000_000

func sameThumbprint(f *Facts, stated string) bool {
	sha1, sha256 := shareKey("certificateThumbprint", f.Thumbprint, stated), shareKey("certificateThumbprint", f.ThumbprintSHA256, stated)
	return sha1 || sha256
}

// serialFindings tells a serial number that is only right if it is read as
// decimal.
func serialFindings(f *Facts, s *certstate.State) certstate.Findings {
	if !shareKey("certificateSerialNumber", f.Serial, s.Serial.S) {
		return certstate.SerialMismatch
	}
	return found(certstate.SerialHex(f.Serial) != certstate.SerialHex(s.Serial.S), certstate.SerialRadix)
}

func shareKey(property, a, b string) bool {
	i, _ := certstate.Lookup(property)
	keys := certstate.Properties[i].KeysOf(a)
	return slices.ContainsFunc(certstate.Properties[i].KeysOf(b), func(k string) bool { return slices.Contains(keys, k) })
}

// SameName compares names as people and other programs write them: with other
// spaces between and around their parts, in another case (RFC 5280 §7.1), from
// the other end, as X.500 and OpenSSL write them.
func SameName(a, b string) bool {
	x, y := nameParts(a), nameParts(b)
	if slices.Equal(x, y) {
		return true
	}
	slices.Reverse(y)
	return slices.Equal(x, y)
}

// nameParts are a name's relative distinguished names, folded.
func nameParts(name string) (parts []string) {
	start, quoted := 0, false
	add := func(end int) {
		key, value, _ := strings.Cut(name[start:end], "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		value = strings.Join(strings.Fields(value), " ")
		if strings.Contains(value, `\`) {
			value = escaped.ReplaceAllString(value, "$1")
		}
		parts = append(parts, strings.ToLower(strings.TrimSpace(key)+"="+value))
	}
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == ';'):
			add(i)
			start = i + 1
		}
	}
	if strings.TrimSpace(name) != "" {
		add(len(name))
	}
	return parts
}

// escaped is a character that RFC 4514 §2.4 escapes.
var escaped = regexp.MustCompile(`\\([ "#+,;<=>\\])`)

// samePurposes compares lists of purposes by their object identifiers, in any
// order; a purpose may be written by its name alone.
func samePurposes(a, b string) bool {
	return slices.Equal(purposesIn(a), purposesIn(b))
}

var purposesByName = func() map[string]string {
	m := make(map[string]string, len(purposes))
	for oid, name := range purposes {
		m[strings.ToLower(name)] = oid
	}
	return m
}()

// objectIdentifierIn is the first part of a text that is numbers with points
// between, "" if there is none.
func objectIdentifierIn(text string) string {
	for i := 0; i < len(text); i++ {
		if !isDigit(text[i]) {
			continue
		}
		start, end := i, 0 // end: after the last number that follows a point
		for ; i < len(text) && (isDigit(text[i]) || text[i] == '.' && isDigit(text[i-1])); i++ {
			if isDigit(text[i]) && strings.Contains(text[start:i], ".") {
				end = i + 1
			}
		}
		if end > 0 {
			return text[start:end]
		}
	}
	return ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func purposesIn(list string) (oids []string) {
	for _, item := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ';' || r == '\n' }) {
		item = strings.TrimSpace(item)
		if oid := objectIdentifierIn(item); oid != "" {
			oids = append(oids, oid)
		} else if item = strings.ToLower(item); purposesByName[item] != "" {
			oids = append(oids, purposesByName[item])
		} else if item != "" {
			oids = append(oids, item)
		}
	}
	slices.Sort(oids)
	return slices.Compact(oids)
}

// Name gives a record the thumbprints of what it holds as its certificate, for
// what cannot be read as one.
func Name(s *certstate.State) {
	var p parser
	p.identify([]byte(s.Certificate.Octets))
	s.ThumbprintSHA256 = edm.Str(p.facts.ThumbprintSHA256)
	if !s.Thumbprint.Valid {
		s.Thumbprint = edm.Str(p.facts.Thumbprint)
	}
	s.Findings = certstate.Unparseable
}
