package certificate

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"certstate/certificate/der"
)

// attributes names the types of attributes as RFC 4519 and OpenSSL do. Others
// are written as object identifiers with the value in hexadecimal, RFC 4514 §2.3
// and §2.4.
var attributes = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
	"2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.13": "description",
	"2.5.4.15": "businessCategory", "2.5.4.16": "postalAddress", "2.5.4.17": "postalCode", "2.5.4.18": "postOfficeBox",
	"2.5.4.19": "physicalDeliveryOfficeName", "2.5.4.20": "telephoneNumber", "2.5.4.41": "name", "2.5.4.42": "givenName",
	"2.5.4.43": "initials", "2.5.4.44": "generationQualifier", "2.5.4.45": "x500UniqueIdentifier",
	"2.5.4.46": "dnQualifier", "2.5.4.65": "pseudonym", "2.5.4.97": "organizationIdentifier",
	"0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
	"1.2.840.113549.1.9.1": "emailAddress", "1.2.840.113549.1.9.2": "unstructuredName", "1.2.840.113549.1.9.8": "unstructuredAddress",
	"1.3.6.1.4.1.311.60.2.1.1": "jurisdictionL", "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionST", "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionC",
}

// nextName reads a Name and writes it as RFC 4514 §2 says.
func (p *parser) nextName(r *der.Reader) (string, error) {
	e, err := p.read(r, der.Sequence)
	if err != nil {
		return "", err
	}
	if err := LimitName.check(len(e.Raw)); err != nil {
		return "", err
	}
	return p.name(e), nil
}

// name writes RDNSequence, last component first (RFC 4514 §2.1).
func (p *parser) name(e der.Element) string {
	var rdns []string
	for in := e.Children(); in.More(); {
		set, err := p.read(&in, der.Set)
		if err != nil {
			p.note(BadName)
			break
		}
		if rdn := p.relativeName(set); rdn != "" {
			rdns = append(rdns, rdn)
		}
	}
	slices.Reverse(rdns)
	return strings.Join(rdns, ",")
}

// relativeName writes RelativeDistinguishedName in the order of its encoding.
func (p *parser) relativeName(set der.Element) string {
	var values []string
	for in := set.Children(); in.More(); {
		attribute, err := p.read(&in, der.Sequence)
		if err != nil {
			p.note(BadName)
			break
		}
		if value, ok := p.attribute(attribute); ok {
			values = append(values, value)
		} else {
			p.note(BadName)
		}
	}
	return strings.Join(values, "+")
}

func (p *parser) attribute(e der.Element) (string, bool) {
	in := e.Children()
	id, err := p.read(&in, der.OID)
	if err != nil {
		return "", false
	}
	value, err := in.Next()
	if err != nil {
		return "", false
	}
	if value.NotDER {
		p.note(NotDER)
	}
	p.end(&in)
	oid, ok := der.OIDText(id.Body)
	if !ok {
		return "", false
	}
	name, known := attributes[oid]
	if !known {
		return oid + "=" + hexString(value), true
	}
	text, ok := p.text(value)
	if !ok {
		return name + "=" + hexString(value), true
	}
	return name + "=" + escapeName(text), true
}

// hexString is a value's whole encoding, RFC 4514 §2.4.
func hexString(e der.Element) string { return "#" + upperHex(e.Raw) }

// escapeName escapes as RFC 4514 §2.4 demands, and control characters too.
func escapeName(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r < ' ' || r == 0x7F:
			fmt.Fprintf(&b, `\%02X`, r)
			continue
		case strings.ContainsRune(`"+,;<>\`, r),
			r == ' ' && (i == 0 || i == len(s)-1),
			r == '#' && i == 0:
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// octetsHex is for content that has no text.
func octetsHex(b []byte) string { return "#" + strings.ToUpper(hex.EncodeToString(b)) }
