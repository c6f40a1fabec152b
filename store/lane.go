package store

import (
	"container/list"
	"context"
	"sync"
	"time"

	"certstate"
)

// Lane lets requests of one kind in, as many at once as the server does well
// with. Some more wait for their turn, tenant by tenant, so that a tenant with few
// requests does not wait behind all of one with many; if those who wait fill the
// room there is, the tenant with most of them gives way. The rest is shed.
type Lane struct {
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

// NewLane makes a lane of so many turns, with room for so many to wait.
func NewLane(turns, room int) *Lane {
	return &Lane{free: turns, room: room, queues: map[string]*queue{}}
}

// maxWait bounds the wait for a turn.
const maxWait = 5 * time.Second

// ErrShed refuses a request for there being too many.
var ErrShed = certstate.Errorf(certstate.Unavailable, "", "The server is answering as many requests as it can. Try again.")

// Full reports whether Take would shed a request of the tenant.
func (l *Lane) Full(tenant string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.free == 0 && l.waiting >= l.room && l.longest(tenant) == ""
}

// Take returns once it is the request's turn, after which Give must be called.
// Its error is ErrShed, or says that nobody waits any more.
func (l *Lane) Take(ctx context.Context, tenant string) error {
	w, err := l.join(tenant)
	if w == nil {
		return err
	}
	late := time.NewTimer(maxWait)
	defer late.Stop()
	err = ErrShed
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
		l.Give() // its turn came at this moment
	}
	return err
}

// join takes a free turn, or a place among those who wait.
func (l *Lane) join(tenant string) (*waiter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free > 0 {
		l.free--
		return nil, nil //nolint:nilnil // nobody has to wait
	}
	if l.waiting >= l.room {
		most := l.longest(tenant)
		if most == "" {
			return nil, ErrShed
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
func (l *Lane) longest(tenant string) (most string) {
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

// Give ends a turn: the next tenant's first request has it.
func (l *Lane) Give() {
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
func (l *Lane) forget(w *waiter) bool {
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

// Len is how many wait.
func (l *Lane) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting
}

// remove takes a waiter out. Its caller holds the lock.
func (l *Lane) remove(w *waiter) {
	q := l.queues[w.tenant]
	q.Remove(w.at)
	l.waiting--
	if q.Len() == 0 {
		l.round.Remove(q.at)
		delete(l.queues, w.tenant)
	}
}
