package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"certstate"
)

// statements keeps prepared read statements. They come from a
// bounded set of shapes; past the bound a statement is made for one use.
type statements struct {
	d  *dialect
	mu sync.RWMutex
	m  map[query]*sql.Stmt
}

// query names a read statement without spelling it out: a whole text, or the
// end of one that reads the properties of a set.
type query struct {
	set  certstate.Set // 0: rest is the whole text
	rest string
}

func (k query) text() string {
	if k.set == 0 {
		return k.rest
	}
	return selectState(k.set, k.rest)
}

const maxStatements = 256

// statement is a read statement that may be run many times.
type statement struct {
	prepared *sql.Stmt // nil: the driver prepares it
	d        *dialect
	db       *sql.DB
	text     string
}

// A read is tried so often, and for so long, as connections of the pool may fail
// that a server which has restarted left behind.
const (
	readTries = postgresReaders + 2
	readAgain = 3 * time.Second
)

func (st statement) QueryContext(ctx context.Context, args ...any) (rows *sql.Rows, err error) {
	if st.prepared != nil {
		return st.prepared.QueryContext(ctx, args...)
	}
	if v, ok := ctx.Value(viewKey{}).(*view); ok {
		if rows, answered, err := v.query(ctx, st.text, args); answered {
			return rows, err
		}
	}
	began := time.Now()
	for range readTries {
		rows, err = st.db.QueryContext(ctx, st.text, args...)
		if err == nil || ctx.Err() != nil || time.Since(began) > readAgain {
			break
		}
		if f := st.d.fault(err); f == nil || !f.lost {
			break
		}
	}
	return rows, err
}

// QueryRowContext is the one row of a query; its Scan says sql.ErrNoRows if
// there is none.
func (st statement) QueryRowContext(ctx context.Context, args ...any) rowScanner {
	if st.prepared != nil {
		return st.prepared.QueryRowContext(ctx, args...)
	}
	rows, err := st.QueryContext(ctx, args...) //nolint:rowserrcheck // onlyRow does
	if err != nil {
		return failedRow{err}
	}
	return onlyRow{rows}
}

// onlyRow is the first of some rows, as sql.Row is.
type onlyRow struct{ rows *sql.Rows }

func (r onlyRow) Scan(targets ...any) (err error) {
	defer func() { err = errors.Join(err, r.rows.Close()) }()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return sql.ErrNoRows
	}
	return r.rows.Scan(targets...)
}

func (q *statements) get(db *sql.DB, k query) (statement, error) {
	if q.d.driverPrepares {
		return statement{d: q.d, db: db, text: q.d.rebind(k.text())}, nil
	}
	st, err := q.prepared(db, k)
	return statement{prepared: st}, err
}

func (q *statements) prepared(db *sql.DB, k query) (*sql.Stmt, error) {
	q.mu.RLock()
	st := q.m[k]
	q.mu.RUnlock()
	if st != nil {
		return st, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if st := q.m[k]; st != nil {
		return st, nil
	}
	st, err := db.Prepare(q.d.rebind(k.text()))
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", k.text(), err)
	}
	if q.m == nil {
		q.m = map[query]*sql.Stmt{}
	}
	if len(q.m) >= maxStatements {
		for old, st := range q.m { // any one; it closes once its last use ends
			delete(q.m, old)
			_ = st.Close()
			break
		}
	}
	q.m[k] = st
	return st, nil
}

func (q *statements) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, st := range q.m {
		_ = st.Close()
	}
	q.m = nil
}
