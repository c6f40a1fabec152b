package faults

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"
)

// follower follows the register by delta, whatever happens to its servers.
type follower struct {
	client  *client
	servers []string
	next    string             // the link to go on with
	held    map[string]version // what it was told so far
	round   map[string]bool    // ids told in this round
	last    int64              // number told last in this round
	rounds  int
	faults  []string
}

func newFollower(c *client, servers []string) *follower {
	return &follower{client: c, servers: servers, next: collection + "/delta?$top=5", held: map[string]version{}, round: map[string]bool{}}
}

// follow reads round after round until ctx ends. A page that cannot be had is
// asked for again.
func (f *follower) follow(ctx context.Context) {
	for ctx.Err() == nil {
		if ended, err := f.step(ctx); err != nil || ended {
			time.Sleep(5 * time.Millisecond) // there was nothing more, or nobody to ask
		}
	}
}

// step reads a page and reports whether it was the last of its round.
func (f *follower) step(ctx context.Context) (ended bool, err error) {
	page, err := f.client.page(ctx, f.servers[rand.IntN(len(f.servers))], f.next)
	if err != nil {
		return false, err
	}
	for i := range page.Value {
		f.told(&page.Value[i])
	}
	if f.next = page.Next; page.Delta == "" {
		return false, nil
	}
	f.next, f.round, f.last = page.Delta, map[string]bool{}, 0
	f.rounds++
	return true, nil
}

func (f *follower) told(r *record) {
	if f.round[r.ID] {
		f.faults = append(f.faults, fmt.Sprintf("%s is told twice in round %d", r.ID, f.rounds))
	}
	f.round[r.ID] = true
	if r.Removed != nil {
		delete(f.held, r.ID)
		return
	}
	v := version{r.Name, r.ETag}
	if n := v.number(); f.rounds > 0 && n <= f.last || n <= f.held[r.ID].number() {
		f.faults = append(f.faults, fmt.Sprintf("round %d: change %d of %s comes after %d, and after %v of it", f.rounds, n, r.ID, f.last, f.held[r.ID]))
	}
	f.last = v.number()
	f.held[r.ID] = v
}

// audit follows to the end, and compares what is held then with the table.
// Nothing may change meanwhile.
func (f *follower) audit(t testing.TB, table map[string]version) {
	t.Helper()
	for ended := false; !ended; {
		var err error
		if ended, err = f.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !maps.Equal(f.held, table) {
		t.Errorf("after %d rounds of delta\n%v is held, the table is\n%v", f.rounds, f.held, table)
	}
	for _, fault := range f.faults {
		t.Error(fault)
	}
}
