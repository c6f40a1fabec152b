package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
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

// audit follows to the end, compares what is held then with the table, and says
// what was wrong.
func (f *follower) audit(ctx context.Context, table map[string]version) []string {
	for left := 2; left > 0; { // the round under way may have begun before the last change
		ended, err := f.step(ctx)
		if err != nil {
			return append(f.faults, err.Error())
		}
		if ended {
			left--
		}
	}
	for id := range table {
		if f.held[id] != table[id] {
			f.faults = append(f.faults, fmt.Sprintf("after %d rounds of delta %q is %v, in the table it is %v", f.rounds, id, f.held[id], table[id]))
		}
		delete(f.held, id)
	}
	for id, v := range f.held {
		f.faults = append(f.faults, fmt.Sprintf("after %d rounds of delta %q is %v, in the table it is not", f.rounds, id, v))
	}
	return f.faults
}
