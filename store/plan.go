package store

import (
	"context"
	"strings"

	"certstate"
	"certstate/edm"
	"certstate/odata"
)

// rareUpTo is up to how many records a condition may hold for to be answered
// first: they are looked up by an index, and the rest of the query looks at
// them alone. A condition that holds for more is met sooner by walking in the
// order that is asked for. The engine cannot know which: it sees the shape of a
// statement, not how often a value occurs. So it is counted, up to this.
const rareUpTo = 1000

// plan writes the condition of a query. If one of its conjuncts is rare, that
// one is made the way in.
func (sel *selection) plan(ctx context.Context, cond odata.Expr) error {
	if sel.asOf != nil { // the past has no such indexes
		sel.cond = " AND " + sel.isTrue(cond)
		return sel.err
	}
	conjuncts := conjunctsOf(cond)
	best, least, way := -1, sel.s.rare+1, ""
	for i, c := range conjuncts {
		mark := len(sel.args)
		in, err := sel.wayIn(ctx, c)
		if err != nil {
			return err
		}
		if in != "" {
			n, err := sel.countTo(ctx, in, least)
			if err != nil {
				return err
			}
			if n < least {
				best, least, way = i, n, in
				continue // its arguments are kept
			}
		}
		sel.args = sel.args[:mark]
	}
	for i, c := range conjuncts {
		if i == best {
			sel.cond += " AND k IN (" + way + ")"
			// Were the indexes that begin with the tenant not barred, SQLite
			// might use the list to check all of the tenant's.
			sel.tenant = sel.d.unindexed + "tenant = $1"
			continue
		}
		sel.cond += " AND " + sel.isTrue(c)
	}
	return sel.err
}

// conjunctsOf takes a condition apart at its outer ands.
func conjunctsOf(e odata.Expr) []odata.Expr {
	if l, ok := e.(*odata.Logic); ok && l.And {
		return append(conjunctsOf(l.L), conjunctsOf(l.R)...)
	}
	return []odata.Expr{e}
}

// countTo counts the rows of a statement up to a limit.
func (sel *selection) countTo(ctx context.Context, text string, limit int) (int, error) {
	mark := len(sel.args)
	defer func() { sel.args = sel.args[:mark] }()
	n, err := sel.number(ctx, "SELECT count(*) FROM ("+text+" LIMIT "+sel.bind(limit)+") AS found")
	return int(n), err
}

// wayIn selects the keys of the records for which a conjunct holds by an index
// made for it, or is "" if there is none, or the order that is asked for walks
// along it anyway.
func (sel *selection) wayIn(ctx context.Context, c odata.Expr) (string, error) {
	switch c := c.(type) {
	case *odata.Term:
		return sel.byTerm(ctx, c)
	case *odata.Compare:
		if c.Keys != nil && c.Op == odata.Eq {
			return sel.byKeys(c.L.(*odata.Property), c.Keys), nil
		}
		if c.Op != odata.Ne && constant(c.R) {
			return sel.byColumn(c, c.L, c.Op == odata.Eq), nil
		}
	case *odata.In:
		if c.Keys == nil {
			return sel.byColumn(c, c.X, false), nil
		}
		if len(c.Rest) == 0 {
			return sel.byKeys(c.X.(*odata.Property), c.Keys), nil
		}
	case *odata.Call:
		if c.Fn.Name == "startswith" && constant(c.Args[1]) {
			return sel.byColumn(c, c.Args[0], false), nil
		}
	}
	return "", nil
}

// byColumn selects the records for which a condition on x holds, if x is a
// property with an index.
func (sel *selection) byColumn(c, x odata.Expr, equal bool) string {
	p, ok := x.(*odata.Property)
	if !ok || sel.walked(p.Index, equal) {
		return ""
	}
	const from = "SELECT k FROM state WHERE tenant = $1 AND "
	switch column := certstate.Properties[p.Index].Column; {
	case column == "id":
		return from + sel.isTrue(c) + " AND part = " + sel.bind(sel.t.part())
	case indexedColumns()[column]:
		return from + sel.isTrue(c)
	case partlyIndexed()[column] && !sel.holdsForEmpty(c, p.Index):
		return from + sel.isTrue(c) + " AND " + column + " <> ''"
	}
	return ""
}

// holdsForEmpty reports whether a condition on a text holds for null or for the
// empty text, which its index leaves out.
func (sel *selection) holdsForEmpty(c odata.Expr, property int) bool {
	var s certstate.State
	env := &odata.Env{State: &s, Now: sel.now}
	null := c.Eval(env).N != 0
	*certstate.Properties[property].Field(&s).(*edm.String) = edm.Str("")
	return null || c.Eval(env).N != 0
}

// walked reports whether the order walks along an index of the property: one
// that begins with it, or, if it is equal to something, goes on with the order.
func (sel *selection) walked(property int, equal bool) bool {
	if len(sel.q.Order) == 0 || sel.q.Apply != nil {
		return false
	}
	first := sel.q.Order[0].Key
	column := certstate.Properties[property].Column
	return first == property || equal && strings.Contains(indexesFile, "(tenant, "+column+", "+certstate.Properties[first].Column+")")
}

// constant reports whether an expression is the same for every record.
func constant(e odata.Expr) bool {
	switch e := e.(type) {
	case *odata.Literal:
		return !e.Null
	case *odata.Call:
		for _, a := range e.Args {
			if !constant(a) {
				return false
			}
		}
		return true
	}
	return false
}

// byKeys selects the records in which a property has one of the keys.
func (sel *selection) byKeys(property *odata.Property, keys []string) string {
	var lists []string
	p := &certstate.Properties[property.Index]
	list := sel.list(len(keys), func(i int) string { return sel.bind(keys[i]) })
	for _, k := range p.Keys {
		lists = append(lists, "SELECT k FROM state WHERE tenant = $1 AND "+hasKey(p.Column+k.Suffix, list))
	}
	return strings.Join(lists, " UNION ALL ")
}
