package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
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

// planKey is what a plan is made for. The condition is the same if it is the very
// same tree, as [odata.ParseQuery] gives those who ask the same.
type planKey struct {
	tenant int64
	cond   odata.Expr
	first  int // property of the order, -1 for none
	apply  bool
}

// remembered is a plan with its arguments.
type remembered struct {
	access
	args []any
}

// planned writes the condition of a query, or takes what was written a moment ago.
func (sel *selection) planned(ctx context.Context, cond odata.Expr) error {
	if sel.asOf != nil { // the past has no such indexes
		sel.cond = " AND " + sel.isTrue(cond)
		return sel.err
	}
	key := planKey{sel.t.no, cond, -1, sel.q.Apply != nil}
	if len(sel.q.Order) > 0 {
		key.first = sel.q.Order[0].Key
	}
	if p, ok := sel.s.plans.get(key); ok {
		sel.access, sel.args = p.access, append(sel.args[:0], p.args...)
		return nil
	}
	err := sel.choose(ctx, cond)
	if err == nil && !sel.timed && len(sel.cond) < recentText && len(sel.args) <= 32 {
		sel.s.plans.put(key, remembered{sel.access, slices.Clone(sel.args)})
	}
	return err
}

// choose writes the condition. If one of its conjuncts is rare, that one is made
// the way in.
func (sel *selection) choose(ctx context.Context, cond odata.Expr) error {
	conjuncts := conjunctsOf(cond)
	sel.passed = len(sel.q.Order) > 0
	best, least, way := -1, sel.s.rare+1, ""
	for i, c := range conjuncts {
		if property, equal, ok := indexable(c); ok && sel.walked(property, equal) {
			continue
		}
		sel.passed = false
		mark := len(sel.args)
		in, n, err := sel.wayIn(ctx, c, least)
		if err != nil {
			return err
		}
		if in != "" && n < least {
			best, least, way = i, n, in
			continue // its arguments are kept
		}
		sel.args = sel.args[:mark]
	}
	sel.found = best >= 0
	for i, c := range conjuncts {
		if i == best {
			sel.cond += " AND k IN (" + way + ")"
			// Were the indexes that begin with the tenant not barred, SQLite
			// might use the list to check all of the tenant's.
			sel.tenant = sel.d.unindexed + "tenant = $1" + sel.inPart()
			if t, ok := c.(*odata.Term); !ok || strings.Count(t.Phrase, " ") < 2 {
				continue
			} // one word of a phrase is only a way to the phrase
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
	text, args := usedArguments("SELECT count(*) FROM ("+text+" LIMIT "+sel.bind(limit)+") AS found", sel.args)
	return sel.counted(ctx, countKey{text: writtenOut(text, args)}, func() (string, []any) { return text, args })
}

// counted is the number that a statement gives, or gave a moment ago.
func (sel *selection) counted(ctx context.Context, key countKey, statement func() (string, []any)) (int, error) {
	if n, ok := sel.s.counts.get(key); ok {
		return n, nil
	}
	text, args := statement()
	n, err := sel.number(context.WithoutCancel(ctx), text, args) // its limit bounds it
	if err == nil && len(key.text)+len(key.words.from) < recentText {
		sel.s.counts.put(key, int(n))
	}
	return int(n), err
}

// countKey names what was counted: the text of a statement with its arguments, or
// the words of a range in a part, up to a limit.
type countKey struct {
	text  string
	part  int64
	words wordRange
	limit int
}

// writtenOut is a statement with its arguments, as one text.
func writtenOut(text string, args []any) string {
	var b strings.Builder
	b.WriteString(text)
	for _, a := range args {
		switch a := a.(type) {
		case string:
			b.WriteString("\x00s" + a)
		case int64:
			b.WriteString("\x00" + strconv.FormatInt(a, 10))
		default:
			fmt.Fprintf(&b, "\x00%v", a)
		}
	}
	return b.String()
}

// wayIn selects the keys of the records for which a conjunct holds by an index
// made for it, and counts them up to a limit; "" if there is no such index.
func (sel *selection) wayIn(ctx context.Context, c odata.Expr, limit int) (in string, n int, err error) {
	switch c := c.(type) {
	case *odata.Term:
		return sel.byTerm(ctx, c, limit)
	case *odata.Compare:
		if c.Keys != nil && c.Op == odata.Eq {
			in = sel.byKeys(c.L.(*odata.Property), c.Keys)
		}
	case *odata.In:
		if c.Keys != nil && len(c.Rest) == 0 {
			in = sel.byKeys(c.X.(*odata.Property), c.Keys)
		}
	}
	if property, _, ok := indexable(c); ok {
		in = sel.byColumn(c, property)
	}
	if in == "" {
		return "", 0, nil
	}
	n, err = sel.countTo(ctx, in, limit)
	return in, n, err
}

// indexable takes apart a comparison of a property with what is the same for
// every record, which an index of the property serves. equal says that it holds
// for one value alone.
func indexable(c odata.Expr) (property int, equal, ok bool) {
	var x odata.Expr
	switch c := c.(type) {
	case *odata.Compare:
		if c.Op != odata.Ne && c.Keys == nil && constant(c.R) {
			x, equal = c.L, c.Op == odata.Eq
		}
	case *odata.In:
		if c.Keys == nil {
			x = c.X
		}
	case *odata.Call:
		if (c.Fn.Name == "startswith" || c.Fn.Name == "has") && constant(c.Args[1]) {
			x = c.Args[0]
		}
	}
	p, ok := x.(*odata.Property)
	if !ok {
		return 0, false, false
	}
	return p.Index, equal, true
}

// byColumn selects the records for which a condition on a property holds, if
// the property has an index.
func (sel *selection) byColumn(c odata.Expr, property int) string {
	from := "SELECT k FROM state WHERE tenant = $1" + sel.inPart() + " AND "
	column := certstate.Properties[property].Column
	switch condition := leadingColumns()[column]; {
	case column == "id":
		return from + sel.isTrue(c) + " AND part = " + sel.bind(sel.t.part())
	case walkable(column):
		return from + sel.isTrue(c)
	case condition != "" && !sel.holdsForEmpty(c, property):
		return from + sel.isTrue(c) + " AND " + column + condition
	}
	return ""
}

// holdsForEmpty reports whether a condition on a property holds for null, or for the
// empty text or nothing found, which its index leaves out.
func (sel *selection) holdsForEmpty(c odata.Expr, property int) bool {
	var s certstate.State
	env := &odata.Env{State: &s, Now: sel.now}
	null := c.Eval(env).N != 0
	if text, ok := certstate.Properties[property].Field(&s).(*edm.String); ok {
		*text = edm.Str("")
	}
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
	return first == property && walkable(column) || equal && strings.Contains(indexesFile, "(tenant, "+column+", "+certstate.Properties[first].Column+")")
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
	inPart := sel.inPart()
	list := keyList{property.Index, inPart, len(sel.args) + 1, len(keys)}
	for _, k := range keys {
		sel.bind(k)
	}
	if text, ok := keyLists.get(list); ok {
		return text
	}
	text := list.text()
	if list.first+list.n < len(commonPlaceholders) {
		keyLists.put(list, text)
	}
	return text
}

// keyList are the records in which a property has one of n keys, which are the
// arguments from the first on.
type keyList struct {
	property int
	inPart   string
	first, n int
}

// keyLists keeps the texts of those that are common.
var keyLists recent[keyList, string]

// text compares a few keys one by one: for a list SQLite first builds a table
// of it.
func (l keyList) text() string {
	var tests, lists []string
	if l.n > 4 {
		tests = []string{" IN (" + placeholders(l.first, l.n) + ")"}
	} else {
		for i := range l.n {
			tests = append(tests, " = "+placeholder(l.first+i))
		}
	}
	p := &certstate.Properties[l.property]
	for _, k := range p.Keys {
		column := p.Column + k.Suffix
		for _, test := range tests {
			lists = append(lists, "SELECT k FROM state WHERE tenant = $1"+l.inPart+" AND "+column+test+" AND "+column+" <> ''")
		}
	}
	return strings.Join(lists, unionAll)
}

const unionAll = " UNION ALL "
