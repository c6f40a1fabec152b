// Package edm holds the Edm types the register stores, each in all its forms:
// Go value, JSON, SQL columns and plain text.
//
// The zero value of a nullable type is null; the zero value of a
// DateTimeOffset is 0001-01-01T00:00:00Z, which is how Microsoft Graph writes
// a non-nullable date that was never set.
package edm

import "fmt"

// Value is one property's value in a record: a pointer to a field.
type Value interface {
	// TypeName is the qualified Edm name, such as "Edm.String".
	TypeName() string
	// ControlType is the value of prop@odata.type at full metadata
	// (OData JSON Format 4.0 §4.5.3), empty for types native to JSON.
	ControlType() string
	// IsNull reports whether the value is null.
	IsNull() bool
	// SetNull makes the value null, or the type's zero if it has no null.
	SetNull()
	// Assign takes the value of another of the same type and reports whether
	// that was a change.
	Assign(from Value) (changed bool)
	// AppendJSON appends the value as a JSON scalar.
	AppendJSON(b []byte) []byte
	// SetJSON takes the value from a JSON scalar that is not null. The error
	// says what was expected; the caller names the property.
	SetJSON(s Scalar) error
	// Text is the value for people, tables and CSV; null is empty.
	Text() string
	// Suffixes names the value's SQL columns: each is the property's column
	// name followed by one of them.
	Suffixes() []string
	// AppendSQL appends one argument for each column. No column is ever NULL:
	// a null value is the type's zero and a bit in the row's absent bitmap.
	AppendSQL(args []any) []any
	// AppendScan appends one scan target for each column.
	AppendScan(targets []any) []any
	// Scanned is called after a scan, with the value's bit of the absent bitmap.
	Scanned(absent bool)
}

// Scalar is a JSON token: Kind is its first byte, with '0' for every number,
// and Text is the decoded string or the number as it was written.
type Scalar struct {
	Kind byte
	Text string
}

// Describe names the token's JSON type in an error message.
func (s Scalar) Describe() string {
	switch s.Kind {
	case '"':
		return "a string"
	case '0':
		return "the number " + s.Text
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return fmt.Sprintf("%q", s.Kind)
}

// Replace is Assign for every type: it copies *from, which must be a *T.
func Replace[T comparable](to *T, from Value) (changed bool) {
	v := any(from).(*T)
	changed = *to != *v
	*to = *v
	return changed
}

var oneColumn = []string{""}

// int64Column scans an integer column without the reflection that
// database/sql falls back to for *int64.
type int64Column struct{ to *int64 }

func (c int64Column) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("integer column holds %T", src)
	}
	*c.to = n
	return nil
}

// Int64Column is a scan target for an integer column that is not a property.
func Int64Column(to *int64) any { return int64Column{to} }
