package edm

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// Binary is a nullable Edm.Binary. The zero value is null.
type Binary struct {
	Octets string
	Valid  bool
}

// Bin is the non-null Binary of some octets.
func Bin(octets []byte) Binary { return Binary{string(octets), true} }

func (v *Binary) TypeName() string       { return "Edm.Binary" }
func (v *Binary) ControlType() string    { return "#Binary" }
func (v *Binary) IsNull() bool           { return !v.Valid }
func (v *Binary) SetNull()               { *v = Binary{} }
func (v *Binary) Assign(from Value) bool { return Replace(v, from) }
func (v *Binary) Text() string           { return base64.StdEncoding.EncodeToString([]byte(v.Octets)) }
func (v *Binary) Suffixes() []string     { return oneColumn }

// AppendJSON writes base64 with padding, as Graph does; OData's JSON has the
// alphabet for URLs (OData JSON Format §7.1), which Graph's clients do not read.
func (v *Binary) AppendJSON(b []byte) []byte {
	if !v.Valid {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, []byte(v.Octets))
	return append(b, '"')
}

// SetJSON reads base64 in either alphabet, with or without padding.
func (v *Binary) SetJSON(s Scalar) error {
	if s.Kind != '"' {
		return wrongType("a string in base64", s)
	}
	text := strings.NewReplacer("-", "+", "_", "/", "\r", "", "\n", "").Replace(s.Text)
	octets, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return fmt.Errorf("expected base64: %w", err)
	}
	*v = Bin(octets)
	return nil
}

func (v *Binary) AppendSQL(args []any) []any { return append(args, []byte(v.Octets)) }
func (v *Binary) AppendScan(ts []any) []any  { return append(ts, (*binaryColumn)(v)) }

func (v *Binary) Scanned(absent bool) {
	if v.Valid = !absent; absent {
		v.Octets = ""
	}
}

// binaryColumn scans octets, or nothing where there are none.
type binaryColumn Binary

func (c *binaryColumn) Scan(src any) error {
	switch octets := src.(type) {
	case []byte:
		c.Octets = string(octets)
	case nil:
		c.Octets = ""
	default:
		return fmt.Errorf("binary column holds %T", src)
	}
	return nil
}
