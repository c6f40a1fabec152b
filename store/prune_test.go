package store_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
)

var prunes = flag.Int("prunes", 4, "how often TestPruneChangesNothingYounger prunes")

// past is what a register tells of a moment: a change after which nothing was
// pruned yet.
type past struct {
	mark  store.Mark
	list  string // of the records then, by id and in an order
	round string // of a round from then to the end
	after string // history of every id from then on
}

// Whenever history is pruned, nothing changes in what is told of a time that is
// still kept: lists and records as they were, history, rounds of delta; and what
// is not kept is refused, not answered wrong.
func TestPruneChangesNothingYounger(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn, c := openAt(t, url)
		other := "22222222-2222-4333-8444-555555555555" // a tenant that is not pruned as far
		if _, err := s.AddTenant(t.Context(), other, ""); err != nil {
			t.Fatal(err)
		}
		g := generator{rand.New(rand.NewPCG(rand.Uint64(), 8))}
		begin := c.now()
		for range *prunes {
			stir(t, g, s, tn, c)
			stir(t, g, s, tenant(t, s, other), c)
			marks := marksOf(t, s, tn)
			was := make([]past, len(marks))
			for i, m := range marks {
				was[i] = pastAt(t, s, tn, m)
			}
			now := current(t, s, tn)
			cutoff := begin.Add(time.Duration(g.Int64N(int64(c.now().Sub(begin)))))
			rows, _, err := s.Prunable(t.Context(), cutoff)
			if err != nil {
				t.Fatal(err)
			}
			before := rowsOf(t, s)
			if err := s.Prune(t.Context(), cutoff, quietly); err != nil {
				t.Fatal(err)
			}
			if gone := before - rowsOf(t, s); gone != rows {
				t.Errorf("%d rows went, and %d were to", gone, rows)
			}
			for i, m := range marks {
				stillTold(t, s, tn, m, cutoff, was[i])
			}
			if got := current(t, s, tn); got != now {
				t.Error("current records changed")
			}
			if err := s.Verify(t.Context(), quietly); err != nil {
				t.Error(err)
			}
		}
	})
}

// stir changes some records, minutes apart.
func stir(t *testing.T, g generator, s *store.Store, tn store.Tenant, c *clock) {
	t.Helper()
	for range 40 {
		c.add(time.Duration(g.IntN(3)) * time.Minute) // some at one time
		id := fmt.Sprint("id", g.IntN(12))
		st := g.state(id)
		_, err := s.Create(t.Context(), tn, st, by)
		if certstate.ErrorCode(err) == certstate.Conflict {
			if g.IntN(3) == 0 {
				err = s.Delete(t.Context(), tn, id, nil, by)
			} else {
				_, err = s.Update(t.Context(), tn, id, &st, certstate.All&^certstate.KeySet, nil, by)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// marksOf are all marks of a tenant's log that are kept.
func marksOf(t *testing.T, s *store.Store, tn store.Tenant) (list []store.Mark) {
	t.Helper()
	if err := s.Changes(t.Context(), tn, 0, 1<<30, func(c *certstate.Change) error {
		list = append(list, store.Mark{N: c.Seq, At: c.At.Ticks})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func rowsOf(t *testing.T, s *store.Store) (rows int64) {
	t.Helper()
	rows, _, err := s.Prunable(t.Context(), time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func current(t *testing.T, s *store.Store, tn store.Tenant) string {
	t.Helper()
	return listed(t, s, tn, nil, "$orderby=id")
}

func listed(t *testing.T, s *store.Store, tn store.Tenant, asOf *int64, query string) string {
	t.Helper()
	q, err := odata.ParseQuery(query, odata.ListOptions)
	if err != nil {
		t.Fatal(err)
	}
	q.Select = certstate.All
	var b strings.Builder
	if _, err := s.List(t.Context(), tn, &q, store.Position{AsOf: asOf}, 1<<20, func(st *certstate.State) error {
		fmt.Fprintf(&b, "%+v\n", *st)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func pastAt(t *testing.T, s *store.Store, tn store.Tenant, m store.Mark) past {
	t.Helper()
	p := past{mark: m, list: listed(t, s, tn, &m.N, "") + listed(t, s, tn, &m.N, "$orderby=certificateSerialNumber desc,id")}
	r, err := s.NextRound(t.Context(), tn, m)
	if err != nil {
		t.Fatal(err)
	}
	if p.round, err = tell(t, s, tn, r); err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		err := s.History(t.Context(), tn, fmt.Sprint("id", i), m.N, 1<<20, func(c *certstate.Change) error {
			p.after += fmt.Sprintln(c.Seq, c.ID, c.Kind, c.At.Ticks, shown(c.Before), shown(c.After))
			return nil
		})
		if err != nil && certstate.ErrorCode(err) != certstate.NotFound {
			t.Fatal(err)
		}
	}
	return p
}

// stillTold compares what is told of a moment with what was, or with a refusal if
// it is before the floor.
func stillTold(t *testing.T, s *store.Store, tn store.Tenant, m store.Mark, cutoff time.Time, was past) {
	t.Helper()
	kept := marksOf(t, s, tn)
	floor := headOf(t, s, tn).N - int64(len(kept))
	if old := edm.Time(cutoff).Ticks; (len(kept) > 0 && kept[0].At < old) || (m.N <= floor && m.At >= old) {
		t.Fatalf("after pruning what is before %d the log begins after change %d", old, floor)
	}
	if m.N >= floor {
		if got := pastAt(t, s, tn, m); got != was {
			t.Errorf("of change %d is told\n%+v\nand was\n%+v", m.N, got, was)
		}
		return
	}
	if _, err := s.NextRound(t.Context(), tn, m); certstate.ErrorCode(err) != certstate.Gone {
		t.Errorf("a link of change %d is answered: %v", m.N, err)
	}
	if err := s.Kept(t.Context(), tn, m.N); certstate.ErrorCode(err) != certstate.Invalid {
		t.Errorf("change %d is kept: %v", m.N, err)
	}
	if n, err := s.AsOf(t.Context(), tn, edm.DateTimeOffset{Ticks: m.At}); err == nil && n < floor || err != nil && certstate.ErrorCode(err) != certstate.Invalid {
		t.Errorf("the time of change %d is that of %d: %v", m.N, n, err)
	}
}

// An answer of a time that is pruned while it is read, or between its pages, is
// right or refused.
func TestPruneUnderReaders(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn, c := openAt(t, url)
		g := generator{rand.New(rand.NewPCG(rand.Uint64(), 9))}
		for range 5 {
			stir(t, g, s, tn, c)
		}
		marks := marksOf(t, s, tn)
		was := make([]string, len(marks))
		for i, m := range marks {
			was[i] = listed(t, s, tn, &m.N, "$orderby=id")
		}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		var right, refused atomic.Int64
		for range 4 {
			wg.Go(func() {
				for !t.Failed() {
					select {
					case <-stop:
						return
					default:
					}
					i := rand.IntN(len(marks))
					got, err := pagewise(t, s, tn, marks[i].N)
					switch {
					case err == nil && got == was[i]:
						right.Add(1)
					case certstate.ErrorCode(err) == certstate.Invalid:
						refused.Add(1)
					default:
						t.Errorf("as of change %d, %v:\n%s\nwant\n%s", marks[i].N, err, got, was[i])
					}
				}
			})
		}
		for floor := int64(1); floor <= marks[len(marks)-1].N && !t.Failed(); floor++ {
			if err := s.PruneTo(t.Context(), tn, floor); err != nil {
				t.Fatal(err)
			}
		}
		close(stop)
		wg.Wait()
		t.Logf("%d answers right, %d refused", right.Load(), refused.Load())
		if right.Load() == 0 || refused.Load() == 0 {
			t.Error("the test saw one kind alone")
		}
	})
}

// pagewise lists the records as of a change, three a page.
func pagewise(t *testing.T, s *store.Store, tn store.Tenant, n int64) (text string, err error) {
	q, err := odata.ParseQuery("$orderby=id", odata.ListOptions)
	if err != nil {
		return "", err
	}
	q.Select = certstate.All
	var b strings.Builder
	for p := (store.Page{Next: store.Position{AsOf: &n}, More: true}); p.More; {
		if p, err = s.List(t.Context(), tn, &q, p.Next, 3, func(st *certstate.State) error {
			fmt.Fprintf(&b, "%+v\n", *st)
			return nil
		}); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}
