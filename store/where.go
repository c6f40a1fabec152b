package store

import (
	"slices"
	"strconv"
	"strings"

	"certstate"
	"certstate/edm"
	"certstate/odata"
)

var revokeStatuses = certstate.RevokeStatusType.Members

// maxStatement bounds a statement's text in bytes. Comparisons of conditions
// with each other multiply, everything else adds up.
const maxStatement = 256 << 10

// where writes expressions as SQL. No byte of a request becomes part of the
// text: literals are bound, names come from the table of properties.
//
// SQL's NULL is not OData's null (it makes comparisons unknown, where OData's
// are true or false), so none of the conditions written here is ever NULL.
// Instead each condition is written for what is asked of it: when it is true,
// or when it is false. The two differ by more than NOT only where OData's
// condition can be null.
type where struct {
	d    *dialect
	args []any
	now  edm.DateTimeOffset
	// term writes a word or phrase of $search.
	term  func(w *where, t *odata.Term) string
	size  int
	timed bool // something depends on now
	err   error
}

// bind adds an argument and returns its placeholder.
func (w *where) bind(v any) string {
	w.args = append(w.args, v)
	return w.d.argument(placeholder(len(w.args)), v)
}

// placeholder stands for the nth argument of a statement.
func placeholder(n int) string {
	if n < len(commonPlaceholders) {
		return commonPlaceholders[n]
	}
	return "$" + strconv.Itoa(n)
}

var commonPlaceholders = [...]string{"$0", "$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15"}

const (
	always = "1 = 1"
	never  = "1 = 0"
)

// written counts the text and keeps the first error.
func (w *where) written(text string) string {
	if w.size += len(text); w.size > maxStatement && w.err == nil {
		w.err = certstate.Errorf(certstate.Invalid, "$filter", "The filter is too complex: comparing conditions with each other is limited.")
	}
	if w.err != nil {
		return never
	}
	return text
}

// isTrue is when e is true.
func (w *where) isTrue(e odata.Expr) string { return w.written(w.condition(e, true)) }

// isFalse is when e is false, which is not when it is null.
func (w *where) isFalse(e odata.Expr) string { return w.written(w.condition(e, false)) }

func (w *where) condition(e odata.Expr, want bool) string {
	if w.err != nil {
		return never
	}
	switch e := e.(type) {
	case *odata.Literal:
		return truth(!e.Null && (e.N != 0) == want)
	case *odata.Not:
		return w.condition(e.X, !want)
	case *odata.Logic:
		l, r := w.written(w.condition(e.L, want)), w.written(w.condition(e.R, want))
		if e.And == want {
			return l + " AND " + r
		}
		return "(" + l + " OR " + r + ")"
	case *odata.Compare:
		return negated(w.comparison(e), want)
	case *odata.In:
		return negated(w.membership(e), want)
	case *odata.Term:
		return negated(w.term(w, e), want)
	case *odata.Call:
		return w.call(e, want)
	}
	w.err = certstate.Errorf(certstate.Invalid, "$filter", "'%s' is no condition.", e)
	return never
}

func truth(b bool) string {
	if b {
		return always
	}
	return never
}

// negated is a condition that is never NULL, or its opposite.
func negated(text string, want bool) string {
	if want {
		return text
	}
	return "NOT (" + text + ")"
}

// sqlValue is a value in SQL.
type sqlValue struct {
	text   string
	offset string // of a date and time, minutes east
	null   string // when it is null; "" is never
}

// call is a condition that is a function. It is null if an argument is.
func (w *where) call(e *odata.Call, want bool) string {
	if isNull(e) {
		return never
	}
	if prefix := w.prefix(e); prefix != "" && want {
		return prefix
	}
	v := w.value(e)
	if want && !emptyHolds(e) {
		v.null = ""
	}
	return andNot(negated(v.text, want), v.null)
}

// emptyHolds is false if a function of a property and literals is not true of
// the empty text, as which a null property is stored: then the column alone
// decides when it is true.
func emptyHolds(e *odata.Call) bool {
	if _, ok := e.Args[0].(*odata.Property); !ok {
		return true
	}
	empty := odata.Call{Fn: e.Fn, Args: slices.Clone(e.Args)}
	empty.Args[0] = &odata.Literal{Value: odata.Value{Type: odata.StringType}}
	for _, a := range empty.Args {
		if _, ok := a.(*odata.Literal); !ok {
			return true
		}
	}
	return empty.Eval(nil).N != 0
}

func andNot(text, null string) string {
	if null == "" {
		return text
	}
	return text + " AND NOT (" + null + ")"
}

// prefix writes startswith of a property and a literal as a range, which an
// index can serve; "" for anything else.
func (w *where) prefix(e *odata.Call) string {
	if e.Fn.Name != "startswith" {
		return ""
	}
	p, ok1 := e.Args[0].(*odata.Property)
	l, ok2 := e.Args[1].(*odata.Literal)
	if !ok1 || !ok2 || l.Null || l.S == "" {
		return ""
	}
	column := certstate.Properties[p.Index].Column
	text := column + " >= " + w.bind(l.S)
	if end := afterPrefix(l.S); end != "" {
		text += " AND " + column + " < " + w.bind(end)
	}
	return text
}

// afterPrefix is the least text after all that begin with s, "" if there is
// none. Texts are ordered by their bytes, which is the order of code points.
func afterPrefix(s string) string {
	runes := []rune(s)
	for i := len(runes) - 1; i >= 0; i-- {
		switch r := runes[i]; {
		case r == 0xD7FF: // surrogates are no characters
			return string(append(runes[:i], 0xE000))
		case r < 0x10FFFF:
			return string(append(runes[:i], r+1))
		}
	}
	return ""
}

// value writes an expression that is no condition, or a function of any type.
func (w *where) value(e odata.Expr) sqlValue {
	switch e := e.(type) {
	case *odata.Literal:
		return w.literal(e.Value)
	case *odata.Property:
		return propertyValue(e.Index)
	case *odata.Call:
		return w.function(e)
	}
	if w.err == nil { // conditions are written by condition
		w.err = certstate.Errorf(certstate.Invalid, "$filter", "'%s' cannot be used as a value.", e)
	}
	return sqlValue{text: never}
}

func (w *where) literal(v odata.Value) sqlValue {
	switch {
	case v.Null:
		return sqlValue{text: "0", offset: "0", null: always}
	case v.Type == odata.StringType || v.Type == odata.GUIDType:
		return sqlValue{text: w.bind(v.S)}
	case v.Type == odata.DoubleType:
		return sqlValue{text: w.bind(v.F)}
	}
	return sqlValue{text: w.bind(v.N), offset: w.d.integer(v.Offset)}
}

func propertyValue(i int) sqlValue {
	p := &certstate.Properties[i]
	return sqlValue{text: p.Column, offset: p.Column + "_offset", null: nullCondition(i)}
}

// nullCondition is when a property is null; "" is never.
func nullCondition(i int) string {
	if !certstate.Properties[i].Is(certstate.Nullable) {
		return ""
	}
	return "absent & " + strconv.FormatInt(1<<i, 10) + " <> 0"
}

// function writes a call by its template.
func (w *where) function(e *odata.Call) sqlValue {
	if slices.ContainsFunc(e.Args, isNull) {
		return w.literal(odata.Value{Null: true})
	}
	tpl := w.d.templates[e.Fn.Signature()]
	if why := w.d.without[e.Fn.Name]; why != "" && w.err == nil {
		w.err = certstate.Errorf(certstate.Invalid, "$filter", "%s cannot be asked of a register on %s: %s.", e.Fn.Name, w.d.name, why)
	}
	var nulls []string
	replace := w.bound(tpl.text)
	out := sqlValue{offset: "0"}
	for i, arg := range e.Args {
		v := w.value(arg)
		if v.null != "" {
			nulls = append(nulls, v.null)
		}
		if i == 0 && arg.Type() == odata.DateTimeType {
			out.offset = v.offset
		}
		n := strconv.Itoa(i + 1)
		replace = append(replace, "{"+n+"}", v.text, "{"+n+"o}", v.offset, "{"+n+"l}", "("+v.text+" + "+v.offset+" * 600000000)")
	}
	fill := strings.NewReplacer(replace...)
	if tpl.null != "" && (tpl.null != clockRange || !hasDate(e.Args[0])) {
		nulls = append(nulls, fill.Replace(tpl.null))
	}
	out.text, out.null = w.written(fill.Replace(tpl.text)), w.written(strings.Join(nulls, " OR "))
	return out
}

// bound binds what a template names beside its arguments.
func (w *where) bound(text string) (replace []string) {
	if strings.Contains(text, "{now}") {
		w.timed = true
		replace = append(replace, "{now}", w.bind(w.now.Ticks))
	}
	for name, v := range w.d.constants() {
		if strings.Contains(text, name) {
			replace = append(replace, name, w.bind(v))
		}
	}
	return replace
}

// isNull reports whether an expression is null itself, or a function of it.
func isNull(e odata.Expr) bool {
	switch e := e.(type) {
	case *odata.Literal:
		return e.Null
	case *odata.Call:
		return slices.ContainsFunc(e.Args, isNull)
	}
	return false
}

// hasDate reports whether a date and time is sure to be in the years 1 to 9999.
func hasDate(e odata.Expr) bool {
	_, property := e.(*odata.Property)
	_, literal := e.(*odata.Literal)
	return property || literal
}

// comparison is when e holds. It is never NULL.
func (w *where) comparison(e *odata.Compare) string {
	if e.L.Type() == odata.BoolType || e.R.Type() == odata.BoolType {
		return w.agreement(e)
	}
	if e.Keys != nil {
		return negated(w.sharedKeys(e.L, e.Keys), e.Op == odata.Eq)
	}
	if e.Op == odata.Ne {
		return "NOT (" + w.holds(odata.Eq, e.L, e.R) + ")"
	}
	return w.holds(e.Op, e.L, e.R)
}

var sqlOps = map[odata.Op]string{odata.Eq: " = ", odata.Gt: " > ", odata.Ge: " >= ", odata.Lt: " < ", odata.Le: " <= "}

// holds writes a comparison other than ne.
func (w *where) holds(op odata.Op, left, right odata.Expr) string {
	l, r := w.value(left), w.value(right)
	text := l.text + sqlOps[op] + r.text
	both := ""
	if l.null != "" && r.null != "" && (op == odata.Eq || op == odata.Ge || op == odata.Le) {
		both = "(" + l.null + ") AND (" + r.null + ")"
	}
	if l.null == always || r.null == always { // a comparison with null itself
		if both == "" {
			return never
		}
		return both
	}
	if !zeroHolds(op, left, right) {
		l.null = ""
	}
	text = andNot(andNot(text, l.null), r.null)
	if both != "" {
		return "(" + text + " OR " + both + ")"
	}
	return text
}

// zeroHolds is false if a null property, which is stored as its type's zero,
// cannot pass for a value that the literal is compared with: then the column
// alone decides, and an index serves it.
func zeroHolds(op odata.Op, left, right odata.Expr) bool {
	p, ok1 := left.(*odata.Property)
	l, ok2 := right.(*odata.Literal)
	if !ok1 || !ok2 || l.Null {
		return true
	}
	zero := odata.Literal{Value: odata.Value{Type: odata.PropertyType(p.Index)}}
	return (&odata.Compare{Op: op, L: &zero, R: l}).Eval(nil).N != 0
}

// agreement is when two conditions are both true, both false or both null; or,
// for ne, not.
func (w *where) agreement(e *odata.Compare) string {
	state := func(x odata.Expr) (isTrue, isFalse, isNull string) {
		t, f := w.isTrue(x), w.isFalse(x)
		return t, f, "NOT (" + t + ") AND NOT (" + f + ")"
	}
	lt, lf, ln := state(e.L)
	rt, rf, rn := state(e.R)
	text := "((" + lt + ") AND " + "(" + rt + ") OR (" + lf + ") AND (" + rf + ") OR (" + ln + ") AND (" + rn + "))"
	return negated(text, e.Op == odata.Eq)
}

// sharedKeys is when the value of a property has one of the keys.
func (w *where) sharedKeys(property odata.Expr, keys []string) string {
	p := &certstate.Properties[property.(*odata.Property).Index]
	list := w.list(len(keys), func(i int) string { return w.bind(keys[i]) })
	var any []string
	for _, k := range p.Keys {
		any = append(any, hasKey(p.Column+k.Suffix, list))
	}
	return "(" + strings.Join(any, " OR ") + ")"
}

// hasKey is when a column of keys has one of the list. No key is empty, which
// is said for the sake of partial indexes.
func hasKey(column, list string) string {
	return column + " IN " + list + " AND " + column + " <> ''"
}

// list writes (a, b, …).
func (w *where) list(n int, item func(i int) string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = item(i)
	}
	return "(" + strings.Join(items, ", ") + ")"
}

// membership is when a value is in the list. It is never NULL.
func (w *where) membership(e *odata.In) string {
	var any []string
	if len(e.Keys) > 0 {
		any = append(any, w.sharedKeys(e.X, e.Keys))
	}
	var plain []odata.Value
	for _, v := range e.Rest {
		if v.Null || e.X.Type() == odata.BoolType || e.X.Type() == odata.NullType {
			any = append(any, w.comparison(&odata.Compare{Op: odata.Eq, L: e.X, R: &odata.Literal{Value: v}}))
			continue
		}
		plain = append(plain, v)
	}
	if len(plain) > 0 && !isNull(e.X) {
		x := w.value(e.X)
		if !w.zeroIn(e.X, plain) {
			x.null = ""
		}
		any = append(any, andNot(x.text+" IN "+w.list(len(plain), func(i int) string { return w.literal(plain[i]).text }), x.null))
	}
	switch len(any) {
	case 0:
		return never
	case 1:
		return any[0]
	}
	return "(" + strings.Join(any, " OR ") + ")"
}

func (w *where) zeroIn(x odata.Expr, list []odata.Value) bool {
	for i := range list {
		if zeroHolds(odata.Eq, x, &odata.Literal{Value: list[i]}) {
			return true
		}
	}
	return false
}
