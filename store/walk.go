package store

import (
	"context"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/odata"
)

// A statement of Walk reads so many records, at first and at most: more each
// time, as long as fn takes them all. What fn does not take was read for nothing.
const (
	firstWalkPage = 500
	walkPage      = 20_000
)

// A page after the first waits up to walkPatience for its turn: the reader has
// most of an answer by then.
const (
	walkPatience = time.Minute
	walkRetry    = 200 * time.Millisecond
)

// Moment is the number of the last change that the query is to be answered
// after: at the time it names, or the newest.
func (s *Store) Moment(ctx context.Context, t Tenant, q *odata.Query) (int64, error) {
	if q.AsOf != nil {
		return s.AsOf(ctx, t, *q.AsOf)
	}
	l, err := s.logState(ctx, t)
	return l.n, err
}

// Walk calls fn for every record that the query selects, in its order, as they
// were after change asOf, which Moment finds; for $top of them if it is given.
// The State passed to fn is reused. Pages are read by statements of their own:
// fn may end one by returning ErrEndPage, and after each Walk calls flush, when
// nothing is held open in the database, so that flush may take its time. It
// fails with Invalid if history is pruned up to that change meanwhile.
func (s *Store) Walk(ctx context.Context, t Tenant, q *odata.Query, now edm.DateTimeOffset, asOf int64, fn func(*certstate.State) error, flush func() error) error {
	if len(q.Order) > 0 {
		return s.walkSorted(ctx, t, q, now, asOf, fn, flush)
	}
	at := Position{Now: now.Ticks, AsOf: &asOf, Epoch: t.Epoch}
	size, left := firstWalkPage, q.Top
	for first := true; ; first = false {
		wanted := size
		if q.Top > 0 {
			wanted = min(size, left)
		}
		passed := 0
		page, err := s.walkPage(ctx, t, q, at, wanted, first, func(st *certstate.State) error {
			passed++
			return fn(st)
		})
		if err == nil {
			err = flush()
		}
		left -= passed
		if err != nil || !page.More || q.Top > 0 && left == 0 {
			return err
		}
		at = page.Next
		if size = passed; passed == wanted {
			size = min(2*passed, walkPage)
		}
	}
}

// walkPage reads a page, and waits for its turn longer than List does unless it
// is the first.
func (s *Store) walkPage(ctx context.Context, t Tenant, q *odata.Query, at Position, size int, first bool, fn func(*certstate.State) error) (Page, error) {
	until := time.Now().Add(walkPatience)
	for {
		began := false
		page, err := s.List(ctx, t, q, at, size, func(st *certstate.State) error {
			began = true
			return fn(st)
		})
		if first || began || certstate.ErrorCode(err) != certstate.Unavailable || time.Now().After(until) {
			return page, err
		}
		select {
		case <-ctx.Done():
			return page, ctx.Err()
		case <-time.After(walkRetry):
		}
	}
}
