package odata

import (
	"slices"
	"strings"

	"certstate"
)

// conversion reads cast(x,type) and isof(x,type), or isof(type) of the record.
func (p *parser) conversion(at int, name string) (Expr, error) {
	p.pos++ // (
	p.space()
	start := p.pos
	var x Expr
	if to := p.name(); name == "isof" && p.peek() == ')' {
		p.pos++
		return &Literal{boolValue(strings.TrimPrefix(to, "graph.") == certstate.TypeName || to == "microsoft.graph.entity")}, nil
	}
	p.pos = start
	x, err := p.nest(func() (Expr, error) { return p.expr(0) })
	if err != nil {
		return nil, err
	}
	p.space()
	if !p.take(',') {
		return nil, p.syntax(p.pos, "expected ',' and a type")
	}
	p.space()
	to := p.typeName()
	p.space()
	if !p.take(')') {
		return nil, p.syntax(p.pos, "expected ')'")
	}
	if name == "isof" {
		return p.isof(x, to), nil
	}
	return p.cast(at, x, to)
}

// typeName reads a type, which may stand in quotes.
func (p *parser) typeName() string {
	if p.peek() == '\'' {
		name, _ := p.quoted()
		return name
	}
	return p.name()
}

// storedAs are the types by which an expression's type goes, widest last.
var storedAs = map[Type][]string{
	StringType: {"Edm.String"}, IntType: {"Edm.Int32", "Edm.Int64"}, DoubleType: {"Edm.Double"}, BoolType: {"Edm.Boolean"},
	DateTimeType: {"Edm.DateTimeOffset"}, DateType: {"Edm.Date"}, TimeType: {"Edm.TimeOfDay"}, DurationType: {"Edm.Duration"},
	EnumType: {certstate.RevokeStatusType.Name}, FlagsType: {certstate.FindingsType.Name}, BinaryType: {"Edm.Binary"},
}

// isof is whether the value has the type, which null has not (OData URL
// Conventions §5.1.1.10.2).
func (p *parser) isof(x Expr, to string) Expr {
	if !slices.Contains(storedAs[x.Type()], to) {
		return &Literal{boolValue(false)}
	}
	return &Compare{Op: Ne, L: x, R: &Literal{nullValue(NullType)}}
}

func (p *parser) cast(at int, x Expr, to string) (Expr, error) {
	if slices.Contains(storedAs[x.Type()], to) || x.Type() == NullType {
		return x, nil
	}
	if l, ok := x.(*Literal); ok && l.Type() == StringType {
		if v, ok := castText(l.S, to); ok {
			return &Literal{v}, nil
		}
		return nil, p.refuse(at, "'%s' is not a value of type '%s'", clip(l.S), clip(to))
	}
	if to == "Edm.Date" || to == "Edm.TimeOfDay" {
		return p.call(at, map[string]string{"Edm.Date": "date", "Edm.TimeOfDay": "time"}[to], []Expr{x})
	}
	var can []string
	for i := range Functions {
		fn := &Functions[i]
		if fn.Name != "cast" || fn.Params[0] != x.Type() {
			continue
		}
		if fn.To == to {
			return &Call{fn, []Expr{x}}, nil
		}
		can = append(can, fn.To)
	}
	return nil, p.refuse(at, "'%s' cannot be cast to '%s' here, only to: %s", x.Type(), clip(to), strings.Join(append(can, storedAs[x.Type()]...), ", "))
}

// castText reads a text as a literal of the type.
func castText(text, to string) (v Value, ok bool) {
	var err error
	switch to {
	case "Edm.Duration":
		v, err = parseDuration(text)
	case certstate.RevokeStatusType.Name:
		v, err = parseMember(EnumType, text)
	case certstate.FindingsType.Name:
		v, err = parseMember(FlagsType, text)
	default:
		v, err = parseNumeric(text)
	}
	return v, err == nil && slices.Contains(storedAs[v.Type], to)
}
