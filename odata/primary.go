package odata

import (
	"errors"
	"strings"

	"certstate"
)

// primary reads parentheses, a literal, a name or a call.
func (p *parser) primary() (Expr, error) {
	if err := p.count(); err != nil {
		return nil, err
	}
	at := p.pos
	switch c := p.peek(); {
	case c == '(':
		p.pos++
		return p.parentheses()
	case c == '\'':
		s, err := p.quoted()
		return &Literal{stringValue(s)}, err
	case c >= '0' && c <= '9', c == '-', c == '+':
		return p.numeric()
	case c == '@':
		return p.alias()
	case c == '[', c == '{':
		return nil, p.refuse(at, "collections and objects are supported only after 'in'")
	case c == '$':
		return p.implicit()
	case !isNameByte(c):
		return nil, p.syntax(at, "expected a property, a function or a literal")
	}
	if end := at + 36; end <= len(p.text) && guidForm.MatchString(p.text[at:end]) && (end == len(p.text) || !isNameByte(p.text[end])) {
		p.pos = end
		return &Literal{Value{Type: GUIDType, S: strings.ToLower(p.text[at:end])}}, nil
	}
	return p.named(at, p.name())
}

func (p *parser) parentheses() (Expr, error) {
	p.space()
	e, err := p.nest(func() (Expr, error) { return p.expr(0) })
	if err != nil {
		return nil, err
	}
	p.space()
	if !p.take(')') {
		return nil, p.syntax(p.pos, "expected ')'")
	}
	return e, nil
}

// quoted reads a text in single quotes; a quote within is written twice.
func (p *parser) quoted() (string, error) {
	at := p.pos
	var b strings.Builder
	for p.pos++; p.pos < len(p.text); p.pos++ {
		if p.text[p.pos] != '\'' {
			b.WriteByte(p.text[p.pos])
			continue
		}
		p.pos++
		if p.peek() != '\'' {
			return b.String(), nil
		}
		b.WriteByte('\'')
	}
	return "", p.syntax(at, "the text that begins here has no closing quote; a quote within is written twice")
}

func (p *parser) numeric() (Expr, error) {
	at := p.pos
	for p.pos++; p.pos < len(p.text); p.pos++ {
		if c := p.text[p.pos]; !isNameByte(c) && c != '.' && c != ':' && c != '-' && c != '+' {
			break
		}
	}
	// The + of an offset arrives as a space if it was not percent-encoded.
	if dateTimeForm.MatchString(p.text[at:p.pos]) && p.peek() == ' ' && p.pos+6 <= len(p.text) && timeForm.MatchString(p.text[p.pos+1:p.pos+6]) {
		p.pos += 6
	}
	v, err := parseNumeric(p.text[at:p.pos])
	switch {
	case errors.Is(err, errForm):
		return nil, p.syntax(at, "%s", err)
	case err != nil:
		return nil, p.refuse(at, "%s", err)
	}
	if v.Type == DoubleType && v.F != 0 && (v.number() > 1e15 || v.number() < -1e15 || v.F > -1e-15 && v.F < 1e-15) {
		return nil, p.refuse(at, "a number with a fraction must be between 1e-15 and 1e15, of either sign, or 0")
	}
	return &Literal{v}, nil
}

// alias reads @name and, in its place, the value the URL gives it.
func (p *parser) alias() (Expr, error) {
	at := p.pos
	p.pos++
	name := "@" + p.name()
	value, ok := p.aliases[name]
	if !ok {
		return nil, p.refuse(at, "the parameter alias '%s' has no value: add %s=… to the query", clip(name), clip(name))
	}
	return p.nest(func() (Expr, error) {
		inner := &parser{option: name, text: value, aliases: p.aliases, vars: p.vars, report: p.report, depth: p.depth, nodes: p.nodes}
		e, err := inner.whole()
		p.nodes = inner.nodes
		return e, err
	})
}

// implicit reads $it/property; $it alone stands for the record, which is
// compared with nothing.
func (p *parser) implicit() (Expr, error) {
	at := p.pos
	p.pos++
	if name := p.name(); name == "it" && p.take('/') {
		return p.property(p.pos, p.name())
	}
	return nil, p.refuse(at, "of the names that begin with $ only $it/property is supported here")
}

// named reads what begins with a name: a constant, an enumeration's member, a
// call or a property.
func (p *parser) named(at int, name string) (Expr, error) {
	switch strings.ToLower(name) {
	case "true", "false":
		return &Literal{boolValue(len(name) == len("true"))}, nil
	case "null":
		return &Literal{nullValue(NullType)}, nil
	case "nan", "inf":
		return nil, p.refuse(at, "%s is not supported: no property has that value", name)
	}
	switch p.peek() {
	case '\'':
		return p.prefixed(at, name)
	case '(':
		return p.function(at, name)
	case '/':
		return nil, p.refuse(at, "'%s' has no properties of its own: the record is flat, without collections or navigation", clip(name))
	}
	return p.property(at, name)
}

// prefixed reads a literal with its type before it.
func (p *parser) prefixed(at int, name string) (Expr, error) {
	text, err := p.quoted()
	if err != nil {
		return nil, err
	}
	var v Value
	switch {
	case enumNamed(name) != NullType:
		v, err = parseMember(enumNamed(name), text)
	case strings.EqualFold(name, "duration"):
		v, err = parseDuration(text)
	case strings.EqualFold(name, "datetime"), strings.EqualFold(name, "datetimeoffset"), strings.EqualFold(name, "guid"), strings.EqualFold(name, "time"):
		return nil, p.syntax(at, "%s'…' is a literal of OData 2 and 3: write %s without the name and the quotes", name, clip(text))
	default:
		return nil, p.refuse(at, "'%s' is not a type whose literals can be compared here", clip(name))
	}
	if err != nil {
		return nil, p.refuse(at, "%s", err)
	}
	return &Literal{v}, nil
}

// enumNamed is the enumeration with a qualified name, for which Graph's alias
// may stand; NullType if there is none.
func enumNamed(name string) Type {
	for t, enum := range enums {
		if name == enum.Name || name == strings.Replace(enum.Name, "microsoft.", "", 1) {
			return t
		}
	}
	return NullType
}

// property resolves a name.
func (p *parser) property(at int, name string) (Expr, error) {
	if p.report != nil {
		return p.reportColumn(at, name)
	}
	if e, ok := p.vars[name]; ok {
		return e, nil
	}
	i, ok := certstate.Lookup(name)
	if !ok {
		return nil, p.unknown(at, name)
	}
	if p.peek() == '/' {
		return nil, p.refuse(at, "'%s' has no properties of its own", name)
	}
	return &Property{i}, nil
}

func (p *parser) unknown(at int, name string) error {
	if name == "" {
		return p.syntax(at, "expected the name of a property")
	}
	return p.refuse(at, "could not find a property named '%s' on type '%s'%s", clip(name), certstate.TypeName, didYouMean(name, ""))
}

// didYouMean ends an error about a property's name: with what may have been
// meant, else with end.
func didYouMean(name, end string) string {
	if s := certstate.Suggest(name); s != "" {
		return "; did you mean '" + s + "'?"
	}
	return end
}

// list reads the values after in: (a,b) or ["a","b"].
func (p *parser) list(at int, left Expr) (Expr, error) {
	closing := byte(')')
	switch {
	case p.take('['):
		closing = ']'
	case p.peek() == '@':
		return p.aliasList(at, left)
	case !p.take('('):
		return nil, p.syntax(p.pos, "expected '(' and a list of values after 'in'")
	}
	var values []Expr
	for p.space(); !p.take(closing); p.space() {
		if len(values) > 0 {
			if !p.take(',') {
				return nil, p.syntax(p.pos, "expected ',' or '%c'", closing)
			}
			p.space()
		}
		v, err := p.element()
		if err != nil {
			return nil, err
		}
		if values = append(values, v); len(values) > MaxInList {
			return nil, p.refuse(at, "'in' has more than %d values: ask in several requests", MaxInList)
		}
	}
	return p.membership(at, left, values)
}

// aliasList reads the list that a parameter alias stands for.
func (p *parser) aliasList(at int, left Expr) (Expr, error) {
	name := p.text[p.pos:p.pos+1] + func() string { p.pos++; return p.name() }()
	inner := &parser{option: name, text: p.aliases[name], aliases: nil, depth: p.depth, nodes: p.nodes}
	e, err := inner.list(0, left)
	if err == nil && inner.pos < len(inner.text) {
		err = inner.syntax(inner.pos, "expected the end of the list")
	}
	p.nodes = inner.nodes
	return e, err
}

// element reads one value of a list: a literal, or a text in JSON's quotes.
func (p *parser) element() (Expr, error) {
	at := p.pos
	if p.peek() == '"' {
		return p.jsonString()
	}
	v, err := p.primary()
	if err != nil {
		return nil, err
	}
	if _, ok := v.(*Literal); !ok {
		return nil, p.syntax(at, "the list after 'in' takes literals only")
	}
	return v, nil
}
