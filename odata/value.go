package odata

import (
	"cmp"
	"math"
	"strconv"
	"strings"

	"certstate"
	"certstate/edm"
)

// Type is the type of an expression.
type Type uint8

const (
	NullType Type = iota // of the literal null alone, which fits everywhere
	BoolType
	StringType
	IntType // every integer, 64 bits wide
	DoubleType
	DateTimeType // Edm.DateTimeOffset
	DateType
	TimeType // Edm.TimeOfDay
	DurationType
	EnumType   // microsoft.graph.certificateRevocationStatus
	FlagsType  // certstate.certificateFindings
	BinaryType // which is compared with null alone
	GUIDType   // of literals alone: ids are strings here
)

var typeNames = [...]string{"null", "Edm.Boolean", "Edm.String", "Edm.Int64", "Edm.Double", "Edm.DateTimeOffset", "Edm.Date",
	"Edm.TimeOfDay", "Edm.Duration", certstate.RevokeStatusType.Name, certstate.FindingsType.Name, "Edm.Binary", "Edm.Guid"}

func (t Type) String() string { return typeNames[t] }

// enums are the types that are enumerations.
var enums = map[Type]*edm.EnumType{EnumType: certstate.RevokeStatusType, FlagsType: certstate.FindingsType}

func (t Type) numeric() bool { return t == IntType || t == DoubleType }

// PropertyType is the type of Properties[i] in an expression.
func PropertyType(i int) Type { return propertyTypes[i] }

var propertyTypes = func() (types [len(certstate.Properties)]Type) {
	for i := range types {
		types[i] = valueOf(certstate.Properties[i].Field(&certstate.State{})).Type
	}
	return types
}()

// Value is the value of an expression.
type Value struct {
	Type Type
	Null bool
	S    string // strings
	// N is the number of an IntType; 0 or 1; the member's number; 100 ns ticks
	// since 0001-01-01Z, of a day or of a duration; days since 0001-01-01.
	N      int64
	F      float64 // doubles
	Offset int64   // of a date and time, minutes east
}

const (
	ticksPerSecond = 10_000_000
	ticksPerMinute = 60 * ticksPerSecond
	ticksPerHour   = 60 * ticksPerMinute
	TicksPerDay    = 24 * ticksPerHour
	maxTicks       = 3_155_378_975_999_999_999 // 9999-12-31T23:59:59.9999999Z
	daysToUnix     = 719_162                   // from 0001-01-01 to 1970-01-01
)

func boolValue(b bool) Value {
	if b {
		return Value{Type: BoolType, N: 1}
	}
	return Value{Type: BoolType}
}

func stringValue(s string) Value      { return Value{Type: StringType, S: s} }
func intValue(n int64) Value          { return Value{Type: IntType, N: n} }
func doubleValue(f float64) Value     { return Value{Type: DoubleType, F: f} }
func nullValue(t Type) Value          { return Value{Type: t, Null: true} }
func (v Value) is(b bool) bool        { return !v.Null && v.N != 0 == b }
func tickValue(t Type, n int64) Value { return Value{Type: t, N: n} }

func timeValue(t edm.DateTimeOffset) Value {
	return Value{Type: DateTimeType, N: t.Ticks, Offset: t.Offset}
}

// local is the number of ticks that a clock at the value's offset shows.
func (v Value) local() int64 { return v.N + v.Offset*ticksPerMinute }

// valueOf is a property's value.
func valueOf(field edm.Value) Value {
	switch f := field.(type) {
	case *edm.String:
		return Value{Type: StringType, S: f.S, Null: !f.Valid}
	case *edm.Int32:
		return Value{Type: IntType, N: f.N, Null: !f.Valid}
	case *edm.DateTimeOffset:
		return timeValue(*f)
	case *certstate.RevokeStatus:
		return Value{Type: EnumType, N: int64(*f)}
	case *certstate.Findings:
		return Value{Type: FlagsType, N: int64(*f)}
	case *edm.Binary:
		return Value{Type: BinaryType, Null: !f.Valid}
	}
	panic("odata: a property of type " + field.TypeName() + " has no place in expressions")
}

// number is the value as a double.
func (v Value) number() float64 {
	if v.Type == IntType {
		return float64(v.N)
	}
	return v.F
}

// compare orders two values of comparable types, neither null.
func compare(a, b Value) int {
	switch {
	case a.Type == StringType:
		return strings.Compare(a.S, b.S)
	case a.Type == DoubleType && b.Type == DoubleType:
		return cmp.Compare(a.F, b.F)
	case a.Type == DoubleType:
		return -compareIntDouble(b.N, a.F)
	case b.Type == DoubleType:
		return compareIntDouble(a.N, b.F)
	}
	return cmp.Compare(a.N, b.N)
}

// compareIntDouble is exact where a conversion to double would round.
func compareIntDouble(n int64, f float64) int {
	switch {
	case f >= math.MaxInt64:
		return -1
	case f < math.MinInt64:
		return 1
	}
	whole := math.Floor(f)
	if c := cmp.Compare(n, int64(whole)); c != 0 || whole == f {
		return c
	}
	return -1
}

// Equal is OData's eq: null equals null and nothing else.
func (v Value) Equal(w Value) bool {
	if v.Null || w.Null {
		return v.Null && w.Null
	}
	return compare(v, w) == 0
}

// appendLiteral appends the value as it is written in a URL's query, not yet
// percent-encoded.
func (v Value) appendLiteral(b []byte) []byte {
	if v.Null {
		return append(b, "null"...)
	}
	switch v.Type {
	case BoolType:
		return strconv.AppendBool(b, v.N != 0)
	case StringType:
		return append(append(append(b, '\''), strings.ReplaceAll(v.S, "'", "''")...), '\'')
	case IntType:
		return strconv.AppendInt(b, v.N, 10)
	case DoubleType:
		text := strconv.FormatFloat(v.F, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		return append(b, text...)
	case DateTimeType:
		t := edm.DateTimeOffset{Ticks: v.N, Offset: v.Offset}
		return t.Append(b)
	case DateType:
		t := edm.DateTimeOffset{Ticks: v.N * TicksPerDay}
		return append(b, t.Text()[:len("2006-01-02")]...)
	case TimeType:
		t := edm.DateTimeOffset{Ticks: v.N}
		return append(b, strings.TrimSuffix(t.Text()[len("2006-01-02T"):], "Z")...)
	case DurationType:
		return append(append(append(b, "duration'"...), formatDuration(v.N)...), '\'')
	case EnumType, FlagsType:
		return append(append(append(b, '\''), enums[v.Type].Format(v.N)...), '\'')
	}
	return append(b, v.S...) // a GUID
}

// appendJSON appends the value as OData JSON writes it; 64-bit numbers as
// strings if the client wants them so.
func (v Value) appendJSON(b []byte, ieee754 bool) []byte {
	switch {
	case v.Null, v.Type == BoolType, v.Type == IntType && !ieee754:
		return v.appendLiteral(b)
	case v.Type == DoubleType:
		return strconv.AppendFloat(b, v.F, 'g', -1, 64)
	case v.Type == StringType:
		return edm.AppendJSONString(b, v.S)
	case enums[v.Type] != nil:
		return edm.AppendJSONString(b, enums[v.Type].Format(v.N))
	case v.Type == DurationType:
		return edm.AppendJSONString(b, formatDuration(v.N))
	}
	return edm.AppendJSONString(b, string(v.appendLiteral(nil)))
}
