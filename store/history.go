package store

import (
	"context"

	"certstate"
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
