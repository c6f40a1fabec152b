package store

import (
	"context"
	"time"
)

// chore is what servers do by themselves from time to time; of several on one
// database one does it for all.
type chore struct {
	lease  string
	every  time.Duration
	undone string // for the log, if it fails
	do     func(context.Context) error
}

// chores are those of a store that is opened to serve.
func (s *Store) chores(o Options) []chore {
	list := []chore{
		{"jobs", forgetJobs, "old jobs were not forgotten; the next attempt is in a minute", s.ForgetJobs},
		{"revisit", visitEvery, "renewals were not looked at; the next attempt is in a minute", s.Revisit},
	}
	if o.History > 0 {
		list = append(list, chore{"prune", pruneEvery, "history was not pruned; the next attempt is in an hour", func(ctx context.Context) error {
			return s.Prune(ctx, s.now().Add(-o.History), func(int64) {})
		}})
	}
	if o.Repeats > 0 {
		list = append(list, chore{"forget", forgetEvery, "old requests were not forgotten; the next attempt is in a minute", s.Forget})
	}
	return list
}

// tend does a chore, now and every so often, until the store is closed. It waits
// while an empty register is filled: whoever does that is about to make all
// indexes, beside which nobody can write.
func (s *Store) tend(c chore) {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for {
		if s.fresh.Load() == nil {
			held, err := s.hold(context.Background(), c.lease, c.every)
			if err == nil && held {
				err = c.do(context.Background())
			}
			if err != nil && !s.closed.Load() {
				s.log.Warn(c.undone, "error", err)
			}
		}
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
	}
}

// pause leaves the writer to others for a while. It fails if the store is closed
// meanwhile.
func (s *Store) pause(d time.Duration) error {
	select {
	case <-s.stop:
		return errClosed
	case <-time.After(d):
		return nil
	}
}
