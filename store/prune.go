package store

import (
	"context"
	"fmt"
	"time"

	"certstate/edm"
)

const (
	pruneEvery = time.Hour
	pruneBatch = 500                   // changes in one transaction
	prunePause = 20 * time.Millisecond // between two, for everybody else
)

// pruner forgets history older than the store keeps, now and every hour; of
// several servers one does it for all.
func (s *Store) pruner(keep time.Duration) {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		held, err := s.hold(context.Background(), "prune", pruneEvery)
		if err == nil && held {
			err = s.Prune(context.Background(), s.now().Add(-keep))
		}
		if err != nil && !s.closed.Load() {
			s.log.Warn("history was not pruned; the next attempt is in an hour", "error", err)
		}
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
	}
}

// Prune forgets the changes made before a time, and the versions they ended, in
// every tenant. Records there are stay as they are.
func (s *Store) Prune(ctx context.Context, before time.Time) error {
	tenants, err := s.Tenants(ctx)
	for i := 0; i < len(tenants) && err == nil; i++ {
		err = s.prune(ctx, tenants[i], edm.Time(before.UTC()).Ticks)
	}
	return err
}

func (s *Store) prune(ctx context.Context, t Tenant, ticks int64) error {
	l, err := s.logState(ctx, t)
	if err != nil || l.floorAt >= ticks {
		return err
	}
	to := l.n
	if l.at >= ticks {
		if to, err = s.lastChange(ctx, t, l.floor, l.n, ticks-1); err != nil {
			return err
		}
	}
	for floor := l.floor; floor < to; {
		floor = min(floor+pruneBatch, to)
		if err := s.doIn(ctx, t, func(tx *tx) error { return tx.raiseFloor(t, floor) }); err != nil {
			return err
		}
		select {
		case <-s.stop:
			return errClosed
		case <-time.After(prunePause):
		}
	}
	return nil
}

// raiseFloor forgets the changes up to one, and the versions they ended.
func (tx *tx) raiseFloor(t Tenant, floor int64) error {
	const raise = "UPDATE seq SET floor = $3, floor_at = (SELECT at FROM change WHERE part = $1 AND tenant = $2 AND n = $3) WHERE part = $1 AND tenant = $2 AND floor < $3"
	n, err := tx.exec(raise, t.part(), t.no, floor)
	if err != nil {
		return fmt.Errorf("raise the floor: %w", err)
	}
	if n == 0 { // somebody else has, or the tenant is gone
		return nil
	}
	for _, table := range []string{"past", "change"} {
		if _, err := tx.exec("DELETE FROM "+table+" WHERE part = $1 AND tenant = $2 AND n <= $3", t.part(), t.no, floor); err != nil {
			return fmt.Errorf("prune %s: %w", table, err)
		}
	}
	return nil
}
