package edm

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Int32 is a nullable Edm.Int32. The zero value is null.
type Int32 struct {
	N     int64 // within int32; 64 bits wide because SQL drivers scan int64
	Valid bool
}

// Int is the non-null Int32 of n.
func Int(n int32) Int32 { return Int32{int64(n), true} }

func (v *Int32) TypeName() string       { return "Edm.Int32" }
func (v *Int32) ControlType() string    { return "#Int32" }
func (v *Int32) IsNull() bool           { return !v.Valid }
func (v *Int32) SetNull()               { *v = Int32{} }
func (v *Int32) Assign(from Value) bool { return Replace(v, from) }
func (v *Int32) Suffixes() []string     { return oneColumn }

func (v *Int32) Text() string {
	if !v.Valid {
		return ""
	}
	return strconv.FormatInt(v.N, 10)
}

func (v *Int32) AppendJSON(b []byte) []byte {
	if !v.Valid {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, v.N, 10)
}

// SetJSON accepts integers in range only: 4 but not 4.0, 4e0 or "4".
func (v *Int32) SetJSON(s Scalar) error {
	if s.Kind != '0' {
		return wrongType("an integer", s)
	}
	n, err := strconv.ParseInt(s.Text, 10, 32)
	if errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("%s does not fit Edm.Int32 (-2147483648 to 2147483647)", s.Text)
	}
	if err != nil || strings.HasPrefix(s.Text, "-0") {
		return fmt.Errorf("%s is not an integer", s.Text)
	}
	*v = Int(int32(n))
	return nil
}

func (v *Int32) AppendSQL(args []any) []any { return append(args, v.N) }
func (v *Int32) AppendScan(ts []any) []any  { return append(ts, int64Column{&v.N}) }
func (v *Int32) Scanned(absent bool)        { v.Valid = !absent }
