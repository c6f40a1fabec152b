package odata

import (
	"slices"
	"strings"

	"certstate"
)

// Apply is a checked $apply (OData Data Aggregation 4.0 §3): the records that
// Filter holds for, grouped by Groups, each group with its Aggregates. Without
// groups all records are one.
type Apply struct {
	Filter     Expr // nil: all records
	Groups     []Column
	Aggregates []Aggregate
}

// Column is a value with the name it has in the result.
type Column struct {
	Name string
	X    Expr
}

// Aggregate is an aggregated value.
type Aggregate struct {
	Name   string
	Method Method
	X      Expr // nil for Count
}

// Method is how an aggregate is made of the values of a group, nulls left out.
type Method string

const (
	Count         Method = "$count" // of records
	CountDistinct Method = "countdistinct"
	Min           Method = "min"
	Max           Method = "max"
	Sum           Method = "sum"
	Average       Method = "average"
)

// Methods is the list of aggregation methods that take a value.
var Methods = []Method{CountDistinct, Min, Max, Sum, Average}

// Type is the type of the aggregated value.
func (a *Aggregate) Type() Type {
	switch a.Method {
	case Count, CountDistinct:
		return IntType
	case Average:
		return DoubleType
	}
	return a.X.Type()
}

// Bounds on $apply.
const (
	maxColumns = 16 // groups and aggregates together
	maxRecords = 1e9
)

// parseApply reads the text of $apply: filter and compute any number of times,
// then groupby or aggregate, or nothing.
func parseApply(text string, aliases map[string]string) (*Apply, error) {
	p := &applier{parser{option: "$apply", text: text, aliases: aliases, vars: map[string]Expr{}}, &Apply{}}
	if err := p.wellFormed(); err != nil {
		return nil, err
	}
	for {
		at := p.pos
		name := p.name()
		if name != "identity" && !p.take('(') {
			return nil, p.syntax(p.pos, "expected a transformation such as groupby(…)")
		}
		if len(p.out.Groups)+len(p.out.Aggregates) > 0 {
			return nil, p.refuse(at, "a transformation after groupby or aggregate is not supported; $orderby, $top, $skip and $count are")
		}
		if err := p.transformation(at, name); err != nil {
			return nil, err
		}
		if p.pos == len(p.text) {
			return p.out, p.complete()
		}
		if !p.take('/') {
			return nil, p.syntax(p.pos, "expected '/' or the end")
		}
	}
}

// applier is a parser with the grammar of $apply.
type applier struct {
	parser
	out *Apply
}

func (p *applier) transformation(at int, name string) error {
	switch strings.ToLower(name) {
	case "identity":
		return nil
	case "filter":
		return p.filter(at)
	case "compute":
		return p.compute()
	case "groupby":
		return p.groupby()
	case "aggregate":
		return p.aggregate()
	}
	return p.refuse(at, "the transformation '%s' is not supported: there are filter, compute, groupby, aggregate and identity", clip(name))
}

// complete refuses what was read and would have no effect.
func (p *applier) complete() error {
	if len(p.vars) > 0 && len(p.out.Groups)+len(p.out.Aggregates) == 0 {
		return p.refuse(p.pos, "compute must be followed by groupby or aggregate")
	}
	return nil
}

func (p *applier) filter(at int) error {
	p.space()
	e, err := p.expr(0)
	if err != nil {
		return err
	}
	if e.Type() != BoolType && e.Type() != NullType {
		return p.refuse(at, "the filter is of type '%s', and must be true or false", e.Type())
	}
	p.out.Filter = And(p.out.Filter, e)
	return p.end()
}

// And is the conjunction of two filters, each of which may be nil.
func And(a, b Expr) Expr {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	return &Logic{true, a, b}
}

func (p *applier) end() error {
	if p.space(); !p.take(')') {
		return p.syntax(p.pos, "expected ')'")
	}
	return nil
}

// more reads what stands between items: true after a comma, false after the
// closing parenthesis.
func (p *applier) more() (bool, error) {
	p.space()
	if p.take(',') {
		p.space()
		return true, nil
	}
	if !p.take(')') {
		return false, p.syntax(p.pos, "expected ',' or ')'")
	}
	return false, nil
}

// compute reads expr as name, ….
func (p *applier) compute() error {
	p.space()
	for more := true; more; {
		x, err := p.expr(0)
		if err != nil {
			return err
		}
		name, err := p.as()
		if err != nil {
			return err
		}
		p.vars[name] = x
		if more, err = p.more(); err != nil {
			return err
		}
	}
	return nil
}

// as reads "as name", a new name of the result.
func (p *applier) as() (string, error) {
	if !p.space() || !strings.EqualFold(p.name(), "as") || !p.space() {
		return "", p.syntax(p.pos, "expected ' as ' and a name for the result")
	}
	at := p.pos
	name := p.name()
	if name == "" || name[0] >= '0' && name[0] <= '9' || strings.Contains(name, ".") || len(name) > 128 {
		return "", p.syntax(at, "expected a name for the result")
	}
	return name, p.isNew(at, name)
}

func (p *applier) isNew(at int, name string) error {
	_, property := certstate.Lookup(name)
	if _, computed := p.vars[name]; property || computed || p.out.column(name) >= 0 {
		return p.refuse(at, "the name '%s' is taken", clip(name))
	}
	if len(p.out.Groups)+len(p.out.Aggregates) >= maxColumns {
		return p.refuse(at, "the result has more than %d columns", maxColumns)
	}
	return nil
}

// column is the place of a name among the result's columns, groups first, or -1.
func (a *Apply) column(name string) int {
	for i := range a.Groups {
		if a.Groups[i].Name == name {
			return i
		}
	}
	i := slices.IndexFunc(a.Aggregates, func(g Aggregate) bool { return g.Name == name })
	if i >= 0 {
		i += len(a.Groups)
	}
	return i
}

func (a *Apply) columnName(i int) string {
	if i < len(a.Groups) {
		return a.Groups[i].Name
	}
	return a.Aggregates[i-len(a.Groups)].Name
}

func (a *Apply) columnNames() (names []string) {
	for i := range len(a.Groups) + len(a.Aggregates) {
		names = append(names, a.columnName(i))
	}
	return names
}

// groupby reads (a,b) and perhaps ,aggregate(…).
func (p *applier) groupby() error {
	if p.space(); !p.take('(') {
		return p.syntax(p.pos, "expected '(' and the properties to group by")
	}
	p.space()
	for more := true; more; {
		if err := p.group(); err != nil {
			return err
		}
		var err error
		if more, err = p.more(); err != nil {
			return err
		}
	}
	p.space()
	if !p.take(',') {
		return p.end()
	}
	p.space()
	at := p.pos
	if name := p.name(); !strings.EqualFold(name, "aggregate") || !p.take('(') {
		return p.refuse(at, "inside groupby only aggregate(…) is supported")
	}
	if err := p.aggregate(); err != nil {
		return err
	}
	return p.end()
}

// group reads a property, a computed name, or a function of a property such as
// year(certificateExpirationDateTime), whose column has the function's name
// unless "as" gives another.
func (p *applier) group() error {
	at := p.pos
	x, err := p.expr(0)
	if err != nil {
		return err
	}
	name := p.text[at:p.pos]
	if call, ok := x.(*Call); ok && strings.Contains(name, "(") {
		if name = call.Fn.Name; p.peek() == ' ' {
			if name, err = p.as(); err != nil {
				return err
			}
		} else if err := p.isNew(at, name); err != nil {
			return err
		}
	} else if p.out.column(name) >= 0 {
		return p.refuse(at, "'%s' is named twice", clip(name))
	}
	if _, literal := x.(*Literal); literal || x.Type() == BoolType {
		return p.refuse(at, "group by properties, or by values that compute gives")
	}
	p.out.Groups = append(p.out.Groups, Column{strings.TrimPrefix(name, "$it/"), x})
	return nil
}

// aggregate reads the aggregates after "aggregate(".
func (p *applier) aggregate() error {
	p.space()
	for more := true; more; {
		a, err := p.aggregateItem()
		if err != nil {
			return err
		}
		p.out.Aggregates = append(p.out.Aggregates, a)
		if more, err = p.more(); err != nil {
			return err
		}
	}
	return nil
}

func (p *applier) aggregateItem() (a Aggregate, err error) {
	at := p.pos
	if strings.HasPrefix(p.text[p.pos:], "$count") {
		p.pos += len("$count")
		a.Method = Count
		a.Name, err = p.as()
		return a, err
	}
	if a.X, err = p.expr(0); err != nil {
		return a, err
	}
	if !p.space() || !strings.EqualFold(p.name(), "with") || !p.space() {
		return a, p.syntax(p.pos, "expected ' with ' and one of $count, countdistinct, min, max, sum, average")
	}
	method := p.name()
	a.Method = Method(strings.ToLower(method))
	if !slices.Contains(Methods, a.Method) {
		return a, p.refuse(at, "the aggregation method '%s' is not supported: there are $count, countdistinct, min, max, sum and average", clip(method))
	}
	if a.Name, err = p.as(); err != nil {
		return a, err
	}
	return a, p.aggregable(at, &a)
}

// aggregable checks that the method makes sense of the type, and that a sum
// cannot outgrow it.
func (p *applier) aggregable(at int, a *Aggregate) error {
	t := a.X.Type()
	switch a.Method {
	case CountDistinct:
		return nil
	case Min, Max:
		if t != BoolType && t != EnumType && t != NullType {
			return nil
		}
	case Sum, Average:
		if magnitude(a.X)*maxRecords > 9e18 && t == IntType {
			return p.refuse(at, "the %s of '%s' could be too large for %s", a.Method, a.X, t)
		}
		if t.numeric() {
			return nil
		}
	}
	return p.refuse(at, "'%s' is not defined for '%s'; of durations, use totalseconds(…)", a.Method, t)
}

// String is the canonical text of $apply.
func (a *Apply) String() string {
	var steps, groups, aggregates, computes []string
	if a.Filter != nil {
		steps = append(steps, "filter("+a.Filter.String()+")")
	}
	for _, g := range a.Groups {
		if property, ok := g.X.(*Property); ok {
			groups = append(groups, property.String())
			continue
		}
		groups = append(groups, g.Name)
		computes = append(computes, g.X.String()+" as "+g.Name)
	}
	if computes != nil {
		steps = append(steps, "compute("+strings.Join(computes, ",")+")")
	}
	for _, g := range a.Aggregates {
		if g.Method == Count {
			aggregates = append(aggregates, "$count as "+g.Name)
			continue
		}
		aggregates = append(aggregates, g.X.String()+" with "+string(g.Method)+" as "+g.Name)
	}
	last := "aggregate(" + strings.Join(aggregates, ",") + ")"
	switch {
	case groups != nil && aggregates != nil:
		last = "groupby((" + strings.Join(groups, ",") + ")," + last + ")"
	case groups != nil:
		last = "groupby((" + strings.Join(groups, ",") + "))"
	case aggregates == nil:
		return strings.Join(append(steps, "identity"), "/")
	}
	return strings.Join(append(steps, last), "/")
}
