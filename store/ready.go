package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Whether the store can do its work is known from the work: the first change that
// fails for the database's sake makes it unready, and says why in the log, once.
// From then on it tries every second to write without changing anything, so that
// it is ready again as soon as that is possible, whether or not anybody asks.

// probeEvery is how often a store that cannot write tries to.
const probeEvery = time.Second

// pingTime bounds the question whether the database is there.
const pingTime = time.Second

// Ready reports why the store cannot serve at the moment, in words that anybody
// may read, or nil.
func (s *Store) Ready(ctx context.Context) error {
	if s.closed.Load() {
		return errClosed
	}
	if s.failed.Load() != nil {
		return faultEnded.of(*s.failed.Load())
	}
	for _, f := range []*fault{s.unread.Load(), s.unwritten.Load()} {
		if f != nil {
			return f.of(nil)
		}
	}
	if pool := s.read.Stats(); pool.InUse >= pool.MaxOpenConnections {
		return nil // it is there: all connections are at work
	}
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	if err := s.read.PingContext(ctx); err != nil {
		return faultLost.of(err)
	}
	return nil
}

// refusing takes note of a fault for which changes are refused.
func (s *Store) refusing(f *fault, cause error) {
	if !f.unready || s.unwritten.Swap(f) != nil {
		return
	}
	s.log.Error("changes are refused", "reason", f.message, "error", cause)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.closed.Load() { // Close waits for those who began before
		s.wg.Go(s.probe)
	}
}

// taking takes note of a change that was committed.
func (s *Store) taking() {
	if s.unwritten.Load() != nil && s.unwritten.Swap(nil) != nil {
		s.log.Info("changes are taken again")
	}
}

// probe writes, without changing anything, until a write succeeds or none will.
func (s *Store) probe() {
	for s.unwritten.Load() != nil && s.failed.Load() == nil {
		select {
		case <-s.stop:
			return
		case <-time.After(s.probing):
		}
		err := s.do(context.Background(), func(tx *tx) error {
			_, err := tx.exec("UPDATE counter SET n = n WHERE name = 'tenant'")
			return err
		})
		if err == nil {
			s.taking()
			return
		}
		s.log.Debug("changes are still refused", "error", err)
	}
}

// Judge turns an error that a read met into what a client may know of it. Other
// errors stay as they are.
func (s *Store) Judge(err error) error {
	f := s.d.fault(err)
	switch {
	case err == nil, isClientError(err):
		return err
	case s.closed.Load():
		return errors.Join(errClosed, err)
	case f == nil:
		return err
	}
	if f.ends {
		f = faultUnread
		if s.unread.Swap(f) == nil {
			s.log.Error("the database is damaged: run certstate check, and restore a backup if it finds anything", "error", err)
		}
	}
	return f.of(err)
}

// clockBehind says in the log that the clock stands before the last change.
func (w *writer) clockBehind(by time.Duration) {
	if by < time.Second || time.Since(w.warned) < time.Minute {
		return
	}
	w.warned = time.Now()
	w.store.log.Warn("the clock has stepped back: changes have the time of the last one until it has caught up", "behind", by)
}

// unwritable says of a file that cannot be opened to be written what that means.
func unwritable(path string, err error) error {
	return errors.Join(fmt.Errorf("%s cannot be written, and certstate must write it and its folder: look at their owner and mode, and whether the disk is mounted read-only", path), err)
}
