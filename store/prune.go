package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"certstate/edm"
)

const (
	pruneEvery = time.Hour
	pruneBatch = 500                   // changes in one transaction
	prunePause = 20 * time.Millisecond // between two, for everybody else
)

// Prune forgets the changes made before a time, and the versions they ended, in
// every tenant, and tells how many changes. Records there are stay as they are.
func (s *Store) Prune(ctx context.Context, before time.Time, tell Progress) error {
	var done int64
	return s.eachOld(ctx, before, func(t Tenant, floor, to int64) error {
		for floor < to {
			from := floor
			floor = min(floor+pruneBatch, to)
			if err := s.doIn(ctx, t, func(tx *tx) error { return tx.raiseFloor(t, floor) }); err != nil {
				return err
			}
			done += floor - from
			tell(done)
			if err := s.pause(prunePause); err != nil {
				return err
			}
		}
		return nil
	})
}

// Prunable counts the rows that Prune would remove, and the bytes of their
// values: what they take on disk is more, with their indexes.
func (s *Store) Prunable(ctx context.Context, before time.Time) (rows, bytes int64, err error) {
	err = s.eachOld(ctx, before, func(t Tenant, _, to int64) error {
		for _, table := range prunedTables {
			var n, size int64
			if err := s.read.QueryRowContext(ctx, s.d.rebind(prunable(table)), t.part(), t.no, to).Scan(&n, &size); err != nil {
				return fmt.Errorf("count what can be pruned of %s: %w", table, err)
			}
			rows, bytes = rows+n, bytes+size
		}
		return nil
	})
	return rows, bytes, err
}

// prunedTables are those whose rows are forgotten with the change n they have.
var prunedTables = []string{"past", "change"}

func prunable(name string) string {
	i := slices.IndexFunc(backupTables, func(t table) bool { return t.Name == name })
	sizes := "octet_length(CAST(" + strings.Join(backupTables[i].Columns, " AS text)) + octet_length(CAST(") + " AS text))"
	return "SELECT count(*), CAST(coalesce(sum(" + sizes + "), 0) AS bigint) FROM " + name + " WHERE part = $1 AND tenant = $2 AND n <= $3"
}

// eachOld calls fn for each tenant with changes that are kept and were made
// before a time: they are those after floor, up to the change numbered to.
func (s *Store) eachOld(ctx context.Context, before time.Time, fn func(t Tenant, floor, to int64) error) error {
	tenants, err := s.Tenants(ctx)
	ticks := edm.Time(before.UTC()).Ticks
	for i := 0; i < len(tenants) && err == nil; i++ {
		var l logState
		if l, err = s.logState(ctx, tenants[i]); err != nil || l.floorAt >= ticks {
			continue
		}
		to := l.n
		if l.at >= ticks {
			if to, err = s.lastChange(ctx, tenants[i], l.floor, l.n, ticks-1); err != nil {
				continue
			}
		}
		err = fn(tenants[i], l.floor, to)
	}
	return err
}

// raiseFloor forgets the changes up to one, and the versions they ended.
func (tx *tx) raiseFloor(t Tenant, floor int64) error {
	var at int64
	err := tx.row("SELECT at FROM change WHERE part = $1 AND tenant = $2 AND n = $3", t.part(), t.no, floor).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) { // somebody else has, or the tenant is gone
		return nil
	}
	if err != nil {
		return fmt.Errorf("find the floor's time: %w", err)
	}
	const raise = "UPDATE seq SET floor = $3, floor_at = $4, digest = $5 WHERE part = $1 AND tenant = $2 AND floor < $3"
	n, err := tx.exec(raise, t.part(), t.no, floor, at, digest(floor, at))
	if err != nil || n == 0 {
		return err
	}
	if _, err := tx.exec(forgetCertificates, t.part(), t.no, floor); err != nil {
		return fmt.Errorf("prune certificate: %w", err)
	}
	for _, table := range prunedTables {
		if _, err := tx.exec("DELETE FROM "+table+" WHERE part = $1 AND tenant = $2 AND n <= $3", t.part(), t.no, floor); err != nil {
			return fmt.Errorf("prune %s: %w", table, err)
		}
	}
	return nil
}
