package faults

import (
	"fmt"
	"sync"
	"time"
)

// kind is what an operation does.
type kind string

const (
	create kind = "create"
	get    kind = "get"
	update kind = "update"
	remove kind = "delete"
)

// outcome is what its client knows of an operation.
type outcome string

const (
	done     outcome = "done"
	conflict outcome = "conflict" // 409: the id is in use
	absent   outcome = "absent"   // 404
	mismatch outcome = "mismatch" // 412: If-Match names another version
	refused  outcome = "refused"  // turned away: nothing has happened
	unknown  outcome = "unknown"  // it may happen yet
	wrong    outcome = "wrong"    // an answer that there must not be
)

// answered reports whether the register said what it did.
func (o outcome) answered() bool { return o == done || o == conflict || o == absent || o == mismatch }

// operation is one request and what became of it.
type operation struct {
	kind    kind
	id      string // "" for a create whose id the server makes, until it has
	value   string // what a write writes, or what a get saw
	match   string // If-Match, "" without
	once    string // Repeatability-Request-ID, "" without
	etag    string // of the record as the answer has it
	outcome outcome
	detail  string // of an outcome that is not expected
	client  int
	repeats int // how often its client sent it again

	called, returned time.Duration // since the history began
}

// writes reports whether the operation changes a record if it is done.
func (o *operation) writes() bool { return o.kind != get }

// history is what clients did, in the order in which it ended.
type history struct {
	began time.Time

	mu         sync.Mutex
	more       sync.Cond
	operations []operation
	answered   int
	written    int // of the answered, those that write
}

func newHistory() *history {
	h := &history{began: time.Now()}
	h.more.L = &h.mu
	return h
}

// now is the time as operations have it.
func (h *history) now() time.Duration { return time.Since(h.began) }

// add takes an operation that has returned.
func (h *history) add(o operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, o)
	if o.outcome.answered() {
		h.answered++
		if o.writes() {
			h.written++
		}
		h.more.Broadcast()
	}
}

// await returns once so many operations have been answered.
func (h *history) await(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.answered < n {
		h.more.Wait()
	}
}

// awaitMore returns once so many operations more have been answered.
func (h *history) awaitMore(n int) error {
	return h.awaitNumber(n, "answers more", func() int { return h.answered })
}

// awaitWritten returns once so many operations more that write have been answered.
func (h *history) awaitWritten(n int) error {
	return h.awaitNumber(n, "writes more", func() int { return h.written })
}

// awaitAsked returns once so many operations more have ended, whatever came of them.
func (h *history) awaitAsked(n int) error {
	return h.awaitNumber(n, "operations more", func() int { return len(h.operations) })
}

func (h *history) awaitNumber(n int, what string, number func() int) error {
	now := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return number()
	}
	had := now()
	return await(fmt.Sprint(n, " ", what), patience, func() bool { return now() >= had+n })
}

// await returns once something is so, or an error if it is not in time.
func await(what string, within time.Duration, so func() bool) error {
	for deadline := time.Now().Add(within); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: %s", within, what)
		}
	}
	return nil
}

// count is how many operations had an outcome.
func (h *history) count(want outcome) (n int) {
	for i := range h.operations {
		if h.operations[i].outcome == want {
			n++
		}
	}
	return n
}
