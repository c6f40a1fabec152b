package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// An engine may distribute the tables of records over machines, by part. Then
// every statement that serves a request names the part, so that one machine
// answers it; and a transaction writes into one part alone, its stamp (node.go)
// included: so one machine commits it, wholly or not at all, and what became of
// it can be asked there. The tables of the whole register (tenants, servers,
// leases, secrets) are where they are; enrolling or removing a tenant is the one
// change that is of both.

// inPart ends a condition on the tenant's records where they are distributed.
// On one machine the indexes by tenant serve better without.
func (sel *selection) inPart() string {
	if !sel.s.distributed {
		return ""
	}
	return " AND part = " + sel.bind(sel.t.part())
}

// partColumn is the part where it is to be compared. An index by tenant serves
// better than one by part; the plus keeps SQLite from that.
func (s *Store) partColumn() string {
	if s.distributed {
		return "part"
	}
	return "+part"
}

// byPart cuts the jobs into those that one transaction may hold, each in the
// order in which they came.
func (w *writer) byPart(batch []*job) (batches [][]*job) {
	if !w.store.distributed {
		return [][]*job{batch}
	}
	place := map[int64]int{}
	for _, j := range batch {
		i, ok := place[j.part]
		if !ok {
			i, place[j.part] = len(batches), len(batches)
			batches = append(batches, nil)
		}
		batches[i] = append(batches[i], j)
	}
	return batches
}

// goneFor is for how long a part that could not be reached is tried but once, so
// that changes of other parts do not wait for it.
const goneFor = 2 * time.Second

// tries is how often a transaction in the part is tried.
func (w *writer) tries(part int64) int {
	if time.Since(w.gone[part]) < goneFor {
		return 1
	}
	return writeTries
}

// away notes that a part cannot be reached.
func (w *writer) away(part int64) {
	if !w.store.distributed {
		return
	}
	if w.gone == nil {
		w.gone = map[int64]time.Time{}
	}
	w.gone[part] = time.Now()
}

// renewAfter is when a lease is renewed that no transaction's stamp renews; it
// is far from its end, and so is a transaction's own end.
const renewAfter = nodeLease / 3

// renew renews the lease of the server's number, if it is time.
func (w *writer) renew(ctx context.Context) error {
	if time.Since(w.node.renewed) < renewAfter {
		return nil
	}
	begun := time.Now()
	res, err := w.conn.ExecContext(ctx, renewNode, w.lastK, nodeLease.Milliseconds(), w.node.no, w.node.holder)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		w.node = nil
		return errors.Join(errLeaseLost, err)
	}
	w.node.renewed = begun
	return nil
}

const (
	renewNode   = "UPDATE node SET k = $1, until = " + databaseNow + " + $2 WHERE no = $3 AND holder = $4"
	stampPart   = "UPDATE stamp SET holder = $1, batch = $2 WHERE part = $3 AND no = $4"
	insertStamp = "INSERT INTO stamp (holder, batch, part, no) VALUES ($1, $2, $3, $4)"
	// Waits for a transaction that is still under way, as stampOf does.
	lockHead    = "UPDATE seq SET n = n WHERE part = $1 -- whichever tenant's"
	stampInPart = "SELECT batch FROM stamp WHERE part = $1 AND no = $2 AND holder = $3"
)

// stampPart ends a transaction in the server's row of the part.
func (tx *tx) stampPart(part int64) error {
	w := tx.w
	w.node.batch++
	args := []any{w.node.holder, w.node.batch, part, w.node.no}
	n, err := tx.exec(stampPart, args...)
	if err == nil && n == 0 {
		_, err = tx.exec(insertStamp, args...)
	}
	if err != nil {
		return fmt.Errorf("stamp: %w", err)
	}
	return nil
}

// stampedInPart is the last transaction that was committed in the part, 0 if
// none was.
func (w *writer) stampedInPart(ctx context.Context, part int64) (batch int64, err error) {
	if _, err := w.conn.ExecContext(ctx, lockHead, part); err != nil {
		return 0, err
	}
	err = w.conn.QueryRowContext(ctx, stampInPart, part, w.node.no, w.node.holder).Scan(&batch)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return batch, err
}
