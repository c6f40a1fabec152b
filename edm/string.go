package edm

import "unicode/utf8"

// String is a nullable Edm.String. The zero value is null.
type String struct {
	S     string
	Valid bool
}

// Str is the non-null String of s.
func Str(s string) String { return String{s, true} }

func (v *String) TypeName() string       { return "Edm.String" }
func (v *String) ControlType() string    { return "" }
func (v *String) IsNull() bool           { return !v.Valid }
func (v *String) SetNull()               { *v = String{} }
func (v *String) Assign(from Value) bool { return Replace(v, from) }
func (v *String) Text() string           { return v.S }
func (v *String) Suffixes() []string     { return oneColumn }

func (v *String) AppendJSON(b []byte) []byte {
	if !v.Valid {
		return append(b, "null"...)
	}
	return AppendJSONString(b, v.S)
}

func (v *String) SetJSON(s Scalar) error {
	if s.Kind != '"' {
		return wrongType("a string", s)
	}
	*v = Str(s.Text)
	return nil
}

func (v *String) AppendSQL(args []any) []any  { return append(args, v.S) }
func (v *String) AppendScan(ts []any) []any   { return append(ts, &v.S) }
func (v *String) Scanned(absent bool)         { v.Valid = !absent }
func wrongType(want string, got Scalar) error { return &TypeError{want, got.Describe()} }

// TypeError says that a JSON scalar does not fit the property's type.
type TypeError struct{ Want, Got string }

func (e *TypeError) Error() string { return "expected " + e.Want + ", got " + e.Got }

const hexDigits = "0123456789abcdef"

// AppendJSONString appends s as a JSON string. Like Graph it writes < as
// \u003c, and > U+2028 U+2029 the same way, so that a body shown by a browser
// runs nothing.
func AppendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != '<' && c != '>' {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			b = appendEscape(b, c)
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == '\u2028' || r == '\u2029' {
			b = append(append(b, s[start:i]...), `\u202`...)
			b = append(b, hexDigits[r&0xF])
			start = i + n
		}
		i += n
	}
	return append(append(b, s[start:]...), '"')
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xF])
}
