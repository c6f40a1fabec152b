package api

import (
	"container/list"
	"context"
	"sync"
	"time"

	"certstate"
)

// lane lets requests of one kind in, as many at once as the server does well
// with. Some more wait for their turn, tenant by tenant, so that a tenant with few
// requests does not wait behind all of one with many; if those who wait fill the
// room there is, the tenant with most of them gives way. The rest is shed.
type lane struct {
	mu      sync.Mutex
	free    int // turns nobody has; 0 while anybody waits
	room    int // how many may wait
	waiting int
	queues  map[string]*queue // by tenant; none is empty
	round   list.List         // of the queues, the next one first
}

// queue is a tenant's requests that wait, the next one first.
type queue struct {
	list.List               // of *waiter
	at        *list.Element // in round
}

// waiter is a request that waits.
type waiter struct {
	tenant string
	at     *list.Element // in its queue
	turn   chan bool     // true: it is its turn; false: it was shed
}

func newLane(turns, room int) *lane {
	return &lane{free: turns, room: room, queues: map[string]*queue{}}
}

// maxWait bounds the wait for a turn.
const maxWait = 5 * time.Second

var errShed = certstate.Errorf(certstate.Unavailable, "", "The server is answering as many requests as it can. Try again.")

// full reports whether take would shed a request of the tenant.
func (l *lane) full(tenant string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.free == 0 && l.waiting >= l.room && l.longest(tenant) == ""
}

// take returns once it is the request's turn, after which give must be called.
// Its error is errShed, or says that nobody waits any more.
func (l *lane) take(ctx context.Context, tenant string) error {
	w, err := l.join(tenant)
	if w == nil {
		return err
	}
	late := time.NewTimer(maxWait)
	defer late.Stop()
	err = errShed
	select {
	case turn := <-w.turn:
		if turn {
			err = nil
		}
		return err
	case <-late.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if l.forget(w) {
		l.give() // its turn came at this moment
	}
	return err
}

// join takes a free turn, or a place among those who wait.
func (l *lane) join(tenant string) (*waiter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free > 0 {
		l.free--
		return nil, nil //nolint:nilnil // nobody has to wait
	}
	if l.waiting >= l.room {
		most := l.longest(tenant)
		if most == "" {
			return nil, errShed
		}
		last := l.queues[most].Back().Value.(*waiter)
		l.remove(last)
		last.turn <- false
	}
	q := l.queues[tenant]
	if q == nil {
		q = &queue{}
		q.at = l.round.PushBack(q)
		l.queues[tenant] = q
	}
	w := &waiter{tenant: tenant, turn: make(chan bool, 1)}
	w.at = q.PushBack(w)
	l.waiting++
	return w, nil
}

// longest is the tenant with most requests waiting, if it would still have as
// many as this one after giving a place to it; else "".
func (l *lane) longest(tenant string) (most string) {
	n := 1
	if q := l.queues[tenant]; q != nil {
		n += q.Len()
	}
	for t, q := range l.queues {
		if q.Len() > n {
			most, n = t, q.Len()
		}
	}
	return most
}

// give ends a turn: the next tenant's first request has it.
func (l *lane) give() {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.round.Front()
	if first == nil {
		l.free++
		return
	}
	l.round.MoveToBack(first)
	w := first.Value.(*queue).Front().Value.(*waiter)
	l.remove(w)
	w.turn <- true
}

// forget gives a place up, and reports whether the turn came before that.
func (l *lane) forget(w *waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case turn := <-w.turn:
		return turn
	default:
		l.remove(w)
		return false
	}
}

// len is how many wait.
func (l *lane) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting
}

// remove takes a waiter out. Its caller holds the lock.
func (l *lane) remove(w *waiter) {
	q := l.queues[w.tenant]
	q.Remove(w.at)
	l.waiting--
	if q.Len() == 0 {
		l.round.Remove(q.at)
		delete(l.queues, w.tenant)
	}
}
