package odata

import (
	"strings"

	"certstate"
)

// MaxSearchTerms bounds the words and phrases of $search.
const MaxSearchTerms = 32

// Term is a word or a phrase of $search. A record matches if the term's words
// stand in one of its searched properties, one after the other, the last
// perhaps only begun, in any case; or if the term is its serial number or a
// thumbprint, however spelt.
type Term struct {
	Text   string
	Phrase string // as certstate.Phrase writes it; "" if there is no word in it
	Keys   []TermKeys
}

// TermKeys are the keys of a term as the value of a property that has keys.
type TermKeys struct {
	Property Property
	Keys     []string
}

func (*Term) Type() Type       { return BoolType }
func (t *Term) String() string { return string(t.append(nil, 0)) }

func (t *Term) append(b []byte, _ int) []byte {
	b = append(b, '"')
	b = append(b, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(t.Text)...)
	return append(b, '"')
}

func (t *Term) Eval(env *Env) Value {
	if t.Phrase != "" && strings.Contains(certstate.Words(env.State), t.Phrase) {
		return boolValue(true)
	}
	for i := range t.Keys {
		property := &t.Keys[i].Property
		if sharesKey(property, property.Eval(env), t.Keys[i].Keys) {
			return boolValue(true)
		}
	}
	return boolValue(false)
}

func newTerm(text string) *Term {
	t := &Term{Text: text, Phrase: certstate.Phrase(text), Keys: make([]TermKeys, 0, 4)}
	for i := range certstate.Properties {
		if keys := certstate.Properties[i].KeysOf(text); keys != nil {
			t.Keys = append(t.Keys, TermKeys{Property{i}, keys})
		}
	}
	return t
}

// ParseSearch reads the text of $search: words and phrases in quotes, joined by
// AND (which may be left out) and OR, negated by NOT, in capitals (OData URL
// Conventions §5.1.8). SearchText writes the result in canonical form.
func ParseSearch(text string) (Expr, error) {
	p := &searcher{parser{option: "$search", text: text}, 0}
	if err := p.wellFormed(); err != nil {
		return nil, err
	}
	p.space()
	e, err := p.either()
	if err != nil {
		return nil, err
	}
	if p.pos < len(p.text) {
		return nil, p.syntax(p.pos, "expected a word, AND, OR or the end")
	}
	return e, nil
}

// SearchText is the canonical text of $search for what ParseSearch read.
func SearchText(e Expr) string { return string(appendSearch(nil, e, 0)) }

func appendSearch(b []byte, e Expr, outer int) []byte {
	switch e := e.(type) {
	case *Logic:
		name, own := " OR ", precedences["or"]
		if e.And {
			name, own = " AND ", precedences["and"]
		}
		return parenthesized(b, own < outer, func(b []byte) []byte {
			return appendSearch(append(appendSearch(b, e.L, own), name...), e.R, own+1)
		})
	case *Not:
		return appendSearch(append(b, "NOT "...), e.X, unary)
	}
	return e.append(b, outer)
}

// searcher is a parser with the grammar of $search.
type searcher struct {
	parser
	terms int
}

func (p *searcher) either() (Expr, error) { return p.joined(false, "OR", p.both) }
func (p *searcher) both() (Expr, error)   { return p.joined(true, "AND", p.negated) }

// joined reads operands with an operator between them. Between two operands of
// AND there may be none.
func (p *searcher) joined(and bool, operator string, operand func() (Expr, error)) (Expr, error) {
	left, err := operand()
	for err == nil {
		at := p.pos
		spaced := p.space()
		switch {
		case p.pos == len(p.text) || p.peek() == ')':
			return left, nil
		case !spaced:
			return nil, p.syntax(p.pos, "expected a space")
		case p.keyword(operator):
		case !and || p.ahead("OR"):
			p.pos = at
			return left, nil
		}
		var right Expr
		if right, err = operand(); err == nil {
			left = &Logic{and, left, right}
		}
	}
	return nil, err
}

// keyword consumes an operator if an operand follows it; else it is a word.
func (p *searcher) keyword(word string) bool {
	rest, ok := strings.CutPrefix(p.text[p.pos:], word)
	operand := strings.TrimLeft(rest, " \t")
	if !ok || operand == rest || operand == "" || operand[0] == ')' {
		return false
	}
	p.pos = len(p.text) - len(operand)
	return true
}

// ahead reports whether an operator comes next, without consuming it.
func (p *searcher) ahead(word string) bool {
	at := p.pos
	found := p.keyword(word)
	p.pos = at
	return found
}

func (p *searcher) negated() (Expr, error) {
	if !p.keyword("NOT") {
		return p.operand()
	}
	x, err := p.nest(p.negated)
	return &Not{x}, err
}

func (p *searcher) operand() (Expr, error) {
	at := p.pos
	if p.take('(') {
		p.space()
		e, err := p.nest(p.either)
		if err != nil {
			return nil, err
		}
		if p.space(); !p.take(')') {
			return nil, p.syntax(p.pos, "expected ')'")
		}
		return e, nil
	}
	text, err := p.term()
	if err != nil {
		return nil, err
	}
	if text == "" {
		return nil, p.syntax(at, "expected a word or a phrase in quotes")
	}
	if p.terms++; p.terms > MaxSearchTerms {
		return nil, p.refuse(at, "there are more than %d words and phrases", MaxSearchTerms)
	}
	return newTerm(text), nil
}

// term reads a phrase in double or single quotes, or a word.
func (p *searcher) term() (string, error) {
	at := p.pos
	switch quote := p.peek(); {
	case quote == '"', quote == '\'' && strings.Contains(p.text[p.pos+1:], "'"):
		var b strings.Builder
		for p.pos++; p.pos < len(p.text) && p.text[p.pos] != quote; p.pos++ {
			if p.text[p.pos] == '\\' && p.pos+1 < len(p.text) {
				p.pos++
			}
			b.WriteByte(p.text[p.pos])
		}
		if !p.take(quote) {
			return "", p.syntax(at, "the phrase that begins here has no closing quote")
		}
		return b.String(), nil
	}
	for p.pos < len(p.text) && !isSpace(p.text[p.pos]) && p.text[p.pos] != '(' && p.text[p.pos] != ')' {
		p.pos++
	}
	return p.text[at:p.pos], nil
}
