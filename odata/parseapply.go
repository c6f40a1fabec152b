package odata

import (
	"slices"
	"strings"

	"certstate"
)

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

// transformations is the table of what $apply may hold. Each but identity reads
// what follows its opening parenthesis.
var transformations = []struct {
	name string
	read func(p *applier, at int) error
}{
	{"filter", (*applier).filter},
	{"compute", (*applier).compute},
	{"groupby", (*applier).groupby},
	{"aggregate", (*applier).aggregate},
	{"identity", func(*applier, int) error { return nil }},
}

// Transformations lists the transformations of $apply.
func Transformations() []string {
	names := make([]string, len(transformations))
	for i := range transformations {
		names[i] = transformations[i].name
	}
	return names
}

func (p *applier) transformation(at int, name string) error {
	for i := range transformations {
		if strings.EqualFold(transformations[i].name, name) {
			return transformations[i].read(p, at)
		}
	}
	return p.refuse(at, "the transformation '%s' is not supported: there are %s", clip(name), strings.Join(Transformations(), ", "))
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
func (p *applier) compute(int) error {
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

// groupby reads (a,b) and perhaps ,aggregate(…).
func (p *applier) groupby(int) error {
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
	if err := p.aggregate(at); err != nil {
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
	if _, literal := x.(*Literal); literal || x.Type() == BoolType || x.Type() == BinaryType {
		return p.refuse(at, "group by properties, or by values that compute gives")
	}
	p.out.Groups = append(p.out.Groups, Column{strings.TrimPrefix(name, "$it/"), x})
	return nil
}

// aggregate reads the aggregates after "aggregate(".
func (p *applier) aggregate(int) error {
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
	if !a.Method.Takes(t) {
		return p.refuse(at, "'%s' is not defined for '%s'; of durations, use totalseconds(…)", a.Method, t)
	}
	if (a.Method == Sum || a.Method == Average) && t == IntType && magnitude(a.X)*maxRecords > 9e18 {
		return p.refuse(at, "the %s of '%s' could be too large for %s", a.Method, a.X, t)
	}
	return nil
}
