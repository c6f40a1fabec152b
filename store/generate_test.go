package store_test

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"certstate"
	"certstate/edm"
	"certstate/odata"
)

// generator makes random records and random typed queries over them, out of
// few values, so that they meet.
type generator struct{ *rand.Rand }

func pick[T any](g generator, list ...T) T { return list[g.IntN(len(list))] }

var (
	texts = []string{"", "a", "A", "ab", "aB", "b", "ä", "Ä", "Åsa Öberg", "a b", " a ", "a%b", "a_b", "%", "'", "a'b", "10", "0a", "0A", "16", "00:0a", "0x10",
		"CN=LAPTOP-0042, O=Fleet", "laptop", "LAPTOP-0042", "jonas.lindqvist@fleet.example", "\u00a0x", "日本語", "ß", "İ", "\U0010ffff", "z\U0010ffff", "AB CD", "ab:cd", "43981", "ΟΔΟΣ", "ǆ", "ŉ"}
	instants = []string{"0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00+02:00", "2025-12-31T22:00:00Z",
		"2024-02-29T23:59:59.5Z", "2026-06-15T12:30:45.1234567-08:00", "2026-06-15T20:30:45.1234567Z", "1969-12-31T23:59:59.9999999Z", "2026-11-24T08:00:00+14:00"}
	numbers = []int32{0, 1, -1, 2, 5, -7, 160, 2147483647, -2147483648}
)

func (g generator) text() edm.String {
	if g.IntN(5) == 0 {
		return edm.String{}
	}
	return edm.Str(pick(g, texts...))
}

func (g generator) instant() edm.DateTimeOffset {
	t, err := edm.ParseDateTimeOffset(pick(g, instants...))
	if err != nil {
		panic(err)
	}
	return t
}

// state is a record with a random value in every property but the key.
func (g generator) state(id string) certstate.State {
	s := certstate.State{ID: edm.Str(id)}
	for i := range certstate.Properties[1:] {
		switch f := certstate.Properties[i+1].Field(&s).(type) {
		case *edm.String:
			*f = g.text()
		case *edm.DateTimeOffset:
			*f = g.instant()
		case *edm.Int32:
			if g.IntN(4) > 0 {
				*f = edm.Int(pick(g, numbers...))
			}
		case *certstate.RevokeStatus:
			*f = certstate.RevokeStatus(g.IntN(5))
		case *edm.Binary:
			if g.IntN(2) > 0 {
				*f = edm.Bin(newCertificate(pick(g, texts...), g.IntN(1<<30)))
			}
		}
	}
	return s
}

// property is the name of a property of the type.
func (g generator) property(t odata.Type) string {
	for {
		if i := g.IntN(len(certstate.Properties)); odata.PropertyType(i) == t {
			return certstate.Properties[i].Name
		}
	}
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func (g generator) literal(t odata.Type) string {
	switch t {
	case odata.StringType:
		return quote(pick(g, texts...))
	case odata.IntType:
		return fmt.Sprint(pick(g, numbers...))
	case odata.DoubleType:
		return pick(g, "0.5", "-7.0", "2.0", "0.1234567", "1e3", "4.25")
	case odata.DateTimeType:
		return pick(g, instants...)
	case odata.DateType:
		return pick(g, instants...)[:10]
	case odata.TimeType:
		return pick(g, "00:00", "23:59:59.9999999", "12:30:45.1234567", "20:30")
	case odata.DurationType:
		return pick(g, "duration'P1D'", "duration'-PT2H'", "duration'P3650D'", "duration'PT0.0000001S'", "duration'P0D'")
	case odata.EnumType:
		return quote(pick(g, certstate.RevokeStatusType.Members...))
	case odata.FlagsType:
		return quote(pick(g, certstate.FindingsType.Members...) + pick(g, "", ","+pick(g, certstate.FindingsType.Members...)))
	}
	return pick(g, "true", "false", "null")
}

var valueTypes = []odata.Type{odata.StringType, odata.StringType, odata.IntType, odata.DoubleType, odata.DateTimeType, odata.DateType, odata.TimeType,
	odata.DurationType, odata.EnumType, odata.FlagsType}

// value is the source of an expression of the type.
func (g generator) value(t odata.Type, depth int) string {
	switch n := g.IntN(10); {
	case n == 0 && depth < 3:
		return "null"
	case n < 4 || depth <= 0:
		return g.literal(t)
	case n < 8 && (t == odata.StringType || t == odata.IntType || t == odata.DateTimeType || t == odata.EnumType || t == odata.FlagsType):
		return g.property(t)
	}
	for range 20 { // any function with that result
		fn := &odata.Functions[g.IntN(len(odata.Functions))]
		if fn.Result == t {
			return g.call(fn, depth-1)
		}
	}
	return g.literal(t)
}

func (g generator) call(fn *odata.Function, depth int) string {
	args := make([]string, len(fn.Params))
	for i, p := range fn.Params {
		args[i] = g.value(p, depth)
	}
	switch fn.Name {
	case "-":
		return "-(" + args[0] + ")"
	case "has", "add", "sub", "mul", "div", "divby", "mod":
		return "(" + args[0] + " " + fn.Name + " " + args[1] + ")"
	case "cast":
		return "cast(" + args[0] + "," + fn.To + ")"
	case "matchesPattern":
		args[1] = quote(pick(g, "^a", "[0-9]+", "b$", "", "(?i)ä"))
	}
	return fn.Name + "(" + strings.Join(args, ",") + ")"
}

// condition is the source of a filter.
func (g generator) condition(depth int) string {
	t := pick(g, valueTypes...)
	switch n := g.IntN(14); {
	case depth <= 0 || n < 5:
		op := pick(g, "eq", "ne", "gt", "ge", "lt", "le")
		if t == odata.EnumType || t == odata.FlagsType {
			op = pick(g, "eq", "ne")
		}
		return g.value(t, depth) + " " + op + " " + g.value(t, depth-1)
	case n < 7:
		list := make([]string, g.IntN(4))
		for i := range list {
			if list[i] = g.literal(t); g.IntN(6) == 0 {
				list[i] = "null"
			}
		}
		return g.value(t, depth-1) + " in (" + strings.Join(list, ",") + ")"
	case n < 9:
		if g.IntN(6) == 0 {
			return "certificate " + pick(g, "eq", "ne") + " null"
		}
		fn := &odata.Functions[g.IntN(4)] // the conditions stand first
		return g.call(fn, depth-1)
	case n < 10:
		return "not (" + g.condition(depth-1) + ")"
	case n < 11:
		return "(" + g.condition(depth-1) + ") " + pick(g, "eq", "ne") + " " + pick(g, "true", "false", "null", "("+g.condition(depth-1)+")")
	}
	return "(" + g.condition(depth-1) + ") " + pick(g, "and", "or") + " (" + g.condition(depth-1) + ")"
}

// search is the source of $search.
func (g generator) search(depth int) string {
	switch n := g.IntN(6); {
	case depth <= 0 || n < 2:
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(pick(g, texts[1:]...)) + `"`
	case n < 3:
		return "NOT (" + g.search(depth-1) + ")"
	}
	return "(" + g.search(depth-1) + ")" + pick(g, " ", " AND ", " OR ") + "(" + g.search(depth-1) + ")"
}

// order is the source of $orderby, or "".
func (g generator) order() string {
	keys := make([]string, g.IntN(4))
	for i := range keys {
		property := &certstate.Properties[g.IntN(len(certstate.Properties))]
		if property.Is(certstate.Apart) {
			property = &certstate.Properties[0]
		}
		keys[i] = property.Name + pick(g, "", " asc", " desc")
	}
	return strings.Join(keys, ",")
}
