package odata

import (
	"strings"
	"unicode/utf8"

	"certstate"
	"certstate/edm"
)

// Function is a row of the table of functions and arithmetic operators: one
// for each combination of types (OData URL Conventions §5.1.1).
type Function struct {
	Name   string
	Params []Type
	Result Type
	// To is the type that a cast names; other functions have none.
	To string
	// eval is given no null: a function of null is null.
	eval func(env *Env, a []Value) Value
	// bound is the largest magnitude of an integer result, given those of the
	// arguments; nil: small.
	bound func(a []float64) float64
}

// Signature names the row: the name with the types of the parameters.
func (f *Function) Signature() string {
	names := make([]string, len(f.Params))
	for i, p := range f.Params {
		names[i] = strings.TrimPrefix(p.String(), "Edm.")
	}
	sig := f.Name + "(" + strings.Join(names, ",")
	if f.To != "" {
		sig += "," + strings.TrimPrefix(f.To, "Edm.")
	}
	return sig + ")"
}

func (f *Function) infix() bool { return precedences[f.Name] != 0 }

// whiteSpace is what trim removes: Unicode's White_Space.
const WhiteSpace = "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"

func types(t ...Type) []Type { return t }

// Functions is all there is to call. Substrings and positions count characters
// from zero; text is compared as it is, case included.
var Functions = [...]Function{
	{Name: "contains", Params: types(StringType, StringType), Result: BoolType, eval: func(_ *Env, a []Value) Value { return boolValue(strings.Contains(a[0].S, a[1].S)) }},
	{Name: "startswith", Params: types(StringType, StringType), Result: BoolType, eval: func(_ *Env, a []Value) Value { return boolValue(strings.HasPrefix(a[0].S, a[1].S)) }},
	{Name: "endswith", Params: types(StringType, StringType), Result: BoolType, eval: func(_ *Env, a []Value) Value { return boolValue(strings.HasSuffix(a[0].S, a[1].S)) }},
	{Name: "matchesPattern", Params: types(StringType, StringType), Result: BoolType, eval: func(_ *Env, a []Value) Value { return boolValue(MatchPattern(a[0].S, a[1].S)) }},
	{Name: "length", Params: types(StringType), Result: IntType, eval: func(_ *Env, a []Value) Value { return intValue(int64(utf8.RuneCountInString(a[0].S))) }},
	{Name: "indexof", Params: types(StringType, StringType), Result: IntType, eval: func(_ *Env, a []Value) Value { return intValue(indexOf(a[0].S, a[1].S)) }},
	{Name: "concat", Params: types(StringType, StringType), Result: StringType, eval: func(_ *Env, a []Value) Value { return stringValue(a[0].S + a[1].S) }},
	{Name: "substring", Params: types(StringType, IntType), Result: StringType, eval: func(_ *Env, a []Value) Value { return stringValue(substring(a[0].S, a[1].N, maxTicks)) }},
	{Name: "substring", Params: types(StringType, IntType, IntType), Result: StringType, eval: func(_ *Env, a []Value) Value { return stringValue(substring(a[0].S, a[1].N, a[2].N)) }},
	{Name: "tolower", Params: types(StringType), Result: StringType, eval: func(_ *Env, a []Value) Value { return stringValue(strings.ToLower(a[0].S)) }},
	{Name: "toupper", Params: types(StringType), Result: StringType, eval: func(_ *Env, a []Value) Value { return stringValue(strings.ToUpper(a[0].S)) }},
	{Name: "trim", Params: types(StringType), Result: StringType, eval: func(_ *Env, a []Value) Value { return stringValue(strings.Trim(a[0].S, WhiteSpace)) }},

	{Name: "year", Params: types(DateTimeType), Result: IntType, eval: func(_ *Env, a []Value) Value { return datePart(a[0].local(), 0) }},
	{Name: "month", Params: types(DateTimeType), Result: IntType, eval: func(_ *Env, a []Value) Value { return datePart(a[0].local(), 1) }},
	{Name: "day", Params: types(DateTimeType), Result: IntType, eval: func(_ *Env, a []Value) Value { return datePart(a[0].local(), 2) }},
	{Name: "year", Params: types(DateType), Result: IntType, eval: func(_ *Env, a []Value) Value { return datePart(a[0].N*TicksPerDay, 0) }},
	{Name: "month", Params: types(DateType), Result: IntType, eval: func(_ *Env, a []Value) Value { return datePart(a[0].N*TicksPerDay, 1) }},
	{Name: "day", Params: types(DateType), Result: IntType, eval: func(_ *Env, a []Value) Value { return datePart(a[0].N*TicksPerDay, 2) }},
	{Name: "hour", Params: types(DateTimeType), Result: IntType, eval: func(_ *Env, a []Value) Value { return clockPart(a[0].local(), ticksPerHour, 24) }},
	{Name: "minute", Params: types(DateTimeType), Result: IntType, eval: func(_ *Env, a []Value) Value { return clockPart(a[0].local(), ticksPerMinute, 60) }},
	{Name: "second", Params: types(DateTimeType), Result: IntType, eval: func(_ *Env, a []Value) Value { return clockPart(a[0].local(), ticksPerSecond, 60) }},
	{Name: "hour", Params: types(TimeType), Result: IntType, eval: func(_ *Env, a []Value) Value { return clockPart(a[0].N, ticksPerHour, 24) }},
	{Name: "minute", Params: types(TimeType), Result: IntType, eval: func(_ *Env, a []Value) Value { return clockPart(a[0].N, ticksPerMinute, 60) }},
	{Name: "second", Params: types(TimeType), Result: IntType, eval: func(_ *Env, a []Value) Value { return clockPart(a[0].N, ticksPerSecond, 60) }},
	{Name: "fractionalseconds", Params: types(DateTimeType), Result: DoubleType, eval: func(_ *Env, a []Value) Value { return fraction(a[0].local()) }},
	{Name: "fractionalseconds", Params: types(TimeType), Result: DoubleType, eval: func(_ *Env, a []Value) Value { return fraction(a[0].N) }},
	{Name: "date", Params: types(DateTimeType), Result: DateType, eval: func(_ *Env, a []Value) Value {
		return inRange(a[0].local(), tickValue(DateType, a[0].local()/TicksPerDay))
	}},
	{Name: "time", Params: types(DateTimeType), Result: TimeType, eval: func(_ *Env, a []Value) Value {
		return inRange(a[0].local(), tickValue(TimeType, a[0].local()%TicksPerDay))
	}},
	{Name: "totaloffsetminutes", Params: types(DateTimeType), Result: IntType, eval: func(_ *Env, a []Value) Value { return intValue(a[0].Offset) }},
	{Name: "totalseconds", Params: types(DurationType), Result: DoubleType, eval: func(_ *Env, a []Value) Value { return doubleValue(float64(a[0].N) / ticksPerSecond) }},
	{Name: "now", Result: DateTimeType, eval: func(env *Env, _ []Value) Value { return timeValue(env.Now) }},
	{Name: "mindatetime", Result: DateTimeType, eval: func(*Env, []Value) Value { return Value{Type: DateTimeType} }},
	{Name: "maxdatetime", Result: DateTimeType, eval: func(*Env, []Value) Value { return tickValue(DateTimeType, maxTicks) }},

	{Name: "cast", To: "Edm.String", Params: types(IntType), Result: StringType, eval: func(_ *Env, a []Value) Value { return stringValue(string(a[0].appendLiteral(nil))) }},
	{Name: "cast", To: "Edm.String", Params: types(EnumType), Result: StringType, eval: func(_ *Env, a []Value) Value { return stringValue(certstate.RevokeStatus(a[0].N).String()) }},
	{Name: "has", Params: types(FlagsType, FlagsType), Result: BoolType, eval: func(_ *Env, a []Value) Value { return boolValue(a[0].N&a[1].N == a[1].N) }},
	{Name: "cast", To: "Edm.Double", Params: types(IntType), Result: DoubleType, eval: func(_ *Env, a []Value) Value { return doubleValue(float64(a[0].N)) }},
	{Name: "cast", To: "Edm.Int32", Params: types(EnumType), Result: IntType, eval: func(_ *Env, a []Value) Value { return intValue(a[0].N) }},

	{Name: "add", Params: types(IntType, IntType), Result: IntType, eval: func(_ *Env, a []Value) Value { return intValue(a[0].N + a[1].N) }, bound: sum},
	{Name: "add", Params: types(DoubleType, DoubleType), Result: DoubleType, eval: func(_ *Env, a []Value) Value { return doubleValue(a[0].number() + a[1].number()) }, bound: sum},
	{Name: "add", Params: types(DateTimeType, DurationType), Result: DateTimeType, eval: func(_ *Env, a []Value) Value {
		return Value{Type: DateTimeType, N: a[0].N + a[1].N, Offset: a[0].Offset}
	}, bound: sum},
	{Name: "add", Params: types(DurationType, DurationType), Result: DurationType, eval: func(_ *Env, a []Value) Value { return tickValue(DurationType, a[0].N+a[1].N) }, bound: sum},
	{Name: "sub", Params: types(IntType, IntType), Result: IntType, eval: func(_ *Env, a []Value) Value { return intValue(a[0].N - a[1].N) }, bound: sum},
	{Name: "sub", Params: types(DoubleType, DoubleType), Result: DoubleType, eval: func(_ *Env, a []Value) Value { return doubleValue(a[0].number() - a[1].number()) }, bound: sum},
	{Name: "sub", Params: types(DateTimeType, DurationType), Result: DateTimeType, eval: func(_ *Env, a []Value) Value {
		return Value{Type: DateTimeType, N: a[0].N - a[1].N, Offset: a[0].Offset}
	}, bound: sum},
	{Name: "sub", Params: types(DateTimeType, DateTimeType), Result: DurationType, eval: func(_ *Env, a []Value) Value { return tickValue(DurationType, a[0].N-a[1].N) }, bound: sum},
	{Name: "sub", Params: types(DurationType, DurationType), Result: DurationType, eval: func(_ *Env, a []Value) Value { return tickValue(DurationType, a[0].N-a[1].N) }, bound: sum},
	{Name: "mul", Params: types(IntType, IntType), Result: IntType, eval: func(_ *Env, a []Value) Value { return intValue(a[0].N * a[1].N) }, bound: product},
	{Name: "mul", Params: types(DoubleType, DoubleType), Result: DoubleType, eval: func(_ *Env, a []Value) Value { return doubleValue(a[0].number() * a[1].number()) }, bound: product},
	{Name: "mul", Params: types(DurationType, IntType), Result: DurationType, eval: func(_ *Env, a []Value) Value { return tickValue(DurationType, a[0].N*a[1].N) }, bound: product},
	{Name: "div", Params: types(IntType, IntType), Result: IntType, eval: func(_ *Env, a []Value) Value { return divide(IntType, a) }, bound: first},
	{Name: "div", Params: types(DoubleType, DoubleType), Result: DoubleType, eval: func(_ *Env, a []Value) Value { return quotient(a) }, bound: wide},
	{Name: "div", Params: types(DurationType, IntType), Result: DurationType, eval: func(_ *Env, a []Value) Value { return divide(DurationType, a) }, bound: first},
	{Name: "divby", Params: types(DoubleType, DoubleType), Result: DoubleType, eval: func(_ *Env, a []Value) Value { return quotient(a) }, bound: wide},
	{Name: "mod", Params: types(IntType, IntType), Result: IntType, eval: func(_ *Env, a []Value) Value {
		if a[1].N == 0 {
			return nullValue(IntType)
		}
		return intValue(a[0].N % a[1].N)
	}, bound: first},
	{Name: "-", Params: types(IntType), Result: IntType, eval: func(_ *Env, a []Value) Value { return intValue(-a[0].N) }, bound: first},
	{Name: "-", Params: types(DoubleType), Result: DoubleType, eval: func(_ *Env, a []Value) Value { return doubleValue(-a[0].F) }, bound: first},
	{Name: "-", Params: types(DurationType), Result: DurationType, eval: func(_ *Env, a []Value) Value { return tickValue(DurationType, -a[0].N) }, bound: first},
}

func sum(a []float64) float64     { return a[0] + a[1] }
func product(a []float64) float64 { return a[0] * a[1] }
func first(a []float64) float64   { return a[0] }
func wide(a []float64) float64    { return a[0] * 1e15 } // literals are no smaller than 1e-15

// indexOf counts characters, as SQL does.
func indexOf(s, part string) int64 {
	i := strings.Index(s, part)
	if i < 0 {
		return -1
	}
	return int64(utf8.RuneCountInString(s[:i]))
}

// substring takes what lies within the text; a negative start is zero.
func substring(s string, start, length int64) string {
	if length <= 0 {
		return ""
	}
	runes := []rune(s)
	from := min(max(start, 0), int64(len(runes)))
	return string(runes[from:min(from+min(length, int64(len(runes))), int64(len(runes)))])
}

// inRange is the value, or null if the clock shows a time outside the years 1
// to 9999, which only arithmetic can give.
func inRange(local int64, v Value) Value {
	if local < 0 || local > maxTicks {
		return nullValue(v.Type)
	}
	return v
}

func datePart(local int64, part int) Value {
	year, month, day := edm.Civil(local / TicksPerDay)
	return inRange(local, intValue(int64([...]int{year, month, day}[part])))
}

func clockPart(local, unit, modulo int64) Value {
	return inRange(local, intValue(local/unit%modulo))
}

func fraction(local int64) Value {
	return inRange(local, doubleValue(float64(local%ticksPerSecond)/ticksPerSecond))
}

// divide cuts towards zero. By zero it gives null, which no comparison but one
// with null holds for.
func divide(t Type, a []Value) Value {
	if a[1].N == 0 {
		return nullValue(t)
	}
	return tickValue(t, a[0].N/a[1].N)
}

func quotient(a []Value) Value {
	if a[1].number() == 0 {
		return nullValue(DoubleType)
	}
	return doubleValue(a[0].number() / a[1].number())
}
