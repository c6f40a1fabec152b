package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"certstate/store"
)

// load is what keeps the server from taking on more than it can do: turns for
// requests, memory for bodies, and the count of what was shed. A request gets
// its turn when its body has been read and gives it back before its answer is
// sent, so that slow clients hold none.
type load struct {
	reads, writes *store.Lane
	bodies        atomic.Int64 // bytes of bodies that are held
	delayed       atomic.Int64 // shed requests that were not answered yet
	shed          atomic.Int64 // not logged yet
	log           *slog.Logger
}

// Waiting is how many requests wait for their turn.
func (s *Server) Waiting() (reads, writes int) {
	return s.load.reads.Len(), s.load.writes.Len()
}

// DefaultInFlight is how many requests that read, and how many that write, are
// worked on or wait, unless Config says otherwise.
func DefaultInFlight() int { return min(max(256*runtime.GOMAXPROCS(0), 512), 4096) }

const (
	// Reads share a few connections. There are turns for twice as many as may wait
	// for a long query's turn in the store.
	leastReads = 128
	readTurns  = 64  // for each processor
	writeTurns = 512 // at most two transactions' worth: one is filled while the other is on its way to the disk

	// maxBodies bounds the bodies held at once beyond the first freeBody bytes of
	// each, in bytes.
	maxBodies = 128 << 20
	freeBody  = 64 << 10

	// An answer to a request that is shed, or one too many of its tenant's, is held
	// back: clients that send the next one at once would keep the server busy with
	// refusals. shedDelay is the least; the more are held, the longer each is, so
	// that about shedRate a second leave for each processor, up to maxShedDelay. At
	// most maxDelayed are held.
	shedDelay    = 50 * time.Millisecond
	maxShedDelay = time.Second
	shedRate     = 1000
	maxDelayed   = 4096
)

func newLoad(inFlight int, log *slog.Logger) *load {
	of := func(turns int) *store.Lane {
		turns = min(turns, max(1, inFlight/2))
		return store.NewLane(turns, inFlight-turns)
	}
	return &load{reads: of(max(leastReads, readTurns*runtime.GOMAXPROCS(0))), writes: of(writeTurns), log: log}
}

// lane is where requests of a route wait; nil for those that have no turns: a
// batch's requests have one each, and what anybody may read is in memory.
func (l *load) lane(rt *route) *store.Lane {
	switch {
	case rt.anonymous() || rt.pattern == batch:
		return nil
	case rt.method == http.MethodGet:
		return l.reads
	}
	return l.writes
}

// enter reads the body, if the route takes one, and waits for the request's
// turn.
func (x *exchange) enter() error {
	turns := x.s.load.lane(x.route)
	if turns != nil && turns.Full(x.tenant.ID) {
		return store.ErrShed
	}
	if err := x.receive(); err != nil || turns == nil {
		return err
	}
	if err := turns.Take(x.r.Context(), x.tenant.ID); err != nil {
		return err
	}
	x.turn = turns
	return nil
}

// leave gives the request's turn back, if it has one.
func (x *exchange) leave() {
	if x.turn != nil {
		x.turn.Give()
		x.turn = nil
	}
}

// overCapacity marks the context of a connection.
type overCapacity struct{}

// OverCapacity marks a connection that is one too many, by the context of its
// requests: health is told on it, and all else refused.
func OverCapacity(ctx context.Context) context.Context {
	return context.WithValue(ctx, overCapacity{}, true)
}

// tooMany reports whether the request came on such a connection, which is closed
// then.
func (x *exchange) tooMany() bool {
	surplus := x.r.Context().Value(overCapacity{}) != nil
	if surplus {
		x.w.Header().Set("Connection", "close")
	}
	return surplus
}

// isShed reports whether err refuses a request for there being too many.
func isShed(err error) bool { return errors.Is(err, store.ErrShed) }

// hold keeps the answer to a request that is shed back for a moment.
func (l *load) hold(ctx context.Context) {
	defer l.delayed.Add(-1)
	held := l.delayed.Add(1)
	if held > maxDelayed {
		return
	}
	late := time.NewTimer(heldFor(held))
	defer late.Stop()
	select {
	case <-late.C:
	case <-ctx.Done():
	}
}

// heldFor is how long an answer is held back when so many are.
func heldFor(held int64) time.Duration {
	paced := time.Duration(held) * time.Second / time.Duration(shedRate*runtime.GOMAXPROCS(0))
	return min(max(shedDelay, paced), maxShedDelay)
}

// count counts a request that was shed. They have one line in the log together, a
// second later.
func (l *load) count() {
	if l.shed.Add(1) == 1 {
		time.AfterFunc(time.Second, func() {
			l.log.Warn("over capacity: requests were answered 503", "requests", l.shed.Swap(0))
		})
	}
}

// heldReader counts what is read of a body, and fails once all bodies together
// hold too much.
type heldReader struct {
	io.Reader
	x *exchange
}

func (r heldReader) Read(b []byte) (n int, err error) {
	n, err = r.Reader.Read(b)
	if !r.x.s.load.keep(&r.x.held, int64(n)) {
		err = store.ErrShed
	}
	return n, err
}

// keep adds n bytes to those of a body that are held, and reports whether there
// is memory for them.
func (l *load) keep(held *int64, n int64) bool {
	before := max(*held, freeBody)
	*held += n
	more := *held - before
	return more <= 0 || l.bodies.Add(more) <= maxBodies
}

// release gives the memory of a body back.
func (l *load) release(held int64) {
	if held > freeBody {
		l.bodies.Add(freeBody - held)
	}
}
