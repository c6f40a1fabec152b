package certificate

import (
	"regexp"
	"strings"

	"certstate/certificate/der"
)

// Shape is the outline of Certificate, RFC 5280 §4.1. No private key has it.
var Shape = regexp.MustCompile(`^\(.*\)\(o.*\)b`)

// Shaped reports whether octets are one structure in the shape of a certificate,
// even if Parse cannot read it.
func Shaped(data []byte) bool {
	r := der.New(data)
	e, err := r.Universal(der.Sequence)
	return err == nil && Shape.MatchString(Outline(e))
}

// Outline writes the elements within e, and those within its sequences, as one
// letter each: integer, octet string, bit string, object identifier, time, the
// number of a context tag, and parentheses for a sequence.
func Outline(e der.Element) string {
	var s strings.Builder
	writeOutline(&s, e, 2)
	return s.String()
}

// maxOutline is more than any kind needs.
const maxOutline = 64

func writeOutline(s *strings.Builder, e der.Element, depth int) {
	for in := e.Children(); in.More() && s.Len() < maxOutline; {
		child, err := in.Next()
		if err != nil {
			s.WriteByte('!')
			return
		}
		if child.Is(der.Sequence) {
			s.WriteByte('(')
			if depth > 1 {
				writeOutline(s, child, depth-1)
			}
			s.WriteByte(')')
			continue
		}
		s.WriteByte(letter(child))
	}
}

var letters = map[int]byte{
	der.Integer: 'i', der.OctetString: 's', der.BitString: 'b', der.OID: 'o', der.Enumerated: 'e', der.UTCTime: 't', der.GeneralizedTime: 't',
}

func letter(e der.Element) byte {
	switch {
	case e.Class == der.Context && e.Tag < 10:
		return '0' + byte(e.Tag)
	case e.Class == der.Universal && letters[e.Tag] != 0:
		return letters[e.Tag]
	}
	return '?'
}
