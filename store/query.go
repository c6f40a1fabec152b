package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/odata"
)

// statementTime bounds how long a query may run; patience, if it may take as long
// as it takes.
const (
	statementTime = 5 * time.Second
	patience      = 365 * 24 * time.Hour
)

// Position is a place in a query's answer, and what the answer's first page
// has settled for those that follow.
type Position struct {
	K     int64     `json:"k"`           // of the last record
	Sort  []sortKey `json:"s,omitempty"` // its values of the sort keys
	Now   int64     `json:"t"`           // what now() is, in ticks
	AsOf  *int64    `json:"a,omitempty"` // the change to answer as of, nil for the newest
	Epoch int64     `json:"e,omitempty"` // of the tenant, if AsOf is there
	Skip  int       `json:"o,omitempty"` // groups before, with $apply
	Left  int       `json:"l,omitempty"` // records the client still wants, 0 for all there are
	Total int64     `json:"c"`           // of all pages, -1 if not counted
}

// sortKey is the value of a sort key in SQL: text, or a number.
type sortKey struct {
	Null bool   `json:"z,omitempty"`
	S    string `json:"s,omitempty"`
	N    int64  `json:"n,omitempty"`
}

// Bytes is the position in the form that ParsePosition reads.
func (p Position) Bytes() []byte {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // of strings and numbers
	}
	return b
}

// ParsePosition reads what Bytes wrote.
func ParsePosition(b []byte) (p Position, err error) {
	if err := json.Unmarshal(b, &p); err != nil {
		return p, fmt.Errorf("position: %w", err)
	}
	return p, nil
}

// Page says how a call of List ended.
type Page struct {
	Next Position // where the next page begins
	More bool     // there are records after it
}

// selection is a query on its way to SQL.
type selection struct {
	where
	s      *Store
	t      Tenant
	q      *odata.Query
	source string // what is read: state, or its past
	asOf   *int64
	access
}

// access is how records are found.
type access struct {
	tenant string // whose
	cond   string // of the records, "" for all
	found  bool   // the condition is answered by looking few records up
	passed bool   // it holds for all that a walk in the order passes, or there is none
}

// newSelection writes the query's condition. Arguments: $1 is the tenant, and
// $2 the change to answer as of, if there is one.
func (s *Store) newSelection(ctx context.Context, t Tenant, q *odata.Query, cond odata.Expr, now edm.DateTimeOffset, asOf *int64) (*selection, error) {
	sel := &selection{s: s, t: t, q: q, source: "state", asOf: asOf, access: access{tenant: "tenant = $1"}}
	sel.d, sel.now, sel.term, sel.args = s.d, now, sel.searchTerm, make([]any, 0, 16)
	sel.bind(t.no)
	if asOf != nil {
		sel.source = s.d.past(sel.bind(*asOf))
	}
	if s.distributed {
		sel.tenant += sel.inPart()
	} else if asOf == nil && len(q.Order) > 0 && certstate.KeySet.Has(q.Order[0].Key) && q.Apply == nil {
		sel.tenant += " AND part = " + sel.bind(t.part()) // ids have an index by part
	}
	if cond == nil {
		sel.passed = true
		return sel, nil
	}
	return sel, sel.planned(ctx, cond)
}

// cheap reports whether a page takes no longer than reading it: it is looked
// up, or walked to along an index.
func (sel *selection) cheap() bool {
	orders := sel.q.Order
	walk := len(orders) == 0 || len(orders) == 1 && walkable(certstate.Properties[orders[0].Key].Column)
	return sel.asOf == nil && (sel.found || sel.passed && walk)
}

// watched bounds the time of a selection that is not cheap, the wait for its
// turn included: some connections are always left to those that are.
func (s *Store) watched(ctx context.Context, t Tenant, cheap bool) (context.Context, context.CancelFunc, error) {
	if cheap {
		// The drivers run a statement that can be cancelled in a goroutine of
		// its own, which costs more than most statements.
		return context.WithoutCancel(ctx), func() {}, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.limit, errTooSlow)
	if err := s.watching.Take(ctx, t.ID); err != nil {
		cancel()
		return nil, nil, certstate.Errorf(certstate.Unavailable, "", "Too many queries are being answered. Try again.")
	}
	return ctx, func() { cancel(); s.watching.Give() }, nil
}

// maxWaiting is how many queries that may take long wait for their turn. More
// would not get one in time, and would be in the way of those that are cheap.
const maxWaiting = 64

var errTooSlow = certstate.Errorf(certstate.Invalid, "$filter",
	"The query takes longer than %s on this register: narrow it, by a date, a status, an issuer or a user, or sort by one of them.", statementTime)

// tooSlow turns the error of an interrupted statement into what the client is told.
func tooSlow(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		<-ctx.Done() // a connection may notice the deadline before the context does
	}
	if errors.Is(context.Cause(ctx), errTooSlow) {
		return errTooSlow
	}
	return err
}

// ErrEndPage is what the fn of List returns to have the page end after the record
// it was given.
var ErrEndPage = errors.New("the page ends here")

// List calls fn for a page of the records that the query selects, in its
// order, and at most limit times: from the beginning, or after a position that
// an earlier page gave. The State passed to fn is reused; it holds the
// properties of the query's $select, those it sorts by, and the id.
func (s *Store) List(ctx context.Context, t Tenant, q *odata.Query, at Position, limit int, fn func(*certstate.State) error) (p Page, err error) {
	ctx, end := s.elsewhere(ctx, t, nil)
	defer end()
	sel, err := s.newSelection(ctx, t, q, q.Condition(), edm.DateTimeOffset{Ticks: at.Now}, at.AsOf)
	if err != nil {
		return p, err
	}
	ctx, done, err := s.watched(ctx, t, sel.cheap())
	if err != nil {
		return p, err
	}
	defer done()
	set := q.Select | certstate.KeySet
	for _, o := range q.Order {
		set |= 1 << o.Key
	}
	sc := scannerOf(set)
	defer sc.release()
	p.Next = at
	for _, seg := range sel.segments(at) {
		rows, err := sel.run(ctx, seg, set, limit+1, q.Skip)
		if err != nil {
			return p, tooSlow(ctx, err)
		}
		limit, err = sel.read(ctx, rows, sc, limit, &p, fn)
		if err = errors.Join(err, rows.Close()); err != nil {
			return p, tooSlow(ctx, err)
		}
		if p.More { // the scanner still holds the page's last record
			p.Next.Sort = sortKeys(q.Order, &sc.state)
			break
		}
	}
	return p, sel.kept(ctx)
}

// kept fails if what the selection reads is of a time that is no longer kept.
func (sel *selection) kept(ctx context.Context) error {
	if sel.asOf == nil {
		return nil
	}
	return sel.s.Kept(ctx, sel.t, *sel.asOf)
}

// sortKeys are a record's values of the sort keys.
func sortKeys(orders []odata.Order, st *certstate.State) (keys []sortKey) {
	for _, o := range orders {
		keys = append(keys, keyOf(certstate.Properties[o.Key].Field(st)))
	}
	return keys
}

// read passes rows on until limit of them were, and returns what is left of it.
func (sel *selection) read(ctx context.Context, rows *sql.Rows, sc *scanner, limit int, p *Page, fn func(*certstate.State) error) (int, error) {
	for n := 0; rows.Next(); n++ {
		if limit == 0 {
			p.More = true
			return 0, nil
		}
		if n%128 == 127 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err := sc.scan(rows); err != nil {
			return 0, err
		}
		err := fn(&sc.state)
		if err != nil && !errors.Is(err, ErrEndPage) {
			return 0, err
		}
		p.Next.K = sc.k
		limit--
		if err != nil {
			p.More = true // or nothing is on the page after
			return 0, nil
		}
	}
	return limit, rows.Err()
}

// keyOf is a property's value as it is sorted: its first column.
func keyOf(v edm.Value) (k sortKey) {
	k.Null = v.IsNull()
	switch x := v.AppendSQL(nil)[0].(type) {
	case string:
		k.S = x
	case int64:
		k.N = x
	}
	return k
}

// sortTerm is one expression of ORDER BY, with its value at the position.
type sortTerm struct {
	text  string
	desc  bool
	value any
	// alone: what is alike in the terms before is alike in this one.
	alone bool
}

// terms spells the order out. A null is stored as its type's zero: a rank tells
// it from the zero itself, and stands after a text, which an index then serves,
// and before a number, whose zero is not the least. Records alike in all keys
// stand in the order of their creation, in the direction of the last key.
func (sel *selection) terms(at Position) (list []sortTerm) {
	desc := false
	for i, o := range sel.q.Order {
		p := &certstate.Properties[o.Key]
		var v sortKey
		if i < len(at.Sort) {
			v = at.Sort[i]
		}
		desc = o.Desc
		bit := int64(1) << o.Key
		rank := sortTerm{text: rankOf(o.Key), desc: desc, value: bit}
		if v.Null {
			rank.value = int64(0)
		}
		column := sortTerm{text: p.Column, desc: desc, value: v.N}
		text := odata.PropertyType(o.Key) == odata.StringType
		if text {
			column.value, rank.alone = v.S, v.S != ""
		}
		switch {
		case !p.Is(certstate.Nullable):
			list = append(list, column)
		case text:
			list = append(list, column, rank)
		default:
			list = append(list, rank, column)
		}
	}
	return append(list, sortTerm{text: "k", desc: desc, value: at.K})
}

// rankOf is 0 for null, and more for a value: the expression that indexes.sql
// has in the indexes of texts.
func rankOf(property int) string {
	bit := int64(1) << property
	return fmt.Sprintf("(%d - (absent & %d))", bit, bit)
}

// segment is a part of what comes after a position: the records that are alike
// in the first terms, after it in the next, in the order of the terms from there.
type segment struct {
	alike []sortTerm
	after *sortTerm // nil: from the beginning
	order []sortTerm
}

// segments cuts the answer after a position into parts, each of which is one
// walk along an index: alike in all terms but the last, then in all but the
// last two, and so on. One condition with ORs would say the same, and be
// served by reading everything.
func (sel *selection) segments(at Position) (list []segment) {
	terms := sel.terms(at)
	if at.K == 0 {
		return []segment{{order: terms}}
	}
	for i := len(terms) - 1; i >= 0; i-- {
		if !terms[i].alone {
			list = append(list, segment{terms[:i], &terms[i], terms[i:]})
		}
	}
	return list
}

// run starts a segment's statement.
func (sel *selection) run(ctx context.Context, seg segment, set certstate.Set, limit, skip int) (*sql.Rows, error) {
	mark := len(sel.args)
	defer func() { sel.args = sel.args[:mark] }()
	return sel.query(ctx, sel.statement(seg, set, limit, skip))
}

// statement writes a segment's statement.
func (sel *selection) statement(seg segment, set certstate.Set, limit, skip int) string {
	var b strings.Builder
	b.Grow(512 + len(sel.cond))
	for _, part := range [...]string{"SELECT k, ver, absent, ", columnList(set), " FROM ", sel.source, " WHERE ", sel.tenant, sel.cond} {
		b.WriteString(part)
	}
	for _, t := range seg.alike {
		b.WriteString(" AND " + t.text + " = " + sel.bind(t.value))
	}
	if seg.after != nil {
		op := " > "
		if seg.after.desc {
			op = " < "
		}
		b.WriteString(" AND " + seg.after.text + op + sel.bind(seg.after.value))
	}
	writeOrder(&b, seg.order)
	b.WriteString(" LIMIT " + sel.bind(limit))
	if seg.after == nil && skip > 0 {
		b.WriteString(" OFFSET " + sel.bind(skip))
	}
	return b.String()
}

func writeOrder(b *strings.Builder, terms []sortTerm) {
	before := " ORDER BY "
	for _, t := range terms {
		b.WriteString(before)
		b.WriteString(t.text)
		if t.desc {
			b.WriteString(" DESC")
		}
		before = ", "
	}
}

func (sel *selection) query(ctx context.Context, text string) (*sql.Rows, error) {
	text, args := usedArguments(text, sel.args)
	return sel.s.rows(ctx, text, args)
}

func (s *Store) rows(ctx context.Context, text string, args []any) (*sql.Rows, error) {
	st, err := s.queries.get(s.read, query{rest: text})
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

// usedArguments leaves out the arguments that a text has no placeholder for, and
// numbers the placeholders anew: a comparison with null asks only when its other
// side is null, and leaves the values in that unused.
func usedArguments(text string, args []any) (string, []any) {
	var few [32]int
	number := append(few[:0], make([]int, len(args))...) // of the i-th argument; 0 is unused
	for place := range placesIn(text) {
		number[place-1] = 1
	}
	if !slices.Contains(number, 0) {
		return text, args
	}
	var used []any
	for i, n := range number {
		if n > 0 {
			used = append(used, args[i])
			number[i] = len(used)
		}
	}
	var b strings.Builder
	done := 0
	for place, end := range placesIn(text) {
		digits := len(strconv.Itoa(place))
		b.WriteString(text[done : end-digits-1])
		b.WriteString(placeholder(number[place-1]))
		done = end
	}
	return b.String() + text[done:], used
}

// placesIn yields the numbers after a text's dollars, each with the position of
// its end.
func placesIn(text string) func(yield func(n, end int) bool) {
	return func(yield func(int, int) bool) {
		end := 0
		for {
			dollar := strings.IndexByte(text[end:], '$')
			if dollar < 0 {
				return
			}
			n := 0
			for end += dollar + 1; end < len(text) && '0' <= text[end] && text[end] <= '9'; end++ {
				n = 10*n + int(text[end]-'0')
			}
			if !yield(n, end) {
				return
			}
		}
	}
}

// Count is the number of records that the query's condition selects, now or as
// of a change.
func (s *Store) Count(ctx context.Context, t Tenant, q *odata.Query, now edm.DateTimeOffset, asOf *int64) (n int64, err error) {
	cond := q.Condition()
	if cond == nil && asOf == nil {
		return s.Live(ctx, t)
	}
	ctx, end := s.elsewhere(ctx, t, nil)
	defer end()
	sel, err := s.newSelection(ctx, t, q, cond, now, asOf)
	if err != nil {
		return 0, err
	}
	ctx, done, err := s.watched(ctx, t, sel.found)
	if err != nil {
		return 0, err
	}
	defer done()
	text, args := usedArguments("SELECT count(*) FROM "+sel.source+" WHERE "+sel.tenant+sel.cond, sel.args)
	if n, err = sel.number(ctx, text, args); err != nil {
		return 0, tooSlow(ctx, err)
	}
	return n, sel.kept(ctx)
}

// number is the one number that a statement gives.
func (sel *selection) number(ctx context.Context, text string, args []any) (n int64, err error) {
	rows, err := sel.s.rows(ctx, text, args)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	if rows.Next() {
		err = rows.Scan(edm.Int64Column(&n))
	}
	return n, errors.Join(err, rows.Err())
}

// Live is the number of the tenant's records, which its parts keep.
func (s *Store) Live(ctx context.Context, t Tenant) (n int64, err error) {
	st, err := s.queries.get(s.read, query{rest: "SELECT coalesce(sum(live), 0) FROM seq WHERE tenant = $1 AND part = $2"})
	if err != nil {
		return 0, err
	}
	err = st.QueryRowContext(context.WithoutCancel(ctx), t.no, t.part()).Scan(&n)
	return n, err
}
