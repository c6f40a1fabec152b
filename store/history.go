package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"certstate"
	"certstate/edm"
)

// Changes calls fn for the tenant's changes in order, from the one after seq
// on, at most limit times. The Change passed to fn is reused, and without
// Before and After.
func (s *Store) Changes(ctx context.Context, t Tenant, seq int64, limit int, fn func(*certstate.Change) error) error {
	return s.changes(ctx, "SELECT "+changeColumns+" FROM change WHERE tenant = $1 AND part = $2 AND n > $3 ORDER BY n LIMIT $4", fn, t.no, t.part(), seq, limit)
}

const changeColumns = "n, id, kind, actor, reason, at"

func (s *Store) changes(ctx context.Context, text string, fn func(*certstate.Change) error, args ...any) error {
	st, err := s.queries.get(s.read, query{rest: text})
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(context.WithoutCancel(ctx), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var c certstate.Change
	for rows.Next() {
		if err := rows.Scan(&c.Seq, &c.ID, &c.Kind, &c.Actor, &c.Reason, &c.At.Ticks); err != nil {
			return err
		}
		if err := fn(&c); err != nil {
			return err
		}
	}
	return rows.Err()
}

// History calls fn for the changes of one id in order, from the one after seq
// on, at most limit times, with the record Before and After; the Change passed
// to fn is reused. It fails with NotFound if nothing is known of the id.
func (s *Store) History(ctx context.Context, t Tenant, id string, seq int64, limit int, fn func(*certstate.Change) error) error {
	ctx, end := s.elsewhere(ctx, t, nil)
	defer end()
	var list []certstate.Change
	err := s.changes(ctx, historyOf, func(c *certstate.Change) error {
		list = append(list, *c)
		return nil
	}, t.no, t.part(), id, seq, limit)
	if err != nil || len(list) == 0 {
		return errors.Join(err, s.known(ctx, t, id))
	}
	before, err := s.was(ctx, t, id, list[0].Seq-1)
	for i := range list {
		c := &list[i]
		if err != nil {
			return err
		}
		c.Before = before
		if c.After, err = s.was(ctx, t, id, c.Seq); err != nil {
			return err
		}
		before = c.After
		if c.Before == nil && c.Kind != certstate.CreatedKind {
			continue // its version was pruned this moment
		}
		if err = fn(c); err != nil {
			return err
		}
	}
	return nil
}

// historyOf finds the changes of an id by the versions they made or ended: the
// log has no index by id, which every write would pay for.
const historyOf = "SELECT " + changeColumns + " FROM change WHERE tenant = $1 AND part = $2 AND n > $4 AND n IN (" +
	"SELECT n FROM past WHERE tenant = $1 AND " + byID +
	" UNION ALL SELECT ver FROM past WHERE tenant = $1 AND " + byID +
	" UNION ALL SELECT ver FROM state WHERE tenant = $1 AND " + byID + ") ORDER BY n LIMIT $5"

// known is nil if the id has a record or had one.
func (s *Store) known(ctx context.Context, t Tenant, id string) error {
	st, err := s.queries.get(s.read, query{rest: "SELECT EXISTS (SELECT 1 FROM state WHERE tenant = $1 AND " + byID +
		") OR EXISTS (SELECT 1 FROM past WHERE tenant = $1 AND " + byID + ")"})
	if err != nil {
		return err
	}
	var known bool
	if err := st.QueryRowContext(context.WithoutCancel(ctx), t.no, t.part(), id).Scan(&known); err != nil || known {
		return err
	}
	return notFound(id)
}

// was is a record as it was after change n, nil if it was not there.
func (s *Store) was(ctx context.Context, t Tenant, id string, n int64) (*certstate.State, error) {
	st, err := s.GetAsOf(ctx, t, id, certstate.All, n)
	if certstate.ErrorCode(err) == certstate.NotFound {
		return nil, nil //nolint:nilnil // nothing is what was there
	}
	return st, err
}

// GetAsOf returns a record as Get would have after change n, which AsOf finds; Kept
// says whether it still can.
func (s *Store) GetAsOf(ctx context.Context, t Tenant, id string, set certstate.Set, n int64) (*certstate.State, error) {
	set |= certstate.KeySet
	st, err := s.queries.get(s.read, query{rest: selectFrom(set, pastSource("$4"), byID)})
	if err != nil {
		return nil, err
	}
	sc := newScanner(set)
	err = sc.scan(st.QueryRowContext(context.WithoutCancel(ctx), t.no, t.part(), id, n))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound(id)
	}
	return &sc.state, err
}

// pastSource stands in FROM for the table state as it was after the change
// whose number is the argument n, such as "$4"; $1 is the tenant.
func pastSource(n string) string {
	return "(SELECT " + stateColumns + " FROM state WHERE tenant = $1 AND ver <= " + n +
		" UNION ALL SELECT " + stateColumns + " FROM past WHERE tenant = $1 AND ver <= " + n + " AND n > " + n + ") AS state"
}

// past is pastSource for statements that read in an order.
func (d *dialect) past(n string) string {
	if !d.mergesUnions {
		return pastSource(n)
	}
	return "(SELECT " + stateColumns + " FROM (SELECT " + stateColumns + ", 9223372036854775807 AS n FROM state" +
		" UNION ALL SELECT " + stateColumns + ", n FROM past) AS version WHERE tenant = $1 AND ver <= " + n + " AND n > " + n + ") AS state"
}

// logState is what seq says of a tenant's log.
type logState struct {
	n, at          int64 // the last change and its time, in ticks
	floor, floorAt int64 // the last change that is no longer kept, and its time
	asked          int64 // the time of the change that was asked for, 0 if it is not kept
}

func (s *Store) logState(ctx context.Context, t Tenant) (logState, error) {
	return s.logStateWith(ctx, t, 0)
}

// logStateWith is logState with the time of change n.
func (s *Store) logStateWith(ctx context.Context, t Tenant, n int64) (l logState, err error) {
	st, err := s.queries.get(s.read, query{rest: "SELECT n, at, floor, floor_at, coalesce((SELECT c.at FROM change c WHERE c.part = $1 AND c.tenant = $2 AND c.n = $3), 0) FROM seq WHERE part = $1 AND tenant = $2"})
	if err != nil {
		return l, err
	}
	err = st.QueryRowContext(context.WithoutCancel(ctx), t.part(), t.no, n).Scan(&l.n, &l.at, &l.floor, &l.floorAt, &l.asked)
	if errors.Is(err, sql.ErrNoRows) {
		return l, noTenant(t.ID)
	}
	return l, err
}

// AsOf finds the number of the last change at or before a time. It fails with
// Invalid for a time that is yet to come or from which no history is kept.
func (s *Store) AsOf(ctx context.Context, t Tenant, at edm.DateTimeOffset) (n int64, err error) {
	l, err := s.logState(ctx, t)
	switch {
	case err != nil:
		return 0, err
	case at.Ticks > s.ticks().Ticks:
		return 0, certstate.Errorf(certstate.Invalid, "certstate.asOf", "The time %s is in the future.", at.Text())
	case at.Ticks >= l.at:
		return l.n, nil
	case at.Ticks >= l.floorAt:
		if n, err = s.lastChange(ctx, t, l.floor, l.n, at.Ticks); err != nil {
			return 0, err
		}
		if l, err = s.logState(ctx, t); err != nil || n >= l.floor {
			return n, err
		}
	}
	return 0, l.notKept()
}

func (l logState) notKept() error {
	from := edm.DateTimeOffset{Ticks: l.floorAt}
	return certstate.Errorf(certstate.Invalid, "certstate.asOf", "History is kept from %s on.", from.Text())
}

// Kept fails with Invalid if what was after change n is no longer kept. It is to be
// asked last: versions that were pruned while an answer was read, or since its
// first page, are missing in it.
func (s *Store) Kept(ctx context.Context, t Tenant, n int64) error {
	l, err := s.logState(ctx, t)
	if err == nil && n < l.floor {
		err = l.notKept()
	}
	return err
}

// lastChange finds the number of the last change at or before a time in ticks,
// given that it is low or greater and less than high: times never fall.
func (s *Store) lastChange(ctx context.Context, t Tenant, low, high, ticks int64) (int64, error) {
	for high-low > 1 {
		middle := low + (high-low)/2
		at, err := s.changeTime(ctx, t, middle)
		switch {
		case errors.Is(err, sql.ErrNoRows): // pruned this moment, so it is before
			low = middle
		case err != nil:
			return 0, err
		case at <= ticks:
			low = middle
		default:
			high = middle
		}
	}
	return low, nil
}

// changeTime is the time of a change in ticks.
func (s *Store) changeTime(ctx context.Context, t Tenant, n int64) (at int64, err error) {
	st, err := s.queries.get(s.read, query{rest: "SELECT at FROM change WHERE part = $1 AND tenant = $2 AND n = $3"})
	if err != nil {
		return 0, err
	}
	if err = st.QueryRowContext(context.WithoutCancel(ctx), t.part(), t.no, n).Scan(&at); err != nil {
		return 0, fmt.Errorf("time of change %d: %w", n, err)
	}
	return at, nil
}
