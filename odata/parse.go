package odata

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"certstate"
)

// Bounds on an expression, so that its cost is bounded before it is paid.
const (
	MaxExprDepth = 50   // parentheses, arguments and nots within each other
	MaxExprNodes = 1000 // names, literals and operators in all
	MaxInList    = 500  // values after in
)

// ParseFilter reads the text of $filter: an expression that is true, false or
// null of a record (OData ABNF boolCommonExpr). Errors name the position, the
// option, and the operator or property at fault. aliases are the values of
// parameter aliases (@name) that the URL gives.
func ParseFilter(text string, aliases map[string]string) (Expr, error) {
	p := &parser{option: "$filter", text: text, aliases: aliases}
	e, err := p.whole()
	if err != nil {
		return nil, err
	}
	if e.Type() != BoolType && e.Type() != NullType {
		return nil, p.refuse(0, "the filter is of type '%s', and must be true or false: compare it with something", e.Type())
	}
	return e, nil
}

// parser reads one expression.
type parser struct {
	option  string
	text    string
	pos     int
	depth   int
	nodes   int
	aliases map[string]string
	vars    map[string]Expr // names besides the properties, for $apply
	report  *reportNames    // names in the place of the properties, for reports; nil: the properties
}

// wellFormed refuses text that no record could hold.
func (p *parser) wellFormed() error {
	switch {
	case !utf8.ValidString(p.text):
		return p.refuse(0, "it is not valid UTF-8")
	case strings.IndexByte(p.text, 0) >= 0:
		return p.refuse(strings.IndexByte(p.text, 0), "it contains the character U+0000, which no record holds")
	}
	return nil
}

// whole reads all of the text as one expression.
func (p *parser) whole() (Expr, error) {
	if err := p.wellFormed(); err != nil {
		return nil, err
	}
	p.space()
	e, err := p.expr(0)
	if err != nil {
		return nil, err
	}
	p.space()
	if p.pos < len(p.text) {
		return nil, p.syntax(p.pos, "expected an operator or the end")
	}
	return e, nil
}

// syntax is the error of text that the grammar does not allow.
func (p *parser) syntax(at int, format string, args ...any) error {
	return p.fault("Syntax error at", at, format, args)
}

// refuse is the error of text that is grammatical and cannot be answered.
func (p *parser) refuse(at int, format string, args ...any) error {
	return p.fault("At", at, format, args)
}

func (p *parser) fault(what string, at int, format string, args []any) error {
	why := fmt.Sprintf(format, args...)
	if !strings.HasSuffix(why, "?") {
		why += "."
	}
	if p.report != nil {
		return certstate.Errorf(certstate.Invalid, p.option, "The filter is not valid. %s position %d in '%s': %s", what, at, clip(p.text), why)
	}
	return certstate.Errorf(certstate.Invalid, p.option, "The query specified in the URI is not valid. %s position %d in '%s' of %s: %s",
		what, at, clip(p.text), p.option, why)
}

// count counts a node against the bound.
func (p *parser) count() error {
	if p.nodes++; p.nodes > MaxExprNodes {
		return p.refuse(p.pos, "the expression has more than %d parts: ask in several requests", MaxExprNodes)
	}
	return nil
}

// nest runs read one level deeper.
func (p *parser) nest(read func() (Expr, error)) (Expr, error) {
	if p.depth++; p.depth > MaxExprDepth {
		return nil, p.refuse(p.pos, "the expression is nested deeper than %d levels", MaxExprDepth)
	}
	defer func() { p.depth-- }()
	return read()
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// space skips white space and reports whether there was any.
func (p *parser) space() bool {
	from := p.pos
	for p.pos < len(p.text) && isSpace(p.text[p.pos]) {
		p.pos++
	}
	return p.pos > from
}

func (p *parser) peek() byte {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

// take consumes c if it comes next.
func (p *parser) take(c byte) bool {
	if p.peek() != c || p.pos == len(p.text) {
		return false
	}
	p.pos++
	return true
}

func isNameByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf
}

// name consumes an identifier, which may be qualified with dots, or nothing.
func (p *parser) name() string {
	from := p.pos
	for p.pos < len(p.text) && (isNameByte(p.text[p.pos]) || p.text[p.pos] == '.' && p.pos > from) {
		p.pos++
	}
	return p.text[from:p.pos]
}

// expr reads an expression of operators that bind at least as tightly as least.
func (p *parser) expr(least int) (Expr, error) {
	left, err := p.unary()
	if err != nil {
		return nil, err
	}
	for {
		before := p.pos
		if !p.space() {
			return left, nil
		}
		at := p.pos
		name := p.name()
		op := strings.ToLower(name)
		prec := precedences[op]
		if prec == 0 || prec < least {
			p.pos = before
			return left, nil
		}
		if err := p.count(); err != nil {
			return nil, err
		}
		if !p.space() && p.peek() != '(' && p.peek() != '[' {
			return nil, p.syntax(p.pos, "expected a space after '%s'", name)
		}
		if left, err = p.operation(at, left, op, prec); err != nil {
			return nil, err
		}
	}
}

// operation reads what follows an infix operator.
func (p *parser) operation(at int, left Expr, op string, prec int) (Expr, error) {
	switch op {
	case "in":
		return p.list(at, left)
	case "has":
		if left.Type() != FlagsType && left.Type() != NullType {
			return nil, p.refuse(at, "the operator 'has' is for '%s', and has '%s' before it: use 'eq' or 'in'", FlagsType, left.Type())
		}
	}
	right, err := p.nest(func() (Expr, error) { return p.expr(prec + 1) })
	if err != nil {
		return nil, err
	}
	switch op {
	case "and", "or":
		return p.logic(at, op, left, right)
	case "has":
		if right, err = p.convert(at, right, FlagsType); err != nil {
			return nil, err
		}
	case "eq", "ne", "gt", "ge", "lt", "le":
		return p.comparison(at, Op(op), left, right)
	}
	return p.call(at, op, []Expr{left, right})
}

// unary reads not, a minus, or a primary expression.
func (p *parser) unary() (Expr, error) {
	at := p.pos
	if p.peek() == '-' && at+1 < len(p.text) && (p.text[at+1] < '0' || p.text[at+1] > '9') {
		p.pos++
		x, err := p.nest(func() (Expr, error) { p.space(); return p.unary() })
		if err != nil {
			return nil, err
		}
		return p.call(at, "-", []Expr{x})
	}
	if name := p.name(); strings.EqualFold(name, "not") && (isSpace(p.peek()) || p.peek() == '(') {
		p.space()
		x, err := p.nest(p.unary)
		if err != nil {
			return nil, err
		}
		if x.Type() != BoolType && x.Type() != NullType {
			return nil, p.refuse(at, "'not' needs true or false and has '%s': put what it is to negate in parentheses, not (a eq b)", x.Type())
		}
		return &Not{x}, p.count()
	}
	p.pos = at
	return p.primary()
}
