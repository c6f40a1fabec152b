package store_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
	"certstate/store/storetest"
)

var queries = flag.Int("queries", 3000, "random queries that TestQueriesMeanTheSame compares")

// What SQL answers to a random query is what the evaluator says of each record,
// in the order it says: filters, searches, orders, counts, pages of every size,
// of the records as they are and as they were. A query may be refused, but not
// answered otherwise.
func TestQueriesMeanTheSame(t *testing.T) {
	eachEngine(t, func(t *testing.T, dsn string) { queriesMeanTheSame(t, dsn, store.Options{}, *queries) })
}

// They do behind a pooler too, which keeps nothing between transactions.
func TestQueriesThroughAPooler(t *testing.T) {
	for _, mode := range []string{"exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			dsn := storetest.Postgres(t)
			if strings.Contains(dsn, "?") {
				dsn += "&"
			} else {
				dsn += "?"
			}
			queriesMeanTheSame(t, dsn+"default_query_exec_mode="+mode, store.Options{}, *queries/10)
		})
	}
}

func queriesMeanTheSame(t *testing.T, dsn string, o store.Options, total int) {
	seed := rand.Uint64()
	g := generator{rand.New(rand.NewPCG(seed, 1))}
	s, tn := openWith(t, dsn, o)
	states := fillRandom(t, g, s, tn, 120)
	now := edm.DateTimeOffset{Ticks: states[0].Created.Ticks}
	then, err := s.AsOf(t.Context(), tn, states[len(states)-1].Created)
	if err != nil {
		t.Fatal(err)
	}
	changed := change(t, g, s, tn, states)
	refused, empty := 0, 0
	for n := range total {
		q, raw, err := g.query()
		if err != nil {
			if certstate.ErrorCode(err) != certstate.Invalid {
				t.Fatalf("seed %d: %s: %v", seed, raw, err)
			}
			refused++
			continue
		}
		if unsupported(dsn, raw) {
			refused++
			continue
		}
		s.SetRare(pick(g, -1, 10, 1000))
		records, asOf := changed, (*int64)(nil)
		if g.IntN(3) == 0 {
			records, asOf = states, &then
		}
		want := expected(records, &q, now)
		if len(want) == 0 {
			empty++
		}
		got := readPages(t, s, tn, &q, store.Position{Now: now.Ticks, AsOf: asOf}, 1+g.IntN(len(states)))
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d, query %d: %s\nread as %s\ngot  %q\nwant %q", seed, n, raw, q.String(), got, want)
		}
		if count, err := s.Count(t.Context(), tn, &q, now, asOf); err != nil || count != int64(len(want)) {
			t.Fatalf("seed %d: %s\ncount %d, %v; want %d", seed, raw, count, err, len(want))
		}
	}
	t.Logf("seed %d: %d queries, %d refused, %d with an empty answer", seed, total, refused, empty)
	if refused > total/3 || empty > total*2/3 {
		t.Errorf("too many queries say nothing: %d refused, %d empty", refused, empty)
	}
}

// unsupported reports whether a query has what the engine refuses by name.
func unsupported(url, query string) bool {
	return strings.HasPrefix(url, "postgres:") && strings.Contains(query, "matchesPattern")
}

// fillRandom creates n records and returns them as they are stored, in the
// order of their creation.
func fillRandom(t *testing.T, g generator, s *store.Store, tn store.Tenant, n int) (states []certstate.State) {
	t.Helper()
	for i := range n {
		made, err := s.Create(t.Context(), tn, g.state(fmt.Sprintf("%d-%s", i%7, pick(g, texts[1:8]...)+fmt.Sprint(i))), by)
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, *made)
	}
	return states
}

// change updates a third of the records and deletes a third, and returns what
// there is then.
func change(t *testing.T, g generator, s *store.Store, tn store.Tenant, states []certstate.State) (now []certstate.State) {
	t.Helper()
	for i := range states {
		id := states[i].ID.S
		switch i % 3 {
		case 0:
			now = append(now, states[i])
		case 1:
			patch := g.state(id)
			made, err := s.Update(t.Context(), tn, id, &patch, certstate.All&^certstate.KeySet, nil, by)
			if err != nil {
				t.Fatal(err)
			}
			now = append(now, *made)
		case 2:
			if err := s.Delete(t.Context(), tn, id, nil, by); err != nil {
				t.Fatal(err)
			}
		}
	}
	return now
}

// query is a random query, as it comes and as it is read.
func (g generator) query() (q odata.Query, raw string, err error) {
	options := url.Values{}
	if g.IntN(8) > 0 {
		options.Set("$filter", g.condition(3))
	}
	if g.IntN(4) == 0 {
		options.Set("$search", g.search(2))
	}
	if order := g.order(); order != "" {
		options.Set("$orderby", order)
	}
	options.Set("$select", "id")
	raw, _ = url.QueryUnescape(options.Encode())
	q, err = odata.ParseQuery(options.Encode(), odata.ListOptions)
	return q, raw, err
}

// expected evaluates the query over the records, which stand in the order of
// their creation.
func expected(states []certstate.State, q *odata.Query, now edm.DateTimeOffset) []string {
	var hits []*certstate.State
	for i := range states {
		if q.Matches(&states[i], now) {
			hits = append(hits, &states[i])
		}
	}
	if n := len(q.Order); n > 0 && q.Order[n-1].Desc {
		slices.Reverse(hits) // ties stand in the last key's direction
	}
	slices.SortStableFunc(hits, func(a, b *certstate.State) int {
		for _, o := range q.Order {
			c := compareValues(o.Key, a, b)
			if o.Desc {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	ids := make([]string, len(hits))
	for i, s := range hits {
		ids[i] = s.ID.S
	}
	return ids
}

// compareValues orders two records by a property: null first, then by value.
func compareValues(property int, a, b *certstate.State) int {
	less := func(a, b *certstate.State) bool {
		l, r := &odata.Property{Index: property}, &odata.Env{State: b}
		return (&odata.Compare{Op: odata.Lt, L: l, R: &odata.Literal{Value: l.Eval(r)}}).Eval(&odata.Env{State: a}).N != 0
	}
	na, nb := certstate.Properties[property].Field(a).IsNull(), certstate.Properties[property].Field(b).IsNull()
	switch {
	case na != nb && na, less(a, b):
		return -1
	case na != nb, less(b, a):
		return 1
	}
	return 0
}

// readPages reads all pages of a query.
func readPages(t *testing.T, s *store.Store, tn store.Tenant, q *odata.Query, from store.Position, size int) (ids []string) {
	t.Helper()
	page := store.Page{Next: from, More: true}
	for page.More {
		// The position travels as bytes, as in a link.
		at, err := store.ParsePosition(page.Next.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		page, err = s.List(t.Context(), tn, q, at, size, func(st *certstate.State) error {
			ids = append(ids, strings.Clone(st.ID.S))
			return nil
		})
		if err != nil {
			t.Fatalf("%s: %v", q.String(), err)
		}
	}
	return ids
}
