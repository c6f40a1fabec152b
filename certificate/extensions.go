package certificate

import (
	"strings"
	"unicode/utf8"

	"certstate/certificate/der"
)

// readers are the extensions that hold facts, RFC 5280 §4.2. One that reports
// false could not read its extension.
var readers = map[string]func(*parser, der.Element) bool{
	"2.5.29.14":         (*parser).subjectKeyIdentifier,
	"2.5.29.15":         (*parser).keyUsage,
	"2.5.29.17":         (*parser).subjectAltName,
	"2.5.29.19":         (*parser).basicConstraints,
	"2.5.29.31":         (*parser).crlDistributionPoints,
	"2.5.29.35":         (*parser).authorityKeyIdentifier,
	"2.5.29.37":         (*parser).extKeyUsage,
	"1.3.6.1.5.5.7.1.1": (*parser).authorityInfoAccess,
}

// extensions reads Extensions. Of an extension that occurs twice, the first
// counts.
func (p *parser) extensions(explicit der.Element) error {
	r := explicit.Children()
	e, err := p.read(&r, der.Sequence)
	if err != nil {
		p.note(BadExtension)
		return nil
	}
	p.end(&r)
	seen := map[string]bool{}
	for in := e.Children(); in.More(); {
		if err := LimitExtensions.check(len(seen) + 1); err != nil {
			return err
		}
		extension, err := p.read(&in, der.Sequence)
		if err != nil {
			p.note(BadExtension)
			break
		}
		p.extension(extension, seen)
	}
	return nil
}

// extension reads Extension, unless its identifier has been seen.
func (p *parser) extension(e der.Element, seen map[string]bool) {
	r := e.Children()
	id, err := r.Universal(der.OID)
	if err != nil {
		p.note(BadExtension)
		return
	}
	oid, ok := der.OIDText(id.Body)
	switch {
	case !ok:
		oid = octetsHex(id.Body)
		p.note(BadExtension)
	case seen[oid]:
		p.note(DuplicateExtension)
	}
	twice := seen[oid]
	seen[oid] = true
	read := readers[oid]
	if read == nil || twice {
		return
	}
	if !p.extensionValue(&r, read) {
		p.note(BadExtension)
	}
}

func (p *parser) extensionValue(r *der.Reader, read func(*parser, der.Element) bool) bool {
	if critical, ok := r.Peek(); ok && critical.Is(der.Boolean) {
		_, _ = r.Next() // it has just been peeked at
	}
	octets, err := p.read(r, der.OctetString)
	if err != nil {
		return false
	}
	p.end(r)
	value := octets.Children()
	e, err := value.Next()
	if err != nil {
		return false
	}
	p.end(&value)
	return read(p, e)
}

func (p *parser) subjectKeyIdentifier(e der.Element) bool {
	if !e.Is(der.OctetString) || e.Constructed {
		return false
	}
	p.facts.SubjectKeyIdentifier = p.cut(upperHex(e.Body))
	return true
}

func (p *parser) authorityKeyIdentifier(e der.Element) bool {
	if !e.Is(der.Sequence) {
		return false
	}
	r := e.Children()
	if id, ok := r.Value(0); ok {
		p.facts.AuthorityKeyIdentifier = p.cut(upperHex(id.Body))
	}
	next, ok := r.Peek()
	return !ok || !next.IsContext(0)
}

// cut shortens an identifier to what a property holds.
func (p *parser) cut(s string) string {
	if len(s) <= LimitText.Max {
		return s
	}
	p.note(ListCut)
	return s[:LimitText.Max]
}

// keyUsage reads KeyUsage into the layout of .NET's X509KeyUsageFlags, which the
// values in Intune's reports show: the first octet of the bit string as it
// stands, digitalSignature 0x80 down to encipherOnly 0x01, and decipherOnly
// 0x8000 (RFC 5280 §4.2.1.3).
func (p *parser) keyUsage(e der.Element) bool {
	if !e.Is(der.BitString) || e.Constructed || len(e.Body) == 0 || e.Body[0] > 7 {
		return false
	}
	p.facts.HasKeyUsages = true
	unused, octets := e.Body[0], e.Body[1:]
	if len(octets) == 1 {
		octets = []byte{octets[0] &^ byte(1<<unused-1)}
	}
	if len(octets) > 0 {
		p.facts.KeyUsages = int32(octets[0])
	}
	if len(octets) > 1 && octets[1]&0x80 != 0 {
		p.facts.KeyUsages |= 0x8000
	}
	return true
}

func (p *parser) basicConstraints(e der.Element) bool {
	if !e.Is(der.Sequence) {
		return false
	}
	r := e.Children()
	ca, ok := r.Peek()
	if ok && ca.Class == der.Universal && ca.Tag == der.Boolean {
		whole := ca.Is(der.Boolean) && len(ca.Body) == 1
		p.facts.IsCA = whole && ca.Body[0] != 0
		return whole
	}
	return true
}

// purposes names key purposes as Windows does (RFC 5280 §4.2.1.12 and others).
var purposes = map[string]string{
	"2.5.29.37.0":              "Any Purpose",
	"1.3.6.1.5.5.7.3.1":        "Server Authentication",
	"1.3.6.1.5.5.7.3.2":        "Client Authentication",
	"1.3.6.1.5.5.7.3.3":        "Code Signing",
	"1.3.6.1.5.5.7.3.4":        "Secure Email",
	"1.3.6.1.5.5.7.3.5":        "IP security end system",
	"1.3.6.1.5.5.7.3.6":        "IP security tunnel termination",
	"1.3.6.1.5.5.7.3.7":        "IP security user",
	"1.3.6.1.5.5.7.3.8":        "Time Stamping",
	"1.3.6.1.5.5.7.3.9":        "OCSP Signing",
	"1.3.6.1.5.5.8.2.2":        "IP security IKE intermediate",
	"1.3.6.1.5.2.3.4":          "PKINIT Client Authentication",
	"1.3.6.1.5.2.3.5":          "KDC Authentication",
	"1.3.6.1.4.1.311.10.3.1":   "Microsoft Trust List Signing",
	"1.3.6.1.4.1.311.10.3.4":   "Encrypting File System",
	"1.3.6.1.4.1.311.10.3.4.1": "File Recovery",
	"1.3.6.1.4.1.311.10.3.11":  "Key Recovery",
	"1.3.6.1.4.1.311.10.3.12":  "Document Signing",
	"1.3.6.1.4.1.311.20.2.1":   "Certificate Request Agent",
	"1.3.6.1.4.1.311.20.2.2":   "Smart Card Logon",
	"1.3.6.1.4.1.311.21.5":     "Private Key Archival",
	"1.3.6.1.4.1.311.21.6":     "Key Recovery Agent",
	"1.3.6.1.4.1.311.21.19":    "Directory Service Email Replication",
	"1.3.6.1.4.1.311.54.1.2":   "Remote Desktop Authentication",
	"1.3.6.1.4.1.311.67.1.1":   "BitLocker Drive Encryption",
	"1.3.6.1.4.1.311.67.1.2":   "BitLocker Data Recovery Agent",
}

// extKeyUsage writes ExtKeyUsageSyntax in its order. Names come with their
// identifiers and separated by a comma, as in Windows and .NET.
func (p *parser) extKeyUsage(e der.Element) bool {
	if !e.Is(der.Sequence) {
		return false
	}
	list, ok := p.list(", ", 0), true
	for in := e.Children(); in.More() && ok; {
		purpose, err := in.Universal(der.OID)
		if err != nil {
			ok = false
			break
		}
		oid, good := der.OIDText(purpose.Body)
		switch name := purposes[oid]; {
		case !good:
			p.note(BadExtension)
			list.add(octetsHex(purpose.Body))
		case name != "":
			list.add(name + " (" + oid + ")")
		default:
			list.add(oid)
		}
	}
	p.facts.ExtendedKeyUsages = list.String()
	return ok
}

// list is a text of items that ends after a whole one when it is full.
type list struct {
	strings.Builder
	p         *parser
	separator string
	most      int // items; 0: any number
	items     int
	length    int // characters
}

func (p *parser) list(separator string, most int) *list {
	return &list{p: p, separator: separator, most: most}
}

func (l *list) add(item string) {
	if l.items > 0 {
		item = l.separator + item
	}
	n := utf8.RuneCountInString(item)
	if l.full() || l.length+n > LimitText.Max {
		l.p.note(ListCut)
		l.length = LimitText.Max + 1 // what follows does not take its place
		return
	}
	l.items++
	l.length += n
	l.WriteString(item)
}

func (l *list) full() bool { return l.length > LimitText.Max || l.most > 0 && l.items >= l.most }
