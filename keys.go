package certstate

import (
	"math/big"
	"strings"
)

// Key is one way to write a value so that all its spellings become the same
// text. Two values are equal to $filter and $search if they share a key.
type Key struct {
	Suffix string              // of the column that holds it, after the property's
	Of     func(string) string // "" if the value has no such key
}

var (
	serialKeys     = []Key{{"_hex", SerialHex}, {"_dec", serialDecimal}}
	thumbprintKeys = []Key{{"_hex", thumbprintHex}}
)

// KeysOf lists the distinct keys that p gives the text of a value.
func (p *Property) KeysOf(text string) (keys []string) {
	for _, k := range p.Keys {
		if key := k.Of(text); key != "" && (len(keys) == 0 || keys[0] != key) {
			if keys == nil {
				keys = make([]string, 0, len(p.Keys))
			}
			keys = append(keys, key)
		}
	}
	return keys
}

// SerialHex reads a serial number as hexadecimal, however it is spelt: in
// either case, with colons, spaces or hyphens, after 0x, with leading zeros. The
// key is lower-case without leading zeros. Text that is no such number is its
// own key.
func SerialHex(s string) string {
	digits, ok := hexDigits(s)
	if !ok {
		return s
	}
	return strings.TrimLeft(digits[:len(digits)-1], "0") + digits[len(digits)-1:]
}

// serialDecimal reads a serial number that is all digits as decimal. RFC 5280
// §4.1.2.2 bounds serials to 20 octets, 49 decimal digits; twice that is read.
func serialDecimal(s string) string {
	if s == "" || len(s) > 98 || strings.Trim(s, "0123456789") != "" {
		return ""
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return ""
	}
	return n.Text(16)
}

// thumbprintHex is a digest in lower-case hexadecimal without separators. Text
// that is none is its own key.
func thumbprintHex(s string) string {
	if digits, ok := hexDigits(s); ok {
		return digits
	}
	return s
}

// hexDigits are the digits of a number spelt in hexadecimal, in lower case.
// Windows' certificate dialog puts U+200E before what it lets people copy.
func hexDigits(s string) (digits string, ok bool) {
	s = strings.TrimLeft(s, "\u200e\u200f ")
	s = strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X")
	b := make([]byte, 0, len(s))
	for i, c := range []byte(s) {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f':
			b = append(b, c)
		case 'A' <= c && c <= 'F':
			b = append(b, c+'a'-'A')
		case c == ':', c == ' ', c == '-' && i > 0: // -1f is a negative number
		default:
			return "", false
		}
	}
	return string(b), len(b) > 0
}
