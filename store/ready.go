package store

import (
	"context"
	"time"

	"certstate"
)

// readyTime is how long Ready waits for the database.
const readyTime = 3 * time.Second

// Ready reports why the store cannot serve at the moment, or nil. Once the engine
// has refused a change, the store is not ready until it takes one; so that this is
// found out while nobody sends any, Ready has it tried.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	if s.closed.Load() {
		return errClosed
	}
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	if refused := s.refused.Load(); refused != nil {
		return s.try(ctx, *refused)
	}
	return s.read.PingContext(ctx)
}

// try has the writer write something of no meaning, and says why it cannot; the
// reason before, if another try is under way or it takes long.
func (s *Store) try(ctx context.Context, before error) error {
	if !s.trying.CompareAndSwap(false, true) {
		return before
	}
	tried := make(chan error, 1)
	go func() {
		defer s.trying.Store(false)
		err := s.do(context.Background(), (*tx).scribble)
		if err == nil {
			s.took()
		}
		tried <- err
	}()
	select {
	case err := <-tried:
		return err
	case <-ctx.Done():
		return before
	}
}

// scribble writes a row and takes it away again, which an engine cannot know to be
// of no meaning.
func (tx *tx) scribble() error {
	const name = "scribble"
	if _, err := tx.exec("INSERT INTO secret (name, value) VALUES ($1, $2)", name, []byte{0}); err != nil {
		return err
	}
	_, err := tx.exec("DELETE FROM secret WHERE name = $1", name)
	return err
}

// refuse notes that the engine takes no changes, and says so once.
func (s *Store) refuse(err error) {
	if s.refused.CompareAndSwap(nil, &err) {
		s.log.Warn("changes are refused", "error", err)
	}
}

// took notes that the engine took a change. A transaction that changed nothing
// does not show it.
func (s *Store) took() {
	if s.refused.Load() != nil && s.refused.Swap(nil) != nil {
		s.log.Info("changes are taken again")
	}
}

// lasting reports whether a fault is one of the engine's that lasts until somebody
// mends it, and not one of a request's or of a moment.
func (f *fault) lasting() bool {
	return f.code == certstate.Full || f.code == certstate.Unavailable && f != faultContended
}
