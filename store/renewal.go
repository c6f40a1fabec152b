package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"certstate"
)

// A renewal stalls by the passing of time alone. So a record that has no successor
// says when it is to be looked at (the column revisit, which has an index): when it
// is due. Each look costs one record, whatever the register holds. A record that is
// made or changes is looked at as it is written, so that what is brought in overdue
// is found so at once, and what makes the finding untrue takes it back.

const (
	visitEvery = time.Minute
	visitBatch = 250            // records in one transaction
	visitRests = 4              // times that a transaction takes, between two
	atOnce     = int64(1)       // a time that has passed
	notAgain   = int64(1) << 62 // one that does not come
)

// awaits reports whether a record's certificate is to be renewed: it has no
// successor, and nobody has asked for its revocation. One that has ended is, too:
// what its device has not renewed in time is what people look for.
func awaits(s *certstate.State, lineage int64) bool {
	return lineage != 0 && !s.SupersededBy.Valid && s.RevokeStatus == certstate.None && s.NotAfter.Ticks > s.NotBefore.Ticks
}

// firstVisit is when a record is to be looked at by whom the threshold is not known,
// in ticks, 0 for never: halfway through its certificate's validity, before which
// none finds it stalled.
func firstVisit(s *certstate.State, lineage int64) int64 {
	if !awaits(s, lineage) || s.Findings&certstate.RenewalStalled != 0 {
		return 0
	}
	return s.NotAfter.Ticks - (s.NotAfter.Ticks-s.NotBefore.Ticks)/2
}

// stalledFrom is the time from which a record that waits is stalled, in ticks: when
// half of the time has passed that its device had to renew it. A device renews when
// it next comes by, not the moment it may.
func (s *Store) stalledFrom(st *certstate.State) int64 {
	if s.threshold == 0 {
		return notAgain
	}
	return st.NotAfter.Ticks - (st.NotAfter.Ticks-st.NotBefore.Ticks)/200*int64(s.threshold)
}

// watch says of a record that is written whether its renewal has stalled, and when
// to look at it again.
func (tx *tx) watch(s *certstate.State, lineage int64) upkeep {
	s.Findings &^= certstate.RenewalStalled
	if lineage == unlinked || !awaits(s, lineage) {
		return upkeep{lineage, 0}
	}
	from := tx.w.store.stalledFrom(s)
	if from > tx.now.Ticks {
		return upkeep{lineage, from}
	}
	s.Findings |= certstate.RenewalStalled
	return upkeep{lineage, 0}
}

// Revisit looks at every record whose time has come, in every tenant, and finds the
// renewals that have stalled; and links those that are yet to get their links.
func (s *Store) Revisit(ctx context.Context) error {
	tenants, err := s.Tenants(ctx)
	if err != nil {
		return err
	}
	if err := s.linkAll(ctx, tenants); err != nil {
		return err
	}
	if err := s.thresholdChanged(ctx, tenants); err != nil {
		return fmt.Errorf("take over the renewal threshold: %w", err)
	}
	some := fmt.Sprintf(toVisit, s.partColumn())
	for _, t := range tenants {
		for n := visitBatch; n == visitBatch; {
			began := time.Now()
			err := s.inBatch(ctx, t, some, []any{t.no, t.part(), s.ticks().Ticks}, func(tx *tx, ids []string) error {
				n = len(ids)
				return tx.visit(t, ids)
			})
			if err == nil && n == visitBatch { // there are many, and none is in a hurry
				err = s.pause(visitRests * time.Since(began))
			}
			if err != nil {
				return fmt.Errorf("look at renewals: %w", err)
			}
		}
	}
	return nil
}

const toVisit = "SELECT id FROM state WHERE tenant = $1 AND %s = $2 AND revisit <> 0 AND revisit <= $3 ORDER BY revisit LIMIT $4"

// inBatch runs fn in a transaction with the ids that a query finds, at most a batch;
// nobody else changes them meanwhile. Its last argument, which is left out of args,
// bounds how many there are. While a load has taken the indexes away there are none.
func (s *Store) inBatch(ctx context.Context, t Tenant, text string, args []any, fn func(*tx, []string) error) error {
	var one string
	err := s.read.QueryRowContext(ctx, s.d.rebind(text), append(slices.Clip(args), 1)...).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return fn(nil, nil)
	}
	if err == nil {
		err = s.doIn(ctx, t, func(tx *tx) error {
			if _, err := tx.head(t); err != nil || s.fresh.Load() != nil {
				return errors.Join(err, fn(tx, nil))
			}
			ids, err := tx.texts(text, append(slices.Clip(args), visitBatch)...)
			if err != nil {
				return err
			}
			return fn(tx, ids)
		})
	}
	if err != nil {
		return err
	}
	return s.pause(prunePause)
}

// texts are the values of a query's one column.
func (tx *tx) texts(text string, args ...any) (list []string, err error) {
	rows, err := tx.rows(text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	return list, rows.Err()
}

var registerItself = certstate.Cause{Actor: "certstate serve"}

// visit finds out whether the renewals of records have stalled, and says when to
// look again.
func (tx *tx) visit(t Tenant, ids []string) error {
	for _, id := range ids {
		old, err := tx.find(t, id, nil)
		if err != nil {
			return err
		}
		is := old.State
		next := tx.watch(&is, old.lineage)
		by := registerItself
		if by.Reason = "renewal: not stalled"; is.Findings&certstate.RenewalStalled != 0 {
			by.Reason = "renewal: stalled"
		}
		if _, err := tx.change(t, id, &is, findingsSet, nil, by); err != nil {
			return err
		}
		if err := tx.note(t, id, next); err != nil {
			return err
		}
	}
	return nil
}

// NoThreshold is a RenewalThreshold by which nothing is found stalled.
const NoThreshold = -1

const thresholdCounter = "renewal threshold"

// takeThreshold takes the threshold that records were looked at by last, if it was
// given none; a new register says 20, as Intune's profiles do. Before a record is
// looked at by another, it is noted that not all have been.
func (s *Store) takeThreshold(ctx context.Context) error {
	given := s.threshold
	s.threshold = max(0, given)
	before, err := s.counter(ctx, thresholdCounter)
	switch {
	case err != nil:
		return err
	case given == 0:
		s.threshold = int(max(0, before))
	case before != int64(s.threshold):
		return s.setCounter(ctx, thresholdCounter, NoThreshold)
	}
	return nil
}

// thresholdChanged has the records looked at anew that were looked at by another
// threshold.
func (s *Store) thresholdChanged(ctx context.Context, tenants []Tenant) error {
	before, err := s.counter(ctx, thresholdCounter)
	if err != nil || before == int64(s.threshold) {
		return err
	}
	for _, t := range tenants {
		for last, more := int64(0), true; more; {
			if last, more, err = s.revisitAfter(ctx, t, last); err != nil {
				return err
			}
		}
	}
	return s.setCounter(ctx, thresholdCounter, int64(s.threshold))
}

// revisitAfter has some records after one with the key last looked at anew, and
// says which was the last of them.
func (s *Store) revisitAfter(ctx context.Context, t Tenant, last int64) (next int64, more bool, err error) {
	const step = 2000
	text := "SELECT coalesce(max(k), 0) FROM (SELECT k FROM state WHERE tenant = $1 AND " + s.partColumn() + " = $2 AND k > $3 ORDER BY k LIMIT $4) AS found"
	if err := s.read.QueryRowContext(ctx, s.d.rebind(text), t.no, t.part(), last, step).Scan(&next); err != nil || next == 0 {
		return 0, false, err
	}
	anew := "UPDATE state SET revisit = $5 WHERE tenant = $1 AND " + s.partColumn() + " = $2 AND k > $3 AND k <= $4 AND lineage > 0 AND superseded_by = '' AND revoke_status = 0"
	err = s.doIn(ctx, t, func(tx *tx) error {
		_, err := tx.exec(anew, t.no, t.part(), last, next, atOnce)
		return err
	})
	return next, true, errors.Join(err, s.pause(prunePause))
}

// counter is a number of the whole register, 0 if it was never set.
func (s *Store) counter(ctx context.Context, name string) (n int64, err error) {
	err = s.read.QueryRowContext(ctx, s.d.rebind("SELECT n FROM counter WHERE name = $1"), name).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return n, err
}

func (s *Store) setCounter(ctx context.Context, name string, n int64) error {
	return s.do(ctx, func(tx *tx) error {
		_, err := tx.exec("INSERT INTO counter (name, n) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET n = excluded.n", name, n)
		return err
	})
}
