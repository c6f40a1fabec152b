package odata

import (
	"strings"

	"certstate"
	"certstate/edm"
)

// ReportColumn is a property under a report's name for it, in the report's words.
type ReportColumn struct {
	Property int         // its index; -1: the register has no such property
	Words    [][2]string // what the column says, and the member of the enumeration it says so of; nil: what the property says
}

// ParseReportFilter reads a filter of a report, whose names are the report's
// columns. columns finds one by its name. Errors have the target "filter".
func ParseReportFilter(text string, columns func(name string) (ReportColumn, bool)) (Expr, error) {
	if len(text) > MaxQuery {
		return nil, certstate.Errorf(certstate.Invalid, "filter", "The filter is longer than %d bytes: ask in several jobs.", MaxQuery)
	}
	p := &parser{option: "filter", text: text, report: &reportNames{columns, map[Expr]ReportColumn{}}}
	e, err := p.whole()
	if err != nil {
		return nil, err
	}
	if e.Type() != BoolType && e.Type() != NullType {
		return nil, p.refuse(0, "the filter is of type '%s', and must be true or false: compare it with something", e.Type())
	}
	return e, nil
}

// reportNames are the names of a report's filter.
type reportNames struct {
	find   func(name string) (ReportColumn, bool)
	worded map[Expr]ReportColumn // columns that were read and have words of their own
}

func (p *parser) reportColumn(at int, name string) (Expr, error) {
	c, known := p.report.find(name)
	switch {
	case name == "":
		return nil, p.syntax(at, "expected the name of a column")
	case !known:
		return nil, p.refuse(at, "the report has no column '%s'", clip(name))
	case c.Property < 0:
		return nil, p.refuse(at, "the register knows nothing for the column '%s', so it cannot be filtered by", name)
	}
	e := &Property{c.Property}
	if c.Words != nil {
		p.report.worded[e] = c
	}
	return e, nil
}

// reportWords takes the words of columns for the members they say.
func (p *parser) reportWords(at int, l, r Expr) (Expr, Expr, error) {
	if p.report == nil {
		return l, r, nil
	}
	right, err := p.reportWord(at, l, r)
	if err != nil {
		return nil, nil, err
	}
	left, err := p.reportWord(at, r, l)
	return left, right, err
}

func (p *parser) reportWord(at int, column, e Expr) (Expr, error) {
	c, worded := p.report.worded[column]
	l, ok := e.(*Literal)
	if !worded || !ok || l.Type() != StringType {
		return e, nil
	}
	var known []string
	for _, word := range c.Words {
		if strings.EqualFold(word[0], l.S) {
			v, err := parseMember(PropertyType(c.Property), word[1])
			return &Literal{v}, err
		}
		known = append(known, "'"+word[0]+"'")
	}
	return nil, p.refuse(at, "the column never says '%s': it says %s", clip(l.S), strings.Join(known, ", "))
}

// ReportForms are the forms of an export job's file, as Intune has them. Its JSON
// is an object with the rows, whose members are the columns' texts.
var ReportForms = []*TableForm{
	TableForms[0],
	{
		Name: "json", MediaType: "application/json", tail: "]}",
		head: func(b []byte, _ *Table) []byte { return append(b, `{"values":[`...) },
		line: appendRow,
	},
}

func appendRow(b []byte, t *Table, s *certstate.State) []byte {
	if t.rows > 0 {
		b = append(b, ',')
	}
	t.rows++
	for i := range t.Columns {
		separator := byte(',')
		if i == 0 {
			separator = '{'
		}
		b = edm.AppendJSONString(append(b, separator), t.Columns[i].Name)
		b = edm.AppendJSONString(append(b, ':'), t.Columns[i].Text(s))
	}
	return append(b, '}')
}
