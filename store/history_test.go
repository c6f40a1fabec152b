package store_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/store"
)

// clock is a clock that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func openAt(t *testing.T, url string) (*store.Store, store.Tenant, *clock) {
	t.Helper()
	c := &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	s, err := store.Open(t.Context(), url, store.Options{Log: quiet, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.AddTenant(t.Context(), tenantID, "Test"); err != nil {
		t.Fatal(err)
	}
	return s, tenant(t, s, tenantID), c
}

func history(t *testing.T, s *store.Store, tn store.Tenant, id string, after int64, limit int) (string, error) {
	t.Helper()
	var lines []string
	show := func(st *certstate.State) string {
		if st == nil {
			return "-"
		}
		return fmt.Sprint(st.KeyUsages.N, "@", st.Version)
	}
	err := s.History(t.Context(), tn, id, after, limit, func(c *certstate.Change) error {
		if c.ID != id || c.Actor != by.Actor || c.Reason != by.Reason {
			t.Errorf("%+v", c)
		}
		lines = append(lines, fmt.Sprint(c.Seq, " ", c.Kind, " ", show(c.Before), " ", show(c.After)))
		return nil
	})
	return strings.Join(lines, "|"), err
}

func TestHistory(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn, _ := openAt(t, url)
		for range 2 {
			for _, id := range []string{"a", "b"} {
				if _, err := s.Create(t.Context(), tn, certstate.State{ID: edm.Str(id), KeyUsages: edm.Int(1)}, by); err != nil {
					t.Fatal(err)
				}
				for n := int32(2); n <= 3; n++ {
					if _, err := s.Update(t.Context(), tn, id, &certstate.State{KeyUsages: edm.Int(n)}, 1<<10, nil, by); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.Delete(t.Context(), tn, id, nil, by); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := s.Create(t.Context(), tn, certstate.State{ID: edm.Str("a"), KeyUsages: edm.Int(9)}, by); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			id    string
			after int64
			limit int
			want  string
		}{
			{"a", 0, 100, "1 created - 1@1|2 updated 1@1 2@2|3 updated 2@2 3@3|4 deleted 3@3 -|9 created - 1@9|10 updated 1@9 2@10|11 updated 2@10 3@11|12 deleted 3@11 -|17 created - 9@17"},
			{"a", 2, 2, "3 updated 2@2 3@3|4 deleted 3@3 -"},
			{"a", 17, 2, ""},
			{"b", 6, 100, "7 updated 2@6 3@7|8 deleted 3@7 -|13 created - 1@13|14 updated 1@13 2@14|15 updated 2@14 3@15|16 deleted 3@15 -"},
		} {
			if got, err := history(t, s, tn, tc.id, tc.after, tc.limit); got != tc.want || err != nil {
				t.Errorf("history of %s after %d\n%s\nwant\n%s\n%v", tc.id, tc.after, got, tc.want, err)
			}
		}
		if _, err := history(t, s, tn, "c", 0, 100); certstate.ErrorCode(err) != certstate.NotFound {
			t.Error(err)
		}
	})
}

// A time names the changes made up to it, even over a clock that steps back.
func TestAsOfTime(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn, c := openAt(t, url)
		begin := c.now()
		for i, step := range []time.Duration{time.Second, 0, time.Second, -time.Hour, time.Minute, 2 * time.Hour} {
			c.add(step)
			if _, err := s.Create(t.Context(), tn, certstate.State{ID: edm.Str(fmt.Sprint(i))}, by); err != nil {
				t.Fatal(err)
			}
		}
		last := c.now()
		for _, tc := range []struct {
			at   time.Time
			want int64
		}{
			{begin.AddDate(-1, 0, 0), 0}, {begin.Add(time.Second - 1*time.Microsecond), 0}, {begin.Add(time.Second), 2},
			{begin.Add(1500 * time.Millisecond), 2}, {begin.Add(2 * time.Second), 5}, {last.Add(-time.Second), 5}, {last, 6},
		} {
			if n, err := s.AsOf(t.Context(), tn, edm.Time(tc.at)); n != tc.want || err != nil {
				t.Errorf("as of %s: change %d, want %d, %v", tc.at, n, tc.want, err)
			}
		}
		if _, err := s.AsOf(t.Context(), tn, edm.Time(last.Add(time.Second))); certstate.ErrorCode(err) != certstate.Invalid || !strings.Contains(err.Error(), "future") {
			t.Error(err)
		}
		if err := s.Verify(t.Context(), func(int64) {}); err != nil {
			t.Error(err)
		}
	})
}

// What was, reads as it was: a random history, and every record after every
// change.
func TestAsOfIsReplay(t *testing.T) { eachEngine(t, asOfIsReplay) }

func asOfIsReplay(t *testing.T, url string) {
	s, tn := open(t, url)
	ids := []string{"a", "b", "c", "d", "e"}
	now := map[string]certstate.State{}
	var was []map[string]certstate.State // by number of the change
	remember := func() {
		copied := map[string]certstate.State{}
		for id, st := range now {
			copied[id] = st
		}
		was = append(was, copied)
	}
	remember()
	for len(was) < 400 {
		id := ids[rand.IntN(len(ids))]
		st := certstate.State{ID: edm.Str(id), KeyUsages: edm.Int(rand.Int32()), Serial: edm.Str(fmt.Sprintf("%x", rand.Int64())), DeviceName: edm.Str("a b")}
		_, there := now[id]
		switch rand.IntN(3) {
		case 0:
			made, err := s.Create(t.Context(), tn, st, by)
			if (err == nil) == there {
				t.Fatal(id, there, err)
			}
			if !there {
				now[id] = *made
				remember()
			}
		case 1:
			made, err := s.Update(t.Context(), tn, id, &st, certstate.All&^certstate.KeySet, nil, by)
			if (err == nil) != there {
				t.Fatal(id, there, err)
			}
			if there {
				now[id] = *made
				remember()
			}
		case 2:
			if err := s.Delete(t.Context(), tn, id, nil, by); (err == nil) != there {
				t.Fatal(id, there, err)
			}
			if there {
				delete(now, id)
				remember()
			}
		}
	}
	for n := range was {
		for _, id := range ids {
			got, err := s.GetAsOf(t.Context(), tn, id, certstate.All, int64(n))
			want, there := was[n][id]
			if there && (err != nil || *got != want) || !there && certstate.ErrorCode(err) != certstate.NotFound {
				t.Fatalf("%s after change %d is\n%+v\nwant\n%+v\n%v", id, n, got, want, err)
			}
		}
	}
	if err := s.Verify(t.Context(), func(int64) {}); err != nil {
		t.Error(err)
	}
}
