package faults

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
)

// owner is a client whose records nobody else changes, so that it knows what
// each answer must be. No operation of its may fail.
type owner struct {
	load   *load
	number int
	report func(*operation)
	broken bool // an operation failed: what it knows is no more to be relied on
}

// own has several owners work until ctx ends.
func (l *load) own(ctx context.Context, t testing.TB, owners int) {
	var wg sync.WaitGroup
	for n := range owners {
		w := owner{load: l, number: n, report: func(o *operation) {
			t.Errorf("%s of %q (If-Match %q), sent %d times, is %s: %s", o.kind, o.id, o.match, o.repeats+1, o.outcome, o.detail)
		}}
		wg.Go(func() {
			for life := 0; ctx.Err() == nil && !w.broken; life++ {
				w.live(fmt.Sprint("own ", n, " ", life))
			}
		})
	}
	wg.Wait()
}

// live takes a record through its life.
func (w *owner) live(id string) {
	created := w.do(operation{kind: create, id: id, value: w.load.writes.next()})
	w.reads(created)
	updated := w.do(operation{kind: update, id: id, value: w.load.writes.next(), match: created.etag})
	w.reads(updated)
	w.reads(w.do(operation{kind: update, id: id, value: w.load.writes.next()}))
	w.do(operation{kind: remove, id: id})
}

// reads reads what was just written.
func (w *owner) reads(o operation) {
	if is := w.do(operation{kind: get, id: o.id}); is.value != o.value || is.etag != o.etag {
		w.failed(&is)
	}
}

func (w *owner) failed(o *operation) {
	if !w.broken {
		w.report(o)
	}
	w.broken = true
}

func (w *owner) do(o operation) operation {
	o.client = w.number
	if o.writes() { // whoever sends it again, and they do, gets the first answer
		o.once = uuid.NewString()
	}
	o.called = w.load.history.now()
	w.load.client.perform(context.Background(), w.load.servers[0], &o)
	o.returned = w.load.history.now()
	if o.outcome != done {
		w.failed(&o)
	}
	w.load.history.add(o)
	return o
}
