package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
	"certstate/store/storetest"
)

// tell reads a round to its end, two records a page: ids told, with a minus
// if gone.
func tell(t *testing.T, s *store.Store, tn store.Tenant, r store.Round) (string, error) {
	t.Helper()
	var told []string
	q, err := odata.ParseQuery("", odata.DeltaOptions)
	for more := true; more && err == nil; {
		r, more, err = s.Delta(t.Context(), tn, &q, r, 2, func(it store.Told) error {
			if it.State == nil {
				told = append(told, "-"+it.ID)
			} else {
				told = append(told, it.ID)
			}
			return nil
		})
	}
	return strings.Join(told, " "), err
}

// History that is pruned is gone for history, times and links; records and
// younger history stay.
func TestPrune(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn, c := openAt(t, url)
		begin := c.now()
		step := func(id string, n int32) {
			t.Helper()
			c.add(time.Hour)
			var err error
			if n == 1 {
				_, err = s.Create(t.Context(), tn, certstate.State{ID: edm.Str(id), KeyUsages: edm.Int(n)}, by)
			} else {
				_, err = s.Update(t.Context(), tn, id, &certstate.State{KeyUsages: edm.Int(n)}, 1<<10, nil, by)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range int32(1500) { // three batches
			step("a", i+1)
		}
		first, err := s.FirstRound(t.Context(), tn)
		if err != nil {
			t.Fatal(err)
		}
		for i := range int32(3) {
			step("b", i+1)
		}
		if err := s.Prune(t.Context(), begin.Add(1502*time.Hour), func(int64) {}); err != nil { // up to change 1501
			t.Fatal(err)
		}
		if err := s.Verify(t.Context(), func(int64) {}); err != nil {
			t.Error(err)
		}
		if got, err := history(t, s, tn, "b", 0, 9); got != "1502 updated 1@1501 2@1502|1503 updated 2@1502 3@1503" || err != nil {
			t.Error(got, err)
		}
		if got, err := history(t, s, tn, "a", 0, 9); got != "" || err != nil { // there, with no history kept
			t.Error(got, err)
		}
		if n, err := s.AsOf(t.Context(), tn, edm.Time(begin.Add(1501*time.Hour))); n != 1501 || err != nil {
			t.Error(n, err)
		}
		_, err = s.AsOf(t.Context(), tn, edm.Time(begin.Add(1501*time.Hour-time.Second)))
		if certstate.ErrorCode(err) != certstate.Invalid || !strings.Contains(err.Error(), "kept from 2026-05-03T") {
			t.Error(err)
		}
		// 1500 is the first mark's change: 1501 came after it and is not kept.
		if _, err := s.NextRound(t.Context(), tn, first.Head); certstate.ErrorCode(err) != certstate.Gone {
			t.Error(err)
		}
		if _, err := tell(t, s, tn, first); certstate.ErrorCode(err) != certstate.Gone {
			t.Error(err)
		}
		for _, mark := range []store.Mark{{N: 1501, At: edm.Time(begin.Add(1501 * time.Hour)).Ticks}, {N: 1502, At: edm.Time(begin.Add(1502 * time.Hour)).Ticks}} {
			r, err := s.NextRound(t.Context(), tn, mark)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := tell(t, s, tn, r); got != "b" || err != nil {
				t.Error(got, err)
			}
		}
		if err := s.Prune(t.Context(), begin.AddDate(1, 0, 0), func(int64) {}); err != nil { // all of it
			t.Fatal(err)
		}
		if err := s.Verify(t.Context(), func(int64) {}); err != nil {
			t.Error(err)
		}
		if n, err := s.AsOf(t.Context(), tn, edm.Time(c.now())); n != 1503 || err != nil {
			t.Error(n, err)
		}
	})
}

// A link that is younger than the backup the register was restored from is
// refused, even once the register has as many changes again.
func TestDeltaAfterARestore(t *testing.T) {
	for _, e := range storetest.Engines {
		t.Run(e.Name, func(t *testing.T) { deltaAfterARestore(t, e.URL(t), e.URL(t)) })
	}
}

func deltaAfterARestore(t *testing.T, url, backup string) {
	s, tn, c := openAt(t, url)
	restored, tn2, c2 := openAt(t, backup)
	c2.add(time.Minute)
	create := func(s *store.Store, tn store.Tenant, c *clock, i int) {
		c.add(time.Second)
		if _, err := s.Create(t.Context(), tn, certstate.State{ID: edm.Str(fmt.Sprint(i))}, by); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		create(s, tn, c, i)
	}
	r, err := s.FirstRound(t.Context(), tn)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if _, err := restored.NextRound(t.Context(), tn2, r.Head); certstate.ErrorCode(err) != certstate.Gone {
			t.Errorf("after %d changes: %v", i, err)
		}
		create(restored, tn2, c2, i)
	}
}

// Everything is told once, the head is where it ends, and what is made and
// deleted within a round is told as deleted: a client may know it from a list.
func TestDeltaRounds(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn, _ := openAt(t, url)
		do := func(ids string) {
			t.Helper()
			for id := range strings.FieldsSeq(ids) {
				var err error
				if gone, ok := strings.CutPrefix(id, "-"); ok {
					err = s.Delete(t.Context(), tn, gone, nil, by)
				} else if _, err = s.Create(t.Context(), tn, certstate.State{ID: edm.Str(id)}, by); certstate.ErrorCode(err) == certstate.Conflict {
					st, _ := s.Get(t.Context(), tn, id, certstate.All)
					_, err = s.Update(t.Context(), tn, id, &certstate.State{KeyUsages: edm.Int(int32(st.KeyUsages.N + 1))}, 1<<10, nil, by)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		r, err := s.EmptyRound(t.Context(), tn)
		for _, tc := range []struct{ do, want string }{
			{"", ""},
			{"a b c", "a b c"},
			{"a a -b d", "a -b d"},
			{"e -e", "-e"},
			{"b -b b a -a a", "b a"},
			{"-a -b -c -d", "-a -b -c -d"},
			{"x x x x y -x -y x", "-y x"},
		} {
			do(tc.do)
			if err == nil {
				r, err = s.NextRound(t.Context(), tn, r.Head)
			}
			do("later later -later") // is for the next round
			got, err2 := tell(t, s, tn, r)
			if got = strings.TrimSpace(strings.TrimPrefix(got, "-later")); got != tc.want || err != nil || err2 != nil {
				t.Errorf("%s: told %q, want %q, %v, %v", tc.do, got, tc.want, err, err2)
			}
		}
		if r, err = s.FirstRound(t.Context(), tn); err != nil {
			t.Fatal(err)
		}
		do("z -x")
		if got, err := tell(t, s, tn, r); got != "x" || err != nil {
			t.Error(got, err)
		}
	})
}
