package certificate

import (
	"fmt"
	"net/netip"
	"strings"

	"certstate/certificate/der"
)

// otherNames names the types of otherName whose value is a string.
var otherNames = map[string]string{
	"1.3.6.1.4.1.311.20.2.3": "UPN",
	"1.3.6.1.5.5.7.8.5":      "XmppAddr",
	"1.3.6.1.5.5.7.8.7":      "SRVName",
	"1.3.6.1.5.5.7.8.8":      "NAIRealm",
	"1.3.6.1.5.5.7.8.9":      "SmtpUTF8Mailbox",
}

// subjectAltName writes GeneralNames, RFC 5280 §4.2.1.6, in the kinds that
// OpenSSL prints. Within a name, commas and backslashes are escaped, so ", "
// always separates two.
func (p *parser) subjectAltName(e der.Element) bool {
	if !e.Is(der.Sequence) {
		return false
	}
	list, ok := p.list(", ", LimitNames.Max), true
	for in := e.Children(); in.More(); {
		name, err := in.Next()
		if err != nil {
			ok = false
			break
		}
		list.add(p.generalName(name))
		if list.full() && in.More() {
			p.note(ListCut)
			break
		}
	}
	p.facts.SubjectAlternativeNames = list.String()
	return ok
}

// generalName writes GeneralName.
func (p *parser) generalName(e der.Element) string {
	if e.Class == der.Context {
		switch e.Tag {
		case 0:
			return p.otherName(e)
		case 1:
			return "email:" + p.ia5(e)
		case 2:
			return "DNS:" + p.ia5(e)
		case 3:
			return "X400Name:" + octetsHex(e.Body)
		case 4:
			return "DirName:" + escapeAltName(p.directoryName(e))
		case 5:
			return "EdiPartyName:" + octetsHex(e.Body)
		case 6:
			return "URI:" + p.ia5(e)
		case 7:
			return "IP Address:" + p.address(e)
		case 8:
			return "Registered ID:" + p.identifier(e.Body)
		}
	}
	p.note(BadAlternativeName)
	return fmt.Sprintf("Unknown:%s", hexString(e))
}

// ia5 writes a name that should be ASCII.
func (p *parser) ia5(e der.Element) string {
	b, err := e.Octets()
	if err != nil {
		p.note(BadAlternativeName)
		return hexString(e)
	}
	s, proper, _ := sevenBit("")(b)
	if !proper {
		p.note(BadStringEncoding)
	}
	return escapeAltName(s)
}

func (p *parser) address(e der.Element) string {
	address, ok := netip.AddrFromSlice(e.Body)
	if !ok {
		p.note(BadAlternativeName)
		return octetsHex(e.Body)
	}
	return address.String()
}

func (p *parser) identifier(b []byte) string {
	if oid, ok := der.OIDText(b); ok {
		return oid
	}
	p.note(BadAlternativeName)
	return octetsHex(b)
}

// directoryName reads a Name; its tag is explicit, for Name is a CHOICE.
func (p *parser) directoryName(e der.Element) string {
	in := e.Children()
	name, err := in.Universal(der.Sequence)
	if err != nil {
		p.note(BadAlternativeName)
		return octetsHex(e.Body)
	}
	return p.name(name)
}

// otherName writes OtherName: a type and [0] EXPLICIT a value.
func (p *parser) otherName(e der.Element) string {
	in := e.Children()
	id, err := in.Universal(der.OID)
	if err != nil {
		p.note(BadAlternativeName)
		return "otherName:" + octetsHex(e.Body)
	}
	oid := p.identifier(id.Body)
	explicit, ok := in.Parts(0)
	if !ok {
		p.note(BadAlternativeName)
		return "otherName " + oid + ":" + octetsHex(in.Rest())
	}
	inner := explicit.Children()
	value, err := inner.Next()
	if err != nil {
		p.note(BadAlternativeName)
		return "otherName " + oid + ":" + octetsHex(explicit.Body)
	}
	name, known := otherNames[oid]
	if text, ok := p.text(value); known && ok {
		return "otherName " + name + ":" + escapeAltName(text)
	}
	return "otherName " + oid + ":" + hexString(value)
}

// escapeAltName keeps a name from looking like two, or like octets in
// hexadecimal.
func escapeAltName(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r < ' ' || r == 0x7F:
			fmt.Fprintf(&b, `\%02X`, r)
			continue
		case r == ',' || r == '\\' || r == '#' && i == 0:
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// crlDistributionPoints collects the URLs of CRLDistributionPoints, RFC 5280
// §4.2.1.13: of fullName only, for other forms name no place to fetch from.
func (p *parser) crlDistributionPoints(e der.Element) bool {
	if !e.Is(der.Sequence) {
		return false
	}
	urls, ok := p.list(" ", LimitNames.Max), true
	for in := e.Children(); in.More() && ok && !urls.full(); {
		point, err := in.Universal(der.Sequence)
		if err != nil {
			ok = false
			break
		}
		parts := point.Children()
		if name, has := parts.Parts(0); has {
			ok = p.fullName(name, urls)
		}
	}
	p.facts.CRLLocations = urls.String()
	return ok
}

// fullName reads DistributionPointName.
func (p *parser) fullName(e der.Element, urls *list) bool {
	in := e.Children()
	full, has := in.Parts(0)
	if !has {
		return true
	}
	for names := full.Children(); names.More(); {
		name, err := names.Next()
		if err != nil {
			return false
		}
		p.addURL(name, urls)
	}
	return true
}

// authorityInfoAccess collects the URLs of AuthorityInfoAccessSyntax, RFC 5280
// §4.2.2.1.
func (p *parser) authorityInfoAccess(e der.Element) bool {
	if !e.Is(der.Sequence) {
		return false
	}
	responders, issuers := p.list(" ", LimitNames.Max), p.list(" ", LimitNames.Max)
	lists := map[string]*list{"1.3.6.1.5.5.7.48.1": responders, "1.3.6.1.5.5.7.48.2": issuers}
	ok := true
	for in := e.Children(); in.More() && ok; {
		description, err := in.Universal(der.Sequence)
		ok = err == nil && p.accessDescription(description, lists)
	}
	p.facts.OCSPLocations, p.facts.IssuerLocations = responders.String(), issuers.String()
	return ok
}

func (p *parser) accessDescription(e der.Element, lists map[string]*list) bool {
	in := e.Children()
	method, err := in.Universal(der.OID)
	if err != nil {
		return false
	}
	location, err := in.Next()
	if err != nil {
		return false
	}
	oid, _ := der.OIDText(method.Body)
	if list := lists[oid]; list != nil {
		p.addURL(location, list)
	}
	return true
}

// addURL adds the name if it is a URL.
func (p *parser) addURL(e der.Element, urls *list) {
	if !e.IsContext(6) {
		return
	}
	b, err := e.Octets()
	if err != nil {
		p.note(BadAlternativeName)
		return
	}
	urls.add(p.url(b))
}

// url encodes what a URL cannot hold (RFC 3986 §2.1), so that a space separates.
func (p *parser) url(b []byte) string {
	var s strings.Builder
	for _, o := range b {
		if o > ' ' && o < 0x7F {
			s.WriteByte(o)
			continue
		}
		p.note(BadAlternativeName)
		fmt.Fprintf(&s, "%%%02X", o)
	}
	return s.String()
}
