package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/store"
	"certstate/store/storetest"
)

// onceNow is a request of that name, first sent now.
func onceNow(name string) *certstate.Once {
	return &certstate.Once{Key: sha256.Sum256([]byte(name)), First: edm.Time(time.Now().UTC())}
}

// asking is the cause of a change that a request of that name asks for.
func asking(name string) certstate.Cause {
	return certstate.Cause{Actor: by.Actor, Reason: by.Reason, Once: onceNow(name)}
}

func openRepeating(t *testing.T, url string, o store.Options) *store.Store {
	t.Helper()
	o.Log = quiet
	if o.Repeats == 0 {
		o.Repeats = 5 * time.Minute
	}
	s, err := store.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// enrolled is a tenant of that id, enrolled.
func enrolled(t *testing.T, s *store.Store, id string) store.Tenant {
	t.Helper()
	if _, err := s.AddTenant(t.Context(), id, ""); err != nil {
		t.Fatal(err)
	}
	return tenant(t, s, id)
}

// logged is how many changes the tenant's log has.
func logged(t *testing.T, s *store.Store, tn store.Tenant) (n int) {
	t.Helper()
	if err := s.Changes(t.Context(), tn, 0, 1<<30, func(*certstate.Change) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

const otherTenant = "22222222-2222-4333-8444-555555555555"

// A repeated request changes nothing, is answered as the first was although the
// record has changed since, and is known after a restart, to another server and
// in a restored database.
func TestRepeated(t *testing.T) {
	name, _ := certstate.Lookup("managedDeviceDisplayName")
	renamed := func(s *store.Store, tn store.Tenant, id, to string, by certstate.Cause) (*certstate.State, error) {
		return s.Update(t.Context(), tn, id, &certstate.State{DeviceName: edm.Str(to)}, 1<<name, nil, by)
	}
	eachEngine(t, func(t *testing.T, url string) {
		s := openRepeating(t, url, store.Options{})
		tn := enrolled(t, s, tenantID)
		made, err := s.Create(t.Context(), tn, certstate.State{DeviceName: edm.Str("one")}, asking("create"))
		if err != nil {
			t.Fatal(err)
		}
		first := *made
		second, err := renamed(s, tn, first.ID.S, "two", asking("update"))
		if err != nil {
			t.Fatal(err)
		}
		same, err := renamed(s, tn, first.ID.S, "two", asking("no change"))
		if err != nil || same.Version != second.Version {
			t.Fatal(same, err)
		}
		if _, err := renamed(s, tn, first.ID.S, "three", by); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(t.Context(), tn, first.ID.S, nil, asking("delete")); err != nil {
			t.Fatal(err)
		}
		again := func(t *testing.T, s *store.Store) {
			t.Helper()
			tn := tenant(t, s, tenantID)
			if got, err := s.Create(t.Context(), tn, certstate.State{DeviceName: edm.Str("one")}, asking("create")); err != nil || *got != first {
				t.Errorf("create: %+v, want %+v, %v", got, first, err)
			}
			for _, request := range []string{"update", "no change"} {
				if got, err := renamed(s, tn, first.ID.S, "two", asking(request)); err != nil || *got != *second {
					t.Errorf("%s: %+v, want %+v, %v", request, got, second, err)
				}
			}
			if err := s.Delete(t.Context(), tn, first.ID.S, nil, asking("delete")); err != nil {
				t.Errorf("delete: %v", err)
			}
			if n := logged(t, s, tn); n != 4 {
				t.Errorf("%d changes, want 4", n)
			}
			if err := s.Verify(t.Context(), quietly); err != nil {
				t.Error(err)
			}
		}
		again(t, s)
		other := enrolled(t, s, otherTenant)
		if got, err := s.Create(t.Context(), other, certstate.State{DeviceName: edm.Str("one")}, asking("create")); err != nil || got.ID == first.ID {
			t.Errorf("another tenant's request of that id got %+v, %v", got, err)
		}
		var kept bytes.Buffer
		if _, err := s.Backup(t.Context(), &kept, quietly); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		again(t, openRepeating(t, url, store.Options{}))
		for _, e := range storetest.Engines {
			t.Run("restored into "+e.Name, func(t *testing.T) {
				s := openRepeating(t, e.URL(t), store.Options{Serve: true})
				if _, err := s.Restore(t.Context(), bytes.NewReader(kept.Bytes()), quietly); err != nil {
					t.Fatal(err)
				}
				again(t, s)
			})
		}
	})
}

// The same request sent many times at once, to two servers, is carried out once,
// and all hear the same.
func TestRepeatedAtOnce(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		servers := []*store.Store{openRepeating(t, url, store.Options{}), openRepeating(t, url, store.Options{})}
		tn := enrolled(t, servers[0], tenantID)
		const requests, times = 20, 8
		for r := range requests {
			var answers sync.Map
			var wg sync.WaitGroup
			by := asking(string(rune('a' + r)))
			for i := range times {
				wg.Go(func() {
					got, err := servers[i%2].Create(context.Background(), tn, certstate.State{DeviceName: edm.Str("d")}, by)
					if err != nil {
						t.Error(err)
						return
					}
					answers.Store(*got, true)
				})
			}
			wg.Wait()
			n := 0
			answers.Range(func(_, _ any) bool { n++; return true })
			if n != 1 {
				t.Fatalf("%d different answers to one request", n)
			}
		}
		if n := logged(t, servers[0], tn); n != requests {
			t.Errorf("%d changes, want %d", n, requests)
		}
	})
}

// A request that failed left nothing, and runs when it is sent again.
func TestRepeatedFailures(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s := openRepeating(t, url, store.Options{})
		tn := enrolled(t, s, tenantID)
		st := certstate.State{ID: edm.Str("late"), DeviceName: edm.Str("d")}
		name, _ := certstate.Lookup("managedDeviceDisplayName")
		for i, want := range []certstate.Code{certstate.NotFound, certstate.NotFound, -1, -1} {
			if i == 2 {
				if _, err := s.Create(t.Context(), tn, certstate.State{ID: st.ID}, by); err != nil {
					t.Fatal(err)
				}
			}
			_, err := s.Update(t.Context(), tn, "late", &st, 1<<name, nil, asking("update"))
			if (err == nil) != (want < 0) || err != nil && certstate.ErrorCode(err) != want {
				t.Errorf("try %d: %v", i, err)
			}
		}
		if n := logged(t, s, tn); n != 2 {
			t.Errorf("%d changes, want 2", n)
		}
	})
}

// What cannot be known to be the same request, or the first one, is refused.
func TestRepeatedWrongly(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s := openRepeating(t, url, store.Options{})
		tn := enrolled(t, s, tenantID)
		if _, err := s.Create(t.Context(), tn, certstate.State{}, asking("create")); err != nil {
			t.Fatal(err)
		}
		for what, c := range map[string]struct {
			change func(*certstate.Once)
			code   certstate.Code
			target string
		}{
			"another request": {func(o *certstate.Once) { o.Print[5]++ }, certstate.Invalid, store.RequestIDTarget},
			"too old":         {func(o *certstate.Once) { o.First.Ticks -= int64(301 * time.Second / 100) }, certstate.Precondition, store.FirstSentTarget},
			"to come":         {func(o *certstate.Once) { o.First.Ticks += int64(310 * time.Second / 100) }, certstate.Precondition, store.FirstSentTarget},
		} {
			by := asking("create")
			c.change(by.Once)
			_, err := s.Create(t.Context(), tn, certstate.State{}, by)
			if e, ok := errors.AsType[*certstate.Error](err); !ok || e.Code != c.code || e.Target != c.target {
				t.Errorf("%s: %v", what, err)
			}
		}
		if n := logged(t, s, tn); n != 1 {
			t.Errorf("%d changes, want 1", n)
		}
	})
}

// A create under the client's own id that is sent again is the first one; nothing
// else that meets the id is.
func TestCreatedAgain(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		var late atomic.Int64
		s := openRepeating(t, url, store.Options{Now: func() time.Time { return time.Now().Add(time.Duration(late.Load())) }})
		tn := enrolled(t, s, tenantID)
		create := func(st certstate.State, by certstate.Cause) (*certstate.State, error) {
			return s.Create(t.Context(), tn, st, by)
		}
		made, err := create(full(), by)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := create(full(), by); err != nil || *got != *made {
			t.Errorf("again: %+v, want %+v, %v", got, made, err)
		}
		conflicts := func(what string, change func(*certstate.State, *certstate.Cause)) {
			t.Helper()
			st, by := full(), by
			change(&st, &by)
			if got, err := create(st, by); certstate.ErrorCode(err) != certstate.Conflict {
				t.Errorf("%s: %+v, %v", what, got, err)
			}
		}
		nothing := func(*certstate.State, *certstate.Cause) {}
		conflicts("another actor", func(_ *certstate.State, by *certstate.Cause) { by.Actor = "app:other" })
		conflicts("another reason", func(_ *certstate.State, by *certstate.Cause) { by.Reason = "" })
		conflicts("null for empty", func(st *certstate.State, _ *certstate.Cause) { st.UserPrincipalName = edm.String{} })
		conflicts("another offset", func(st *certstate.State, _ *certstate.Cause) { st.NotAfter.Offset = 0 })
		late.Store(int64(6 * time.Minute))
		conflicts("late", nothing)
		late.Store(0)
		name, _ := certstate.Lookup("managedDeviceDisplayName")
		for _, to := range []string{"changed", full().DeviceName.S} {
			if _, err := s.Update(t.Context(), tn, full().ID.S, &certstate.State{DeviceName: edm.Str(to)}, 1<<name, nil, by); err != nil {
				t.Fatal(err)
			}
		}
		conflicts("changed and changed back", nothing)
		if n := logged(t, s, tn); n != 3 {
			t.Errorf("%d changes, want 3", n)
		}
	})
}

// Requests are forgotten once they are refused for their age, and no sooner.
func TestForget(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		var late atomic.Int64
		s := openRepeating(t, url, store.Options{Now: func() time.Time { return time.Now().Add(time.Duration(late.Load())) }})
		tn := enrolled(t, s, tenantID)
		first := asking("create")
		const others = 600 // more than one transaction forgets
		var wg sync.WaitGroup
		for i := range others {
			wg.Go(func() {
				if _, err := s.Create(t.Context(), tn, certstate.State{}, asking(string(rune(i+1000)))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if _, err := s.Create(t.Context(), tn, certstate.State{}, first); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			late time.Duration
			code certstate.Code // -1: answered
			left int
		}{
			{4 * time.Minute, -1, others + 1},
			{6 * time.Minute, certstate.Precondition, others + 1}, // by a server whose clock is behind it may be asked for
			{12 * time.Minute, certstate.Precondition, 0},
		} {
			late.Store(int64(c.late))
			if err := s.Forget(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n, err := s.Remembered(t.Context(), tn); err != nil || n != c.left {
				t.Errorf("after %s %d requests are remembered, want %d, %v", c.late, n, c.left, err)
			}
			_, err := s.Create(t.Context(), tn, certstate.State{}, first)
			if (err == nil) != (c.code < 0) || err != nil && certstate.ErrorCode(err) != c.code {
				t.Errorf("after %s: %v", c.late, err)
			}
		}
		if n := logged(t, s, tn); n != others+1 {
			t.Errorf("%d changes, want %d", n, others+1)
		}
	})
}
