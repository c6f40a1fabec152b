package odata

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strings"

	"certstate"
)

// logic checks and joins two conditions.
func (p *parser) logic(at int, op string, l, r Expr) (Expr, error) {
	for _, e := range []Expr{l, r} {
		if e.Type() != BoolType && e.Type() != NullType {
			return nil, p.incompatible(at, op, l, r)
		}
	}
	return &Logic{op == "and", l, r}, nil
}

func (p *parser) incompatible(at int, op string, l, r Expr) error {
	return p.refuse(at, "a binary operator with incompatible types was detected. Found operand types '%s' and '%s' for operator '%s'%s",
		l.Type(), r.Type(), op, typeHint(l, r))
}

// typeHint says how to mend the mismatches people make.
func typeHint(l, r Expr) string {
	a, b := l.Type(), r.Type()
	if a > b {
		a, b = b, a
	}
	switch {
	case a == StringType && b == GUIDType:
		return ": ids are text here, write them in single quotes"
	case a == StringType && (b == DateTimeType || b == DateType || b == TimeType):
		return ": dates and times are written without quotes, such as 2026-01-31T08:00:00Z"
	case a == StringType && b == IntType:
		return ": numbers are written without quotes, text with single quotes"
	case a == DateTimeType && b == DateType:
		return ": write the time of day too, such as 2026-01-31T00:00:00Z, or use date(…)"
	}
	return ""
}

// comparison checks a comparison. Texts become members of the enumeration, or
// durations, where the other operand is one.
func (p *parser) comparison(at int, op Op, l, r Expr) (Expr, error) {
	l, r, err := p.reportWords(at, l, r)
	if err != nil {
		return nil, err
	}
	if l, err = p.convert(at, l, r.Type()); err != nil {
		return nil, err
	}
	if r, err = p.convert(at, r, l.Type()); err != nil {
		return nil, err
	}
	if !comparable(l.Type(), r.Type()) {
		return nil, p.incompatible(at, string(op), l, r)
	}
	if l.Type() == BinaryType && r.Type() == BinaryType {
		return nil, p.refuse(at, "certificates can be compared with null alone: ask for certificateSha256Thumbprint")
	}
	ordered := op != Eq && op != Ne
	for _, e := range []Expr{l, r} {
		if t := e.Type(); ordered && (enums[t] != nil || t == BoolType || t == GUIDType) {
			return nil, p.refuse(at, "the operator '%s' is not defined for '%s': its values have no order; use 'eq', 'ne' or 'in'", op, t)
		}
	}
	c := &Compare{Op: op, L: l, R: r}
	if !ordered {
		if _, literal := l.(*Literal); literal {
			if _, literal = r.(*Literal); !literal {
				l, r = r, l
				c.L, c.R = l, r
			}
		}
		c.Keys = literalKeys(l, r)
	}
	return c, nil
}

func comparable(a, b Type) bool {
	return a == b || a == NullType || b == NullType || a.numeric() && b.numeric()
}

// literalKeys are the keys of a literal that is compared with a property that
// has keys, nil for any other pair.
func literalKeys(l, r Expr) []string {
	property, ok1 := l.(*Property)
	literal, ok2 := r.(*Literal)
	if !ok1 || !ok2 || literal.Null || certstate.Properties[property.Index].Keys == nil {
		return nil
	}
	return certstate.Properties[property.Index].KeysOf(literal.S)
}

// convert turns a literal text into the type it is used with, if it is one
// whose literals may be written as texts.
func (p *parser) convert(at int, e Expr, to Type) (Expr, error) {
	l, ok := e.(*Literal)
	if !ok || l.Type() != StringType {
		return e, nil
	}
	var v Value
	var err error
	switch to {
	case EnumType, FlagsType:
		v, err = parseMember(to, l.S)
	case DurationType:
		v, err = parseDuration(l.S)
	default:
		return e, nil
	}
	if err != nil {
		return nil, p.refuse(at, "%s", err)
	}
	return &Literal{v}, nil
}

// membership checks an in.
func (p *parser) membership(at int, x Expr, list []Expr) (Expr, error) {
	in := &In{X: x}
	for _, e := range list {
		c, err := p.comparison(at, Eq, x, e)
		if err != nil {
			return nil, err
		}
		cmp := c.(*Compare)
		literal, ok := cmp.R.(*Literal)
		if !ok { // a constant in a list of constants
			literal = cmp.L.(*Literal)
		}
		in.List = append(in.List, literal.Value)
		if cmp.Keys == nil {
			in.Rest = append(in.Rest, literal.Value)
		}
		for _, k := range cmp.Keys {
			if !slices.Contains(in.Keys, k) {
				in.Keys = append(in.Keys, k)
			}
		}
	}
	return in, nil
}

// jsonString reads a text in double quotes, an element of a JSON array.
func (p *parser) jsonString() (Expr, error) {
	at := p.pos
	for p.pos++; p.pos < len(p.text) && p.text[p.pos] != '"'; p.pos++ {
		if p.text[p.pos] == '\\' {
			p.pos++
		}
	}
	var s string
	if !p.take('"') || json.Unmarshal([]byte(p.text[at:p.pos]), &s) != nil {
		return nil, p.syntax(at, "the text that begins here is not a JSON string")
	}
	if strings.IndexByte(s, 0) >= 0 {
		return nil, p.refuse(at, "it contains the character U+0000, which no record holds")
	}
	return &Literal{stringValue(s)}, p.count()
}

// function reads the arguments of a call.
func (p *parser) function(at int, name string) (Expr, error) {
	lower := strings.ToLower(name)
	if lower == "cast" || lower == "isof" {
		return p.conversion(at, lower)
	}
	p.pos++ // (
	args, err := p.arguments()
	if err != nil {
		return nil, err
	}
	if lower == "any" || lower == "all" {
		return nil, p.syntax(at, "'%s' needs a collection before it, and the record has none", lower)
	}
	return p.call(at, name, args)
}

// arguments reads expressions up to the closing parenthesis.
func (p *parser) arguments() (args []Expr, err error) {
	if p.space(); p.take(')') {
		return nil, nil
	}
	for {
		p.space()
		e, err := p.nest(func() (Expr, error) { return p.expr(0) })
		if err != nil {
			return nil, err
		}
		args = append(args, e)
		p.space()
		switch {
		case p.take(')'):
			return args, nil
		case !p.take(','):
			return nil, p.syntax(p.pos, "expected ',' or ')'")
		}
	}
}

// call finds the row of Functions that takes the arguments.
func (p *parser) call(at int, name string, args []Expr) (Expr, error) {
	known := false
	for i := range Functions {
		fn := &Functions[i]
		if !strings.EqualFold(fn.Name, name) || fn.To != "" {
			continue
		}
		known = true
		if converted, ok := p.fit(fn, args); ok {
			return p.bounded(at, &Call{fn, converted})
		}
	}
	if !known {
		return nil, p.refuse(at, "the function '%s' is not supported: there are %s", clip(name), strings.Join(FunctionNames(), ", "))
	}
	given := make([]string, len(args))
	for i, a := range args {
		given[i] = a.Type().String()
	}
	return nil, p.refuse(at, "'%s' does not take (%s): it takes %s", name, strings.Join(given, ", "), strings.Join(signatures(name), " or "))
}

// FunctionNames lists the functions there are, in the table's order.
func FunctionNames() (names []string) {
	for i := range Functions {
		if fn := &Functions[i]; !fn.infix() && !slices.Contains(names, fn.Name) {
			names = append(names, fn.Name)
		}
	}
	return append(names, "isof")
}

func signatures(name string) (list []string) {
	for i := range Functions {
		if fn := &Functions[i]; strings.EqualFold(fn.Name, name) && fn.To == "" {
			list = append(list, fn.Signature())
		}
	}
	return list
}

// fit converts the arguments to the row's parameters, if they can be.
func (p *parser) fit(fn *Function, args []Expr) ([]Expr, bool) {
	if len(args) != len(fn.Params) {
		return nil, false
	}
	converted := slices.Clone(args)
	for i, want := range fn.Params {
		e, err := p.convert(0, args[i], want)
		if err != nil {
			return nil, false
		}
		converted[i] = e
		if have := e.Type(); have != want && have != NullType && (have != IntType || want != DoubleType) {
			return nil, false
		}
	}
	return converted, true
}

// bounded refuses calls whose result could not be told exactly: numbers that
// outgrow their type (as a float, its greatest is one more than it), division by zero, patterns that are none.
func (p *parser) bounded(at int, c *Call) (Expr, error) {
	if magnitude(c) >= math.MaxInt64 && c.Type() != DoubleType || magnitude(c) > 1e300 {
		return nil, p.refuse(at, "the result of '%s' could be too large for %s", c.Fn.Name, c.Type())
	}
	if len(c.Args) < 2 {
		return c, nil
	}
	last, literal := c.Args[len(c.Args)-1].(*Literal)
	switch {
	case !literal || last.Null:
		if c.Fn.Name == "matchesPattern" && !literal {
			return nil, p.refuse(at, "the pattern of matchesPattern must be a literal")
		}
	case c.Fn.Name == "matchesPattern":
		if _, err := regexp.Compile(last.S); err != nil || len(last.S) > maxPattern {
			return nil, p.refuse(at, "the pattern of matchesPattern must be a regular expression of at most %d bytes without look-around and back references", maxPattern)
		}
	case strings.HasPrefix(c.Fn.Name, "div") || c.Fn.Name == "mod":
		if last.number() == 0 {
			return nil, p.refuse(at, "division by zero")
		}
	}
	return c, nil
}

// magnitude bounds the absolute value of a number or of ticks.
func magnitude(e Expr) float64 {
	switch e := e.(type) {
	case *Literal:
		return max(math.Abs(float64(e.N)), math.Abs(e.F))
	case *Call:
		if e.Fn.bound != nil {
			args := make([]float64, len(e.Args))
			for i, a := range e.Args {
				args[i] = magnitude(a)
			}
			return e.Fn.bound(args)
		}
	}
	switch e.Type() {
	case DateTimeType, DurationType, TimeType:
		return maxTicks
	case DoubleType:
		return 1e12 // seconds of ten thousand years
	}
	return math.MaxInt32 + 1
}
