package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// load is clients that work on a few records until they have had so many
// answers. Each request goes to any of the servers.
type load struct {
	client     *client
	servers    []string // URLs
	clients    int
	operations int
	history    *history
	followers  []*follower
	slots      []slot
	writes     counter
}

// counter gives each write its value.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) next() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return fmt.Sprint("value ", c.n)
}

const (
	keys = 8 // records that clients give ids
	made = 2 // and records that the server does
)

func newLoad(c *client, servers []string, operations int) *load {
	l := &load{client: c, servers: servers, clients: 16, operations: operations, history: newHistory(), slots: make([]slot, keys+made)}
	for i := range keys {
		l.slots[i].id = fmt.Sprint("key ", i)
	}
	for i := keys; i < keys+made; i++ {
		l.slots[i].made = true
	}
	return l
}

// slot is a record that clients work on.
type slot struct {
	made bool // its id is the server's: a create makes another record of it

	mu   sync.Mutex
	id   string
	seen [4]string // the ETags last seen, for If-Match
	n    int
}

// look is what an operation needs to know of the record; the ETag is often old.
func (s *slot) look() (id, etag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id, s.seen[rand.IntN(len(s.seen))]
}

func (s *slot) saw(o *operation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made && o.kind == create {
		s.id, s.seen = o.id, [4]string{}
	}
	if s.id == o.id {
		s.seen[s.n%len(s.seen)] = o.etag
		s.n++
	}
}

// run returns when all clients have ended, or ctx has.
func (l *load) run(ctx context.Context) {
	var wg sync.WaitGroup
	for n := range l.clients {
		wg.Go(func() {
			for ctx.Err() == nil && l.wanted() {
				if o := l.step(ctx, n); !o.outcome.answered() {
					n += l.clients                    // as if this client had ended: it knows no more what it did
					time.Sleep(10 * time.Millisecond) // a server is away
				}
			}
		})
	}
	wg.Wait()
}

func (l *load) wanted() bool {
	l.history.mu.Lock()
	defer l.history.mu.Unlock()
	return l.history.answered < l.operations
}

// step does one operation on one of the records.
func (l *load) step(ctx context.Context, client int) operation {
	slot := &l.slots[rand.IntN(len(l.slots))]
	o := operation{client: client}
	var etag string
	o.id, etag = slot.look()
	switch n := rand.IntN(100); {
	case o.id == "" || n < 15:
		o.kind = create
		if slot.made {
			o.id = ""
		}
	case n < 50:
		o.kind = get
	case n < 88:
		o.kind = update
	default:
		o.kind = remove
	}
	if o.kind == create || o.kind == update {
		o.value = l.writes.next()
	}
	if (o.kind == update || o.kind == remove) && rand.IntN(2) == 0 {
		o.match = etag
	}
	l.do(ctx, &o)
	if o.etag != "" {
		slot.saw(&o)
	}
	return o
}

// do performs an operation on any of the servers and puts it into the history.
func (l *load) do(ctx context.Context, o *operation) {
	server := l.servers[rand.IntN(len(l.servers))]
	o.called = l.history.now()
	l.client.perform(ctx, server, o)
	o.returned = l.history.now()
	l.history.add(*o)
}

// underFire runs the load, with faults spread evenly over its operations and a
// follower beside it.
func (l *load) underFire(t testing.TB, faults int, fault func() error) {
	t.Helper()
	f := newFollower(l.client, l.servers)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var working, following sync.WaitGroup
	working.Go(func() { l.run(ctx) })
	following.Go(func() { f.follow(ctx) })
	for n := range faults {
		l.history.await(l.operations * (n + 1) / (faults + 1))
		if err := fault(); err != nil {
			t.Error(err)
			stop()
			break
		}
	}
	working.Wait()
	stop()
	following.Wait()
	l.followers = []*follower{f, newFollower(l.client, l.servers)}
	t.Logf("%d operations, %d answered, %d turned away, %d unknown; %d rounds of delta", len(l.history.operations), l.history.answered,
		l.history.count(refused), l.history.count(unknown), f.rounds)
}

// while runs the load, and a follower beside it, until fn has returned.
func (l *load) while(t testing.TB, fn func() error) {
	t.Helper()
	f := newFollower(l.client, l.servers)
	ctx, stop := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() { f.follow(ctx) })
	l.during(t, fn)
	stop()
	following.Wait()
	l.followers = append(l.followers, f)
}

// during runs the load until fn has returned.
func (l *load) during(t testing.TB, fn func() error) {
	t.Helper()
	l.operations = 1 << 30
	var working sync.WaitGroup
	working.Go(func() { l.run(t.Context()) })
	if err := fn(); err != nil {
		t.Error(err)
	}
	l.enough()
	working.Wait()
	l.followers = append(l.followers, newFollower(l.client, l.servers))
	t.Logf("%d operations, %d answered, %d turned away, %d unknown", len(l.history.operations), l.history.answered,
		l.history.count(refused), l.history.count(unknown))
}

// enough has the clients end once they have the answers that they wait for.
func (l *load) enough() {
	l.history.mu.Lock()
	defer l.history.mu.Unlock()
	l.operations = 0
}

// settle reads every record that was ever known, once more, when no faults
// are made any longer.
func (l *load) settle(ctx context.Context) {
	ids := map[string]bool{}
	for _, o := range l.history.operations {
		ids[o.id] = true
	}
	delete(ids, "")
	for id := range ids {
		l.do(ctx, &operation{kind: get, id: id})
	}
}
