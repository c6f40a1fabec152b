package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"certstate"
	"certstate/edm"
	"certstate/odata"
)

// lookedUp is how many records walkSorted looks up with one statement.
const lookedUp = 250

// walkSorted is Walk in an order of the query's own. Pages after a position would
// each sort all that is left: so the keys are sorted once and kept, eight bytes a
// record, and the records looked up by them.
func (s *Store) walkSorted(ctx context.Context, t Tenant, q *odata.Query, now edm.DateTimeOffset, asOf int64, fn func(*certstate.State) error, flush func() error) error {
	sel, err := s.newSelection(ctx, t, q, q.Condition(), now, &asOf)
	if err != nil {
		return err
	}
	keys, err := sel.sorted(ctx)
	if err != nil {
		return err
	}
	look := newLookup(s, t, q.Select|certstate.KeySet, asOf)
	for len(keys) > 0 {
		some := keys[:min(len(keys), lookedUp)]
		keys = keys[len(some):]
		if err := look.read(ctx, some); err != nil {
			return err
		}
		if err := sel.kept(ctx); err != nil {
			return err
		}
		for _, k := range some {
			err := fn(look.found[k])
			if errors.Is(err, ErrEndPage) {
				err = flush()
			}
			if err != nil {
				return err
			}
		}
	}
	return flush()
}

// sorted is the keys of the records that the query selects, in its order.
func (sel *selection) sorted(ctx context.Context) (keys []int64, err error) {
	ctx, done, err := sel.s.watched(ctx, sel.t, false)
	if err != nil {
		return nil, err
	}
	defer done()
	var b strings.Builder
	b.WriteString("SELECT k FROM " + sel.source + " WHERE " + sel.tenant + sel.cond)
	writeOrder(&b, sel.terms(Position{}))
	if sel.q.Top > 0 || sel.q.Skip > 0 {
		top := int64(1) << 40
		if sel.q.Top > 0 {
			top = int64(sel.q.Top)
		}
		b.WriteString(" LIMIT " + sel.bind(top) + " OFFSET " + sel.bind(sel.q.Skip))
	}
	rows, err := sel.query(ctx, b.String())
	if err != nil {
		return nil, tooSlow(ctx, err)
	}
	defer rows.Close()
	var k int64
	target := edm.Int64Column(&k)
	for rows.Next() {
		if err := rows.Scan(target); err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, tooSlow(ctx, rows.Err())
}

// lookup reads records by their keys, as they were after a change.
type lookup struct {
	s     *Store
	t     Tenant
	asOf  int64
	head  string
	sc    *scanner
	found map[int64]*certstate.State // by key, of the last read
}

func newLookup(s *Store, t Tenant, set certstate.Set, asOf int64) *lookup {
	return &lookup{s: s, t: t, asOf: asOf, sc: newScanner(set), found: make(map[int64]*certstate.State, lookedUp),
		head: selectFrom(set, s.d.past("$2"), "k IN (")}
}

// read finds the records of some keys, all of which there must be.
func (l *lookup) read(ctx context.Context, keys []int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	args := append(make([]any, 0, 2+len(keys)), l.t.no, l.asOf)
	for _, k := range keys {
		args = append(args, k)
	}
	rows, err := l.s.rows(context.WithoutCancel(ctx), l.head+placeholders(3, len(keys))+")", args) // it is bounded
	if err != nil {
		return err
	}
	defer rows.Close()
	clear(l.found)
	for rows.Next() {
		if err := l.sc.scan(rows); err != nil {
			return err
		}
		st := l.sc.state
		l.found[l.sc.k] = &st
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(l.found) < len(keys) { // or kept would say so
		if err := l.s.Kept(ctx, l.t, l.asOf); err != nil {
			return err
		}
		return fmt.Errorf("%d of %d records are not there as of change %d", len(keys)-len(l.found), len(keys), l.asOf)
	}
	return nil
}
