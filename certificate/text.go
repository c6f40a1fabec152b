package certificate

import (
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"certstate/certificate/der"
)

// text reads a string of any of ASN.1's types. It reports false for what is no
// string, or cannot be made one.
func (p *parser) text(e der.Element) (string, bool) {
	if e.Class != der.Universal {
		return "", false
	}
	decode, known := alphabets[e.Tag]
	if !known {
		return "", false
	}
	b, err := e.Octets()
	if err != nil {
		p.note(BadStringEncoding)
		return "", false
	}
	s, proper, ok := decode(b)
	if !proper {
		p.note(BadStringEncoding)
	}
	return s, ok
}

// alphabets are the types that hold text: how to read each, whether it held what
// it may, and whether there is text at all. Which are strings, and that T.61 is
// read as Latin-1, is as OpenSSL has it.
var alphabets = map[int]func([]byte) (s string, proper, ok bool){
	der.UTF8String:      fromUTF8,
	der.NumericString:   sevenBit("0123456789 "),
	der.PrintableString: sevenBit("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?"),
	der.T61String:       func(b []byte) (string, bool, bool) { return latin1(b), true, true },
	der.IA5String:       sevenBit(""),
	der.UTCTime:         sevenBit(""),
	der.GeneralizedTime: sevenBit(""),
	der.VisibleString:   sevenBit(""),
	der.UniversalString: fromUTF32,
	der.BMPString:       fromUTF16,
}

func fromUTF8(b []byte) (s string, proper, ok bool) {
	ok = utf8.Valid(b)
	return string(b), ok, ok
}

// sevenBit reads ASCII, of which the type may allow only some. Other octets are
// none of the type's: they are UTF-8 where they can be, else Latin-1.
func sevenBit(allowed string) func([]byte) (string, bool, bool) {
	return func(b []byte) (s string, proper, ok bool) {
		s = string(b)
		for _, o := range b {
			if o >= utf8.RuneSelf {
				return utf8OrLatin1(b), false, true
			}
		}
		return s, allowed == "" || strings.Trim(s, allowed) == "", true
	}
}

func utf8OrLatin1(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return latin1(b)
}

func latin1(b []byte) string {
	runes := make([]rune, len(b))
	for i, o := range b {
		runes[i] = rune(o)
	}
	return string(runes)
}

func fromUTF16(b []byte) (s string, proper, ok bool) {
	if len(b)%2 != 0 {
		return "", false, false
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.BigEndian.Uint16(b[2*i:])
	}
	s = string(utf16.Decode(units))
	return s, !strings.ContainsRune(s, utf8.RuneError), true
}

func fromUTF32(b []byte) (s string, proper, ok bool) {
	if len(b)%4 != 0 {
		return "", false, false
	}
	runes := make([]rune, len(b)/4)
	for i := range runes {
		runes[i] = rune(binary.BigEndian.Uint32(b[4*i:]))
	}
	s = string(runes)
	return s, !strings.ContainsRune(s, utf8.RuneError), true
}
