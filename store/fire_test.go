package store_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"sync"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
)

var fireKills = flag.Int("fire-kills", 8, "kill -9s of TestDeltaUnderFire")

// TestDeltaUnderFire follows the register by delta while sixteen writers in
// another process change it and that process is killed again and again. What a
// follower holds after a round is what the change log says there was at the
// round's head: nothing missed, nothing twice, in order, from any link, with a
// filter or without.
func TestDeltaUnderFire(t *testing.T) {
	if url := os.Getenv("FIRE_DATABASE"); url != "" {
		fireChild(t, url)
		return
	}
	if testing.Short() {
		*fireKills = 3
	}
	eachEngine(t, deltaUnderFire)
}

func deltaUnderFire(t *testing.T, url string) {
	kill := startFire(t, url)
	s, tn := open(t, url)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	followers := []*follower{newFollower(s, tn, "", 0), newFollower(s, tn, "certificateKeyUsages ge 3", 3)}
	for _, f := range followers {
		wg.Go(func() {
			for ctx.Err() == nil && !t.Failed() {
				f.round(t)
			}
		})
	}
	for n := range *fireKills {
		time.Sleep(time.Duration(50+rand.IntN(600)) * time.Millisecond)
		kill()
		if n < *fireKills-1 && !t.Failed() {
			kill = startFire(t, url)
		}
	}
	stop()
	wg.Wait()
	for _, f := range followers { // nobody writes any more
		f.round(t)
		f.equalsTable(t)
		t.Logf("%d rounds, %d pages, %d records told, to change %d", f.rounds, f.pages, f.told, f.mark.N)
		if f.rounds < *fireKills || f.told < 100 {
			t.Error("the test saw next to nothing")
		}
	}
	if err := s.Verify(t.Context(), func(int64) {}); err != nil {
		t.Error(err)
	}
}

// startFire starts a process of writers and returns once it writes, with what
// kills it.
func startFire(t *testing.T, url string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestDeltaUnderFire$")
	cmd.Env = append(os.Environ(), "FIRE_DATABASE="+url)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(out)
	if !sc.Scan() || sc.Text() != "writing" {
		_ = cmd.Wait()
		t.Fatalf("the writers did not start: %q", sc.Text())
	}
	return func() {
		_ = cmd.Process.Kill()
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
			t.Errorf("the writers ended by themselves: %v", err)
		}
	}
}

// fireChild writes until it is killed. Each writer has ten records of its own;
// a record's key usages count its changes since it was created.
func fireChild(t *testing.T, url string) {
	s, err := store.Open(t.Context(), url, store.Options{Serve: true, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddTenant(t.Context(), tenantID, ""); err != nil {
		t.Fatal(err)
	}
	tn := tenant(t, s, tenantID)
	for w := range 16 {
		go func() {
			for {
				if err := fireStep(t.Context(), s, tn, fmt.Sprintf("%d-%d", w, rand.IntN(10))); err != nil {
					fmt.Println("error", err)
					os.Exit(3)
				}
			}
		}()
	}
	fmt.Println("writing")
	select {}
}

func fireStep(ctx context.Context, s *store.Store, tn store.Tenant, id string) error {
	st, err := s.Get(ctx, tn, id, certstate.All)
	switch {
	case certstate.ErrorCode(err) == certstate.NotFound:
		_, err = s.Create(ctx, tn, certstate.State{ID: edm.Str(id), KeyUsages: edm.Int(1)}, by)
	case err != nil:
	case rand.IntN(4) == 0:
		err = s.Delete(ctx, tn, id, nil, by)
	default:
		keyUsages, _ := certstate.Lookup("certificateKeyUsages")
		_, err = s.Update(ctx, tn, id, &certstate.State{KeyUsages: edm.Int(int32(st.KeyUsages.N + 1))}, 1<<keyUsages, nil, by)
	}
	return err
}

// version is a record as a follower holds it.
type version struct{ ver, value int64 }

// follower holds what delta told it, and what the log says there was.
type follower struct {
	s     *store.Store
	tn    store.Tenant
	query odata.Query
	least int64 // value that passes the filter

	mark  store.Mark
	held  map[string]version // nil: nothing was told yet
	saved *follower          // an earlier self, to go on from

	logged int64
	log    map[string]version

	rounds, pages, told int
}

func newFollower(s *store.Store, tn store.Tenant, filter string, least int64) *follower {
	text := ""
	if filter != "" {
		text = "$filter=" + url.QueryEscape(filter)
	}
	q, err := odata.ParseQuery(text, odata.DeltaOptions)
	if err != nil {
		panic(err)
	}
	q.Select = certstate.All
	return &follower{s: s, tn: tn, query: q, least: least, log: map[string]version{}}
}

// round follows one round to its end, sometimes from an earlier link or from
// the beginning, and checks what is held then.
func (f *follower) round(t *testing.T) {
	switch f.rounds++; rand.IntN(10) {
	case 0:
		f.held = nil
	case 1:
		f.saved = &follower{mark: f.mark, held: maps.Clone(f.held)}
	case 2:
		if f.saved != nil {
			f.mark, f.held = f.saved.mark, maps.Clone(f.saved.held)
		}
	}
	var r store.Round
	var err error
	if f.held == nil {
		f.held = map[string]version{}
		r, err = f.s.FirstRound(t.Context(), f.tn)
	} else {
		r, err = f.s.NextRound(t.Context(), f.tn, f.mark)
	}
	seen, last := map[string]bool{}, int64(0)
	for more := true; more && err == nil; {
		var page []store.Told
		page, r, more, err = f.page(t, r)
		for _, told := range page {
			if seen[told.ID] {
				t.Errorf("%s is told twice in a round", told.ID)
			}
			seen[told.ID] = true
			if told.State == nil {
				delete(f.held, told.ID)
				continue
			}
			if r.From >= 0 && told.State.Version <= last {
				t.Errorf("version %d of %s follows %d", told.State.Version, told.ID, last)
			}
			last = told.State.Version
			f.held[told.ID] = version{told.State.Version, told.State.KeyUsages.N}
		}
		f.told += len(page)
	}
	if err != nil {
		t.Error(err)
		return
	}
	f.mark = r.Head
	f.check(t)
}

// page reads a page; some are read twice and must be the same.
func (f *follower) page(t *testing.T, r store.Round) (page []store.Told, next store.Round, more bool, err error) {
	limit := 1 + rand.IntN(40)
	read := func() (page []store.Told, next store.Round, more bool, err error) {
		next, more, err = f.s.Delta(t.Context(), f.tn, &f.query, r, limit, func(told store.Told) error {
			if told.State != nil {
				st := *told.State
				told.State = &st
			}
			page = append(page, told)
			return nil
		})
		return page, next, more, err
	}
	f.pages++
	page, next, more, err = read()
	if rand.IntN(4) == 0 && err == nil {
		again, next2, more2, err := read()
		if err != nil || next2 != next || more2 != more || !reflect.DeepEqual(again, page) {
			t.Errorf("a link gave %v and then %v, %v", page, again, err)
		}
	}
	return page, next, more, err
}

// check compares what is held with what the log says there was at the mark.
func (f *follower) check(t *testing.T) {
	if f.mark.N < f.logged { // an earlier link, followed before anything else happened
		f.logged, f.log = 0, map[string]version{}
	}
	if f.mark.N > f.logged {
		if err := f.s.Changes(t.Context(), f.tn, f.logged, int(f.mark.N-f.logged), func(c *certstate.Change) error {
			if c.Seq != f.logged+1 {
				return fmt.Errorf("change %d follows %d", c.Seq, f.logged)
			}
			f.logged = c.Seq
			if c.Kind == certstate.DeletedKind {
				delete(f.log, c.ID)
			} else {
				f.log[c.ID] = version{c.Seq, f.log[c.ID].value + 1}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	want := map[string]version{}
	for id, v := range f.log {
		if v.value >= f.least {
			want[id] = v
		}
	}
	if !maps.Equal(f.held, want) {
		t.Errorf("at change %d a follower holds\n%v\nwant\n%v", f.mark.N, f.held, want)
	}
}

// equalsTable compares what is held with the table.
func (f *follower) equalsTable(t *testing.T) {
	table := map[string]version{}
	if _, err := f.s.List(t.Context(), f.tn, &odata.Query{Select: certstate.All}, store.Position{}, 1<<30, func(st *certstate.State) error {
		if st.KeyUsages.N >= f.least {
			table[st.ID.S] = version{st.Version, st.KeyUsages.N}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(f.held, table) {
		t.Errorf("a follower holds\n%v\nthe table has\n%v", f.held, table)
	}
}
