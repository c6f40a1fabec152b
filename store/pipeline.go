package store

import (
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// To a server that is reached over a connection each statement costs a round
// trip, which takes longer than the statement. So those that tell nothing wait
// for the next that does, and go with it.

// waiting is a statement that was not sent yet.
type waiting struct {
	text    string
	args    []any
	targets []any // of the row it tells, nil if it tells nothing
}

// later runs a statement some time before the commit. If it fails, so does the
// transaction.
func (tx *tx) later(text string, args ...any) error {
	if !tx.w.store.d.driverPrepares { // there is no round trip
		_, err := tx.exec(text, args...)
		return err
	}
	tx.waiting = append(tx.waiting, waiting{text: text, args: args})
	return nil
}

// ask runs a query for one row, which is read once a statement after it has told
// something.
func (tx *tx) ask(text string, args []any, targets ...any) error {
	if !tx.w.store.d.driverPrepares {
		return tx.row(text, args...).Scan(targets...)
	}
	tx.waiting = append(tx.waiting, waiting{text, args, targets})
	return nil
}

// read reads what a statement tells.
func (w *waiting) read(results pgx.BatchResults) (err error) {
	if w.targets == nil {
		_, err = results.Exec()
		return err
	}
	return results.QueryRow().Scan(w.targets...)
}

// send sends what waits and a statement after it, which read reads.
func (tx *tx) send(text string, args []any, read func(pgx.BatchResults) error) error {
	batch := &pgx.Batch{}
	for _, w := range tx.waiting {
		batch.Queue(w.text, w.args...)
	}
	before := tx.waiting
	tx.waiting = nil
	batch.Queue(text, args...)
	return tx.w.conn.Raw(func(c any) (err error) {
		results := c.(*stdlib.Conn).Conn().SendBatch(tx.ctx, batch)
		defer func() {
			if end := results.Close(); err == nil {
				err = end
			}
		}()
		for i := range before {
			if err := before[i].read(results); err != nil {
				return err
			}
		}
		return read(results)
	})
}

// sendWaiting sends what waits.
func (tx *tx) sendWaiting() error {
	last := len(tx.waiting) - 1
	if last < 0 {
		return nil
	}
	w := tx.waiting[last]
	tx.waiting = tx.waiting[:last]
	return tx.send(w.text, w.args, w.read)
}

// sendExec sends a statement and says how many rows it changed.
func (tx *tx) sendExec(text string, args []any) (affected int64, err error) {
	err = tx.send(text, args, func(results pgx.BatchResults) error {
		tag, err := results.Exec()
		affected = tag.RowsAffected()
		return err
	})
	return affected, err
}

// sentRow is the row of a query that is sent when it is scanned.
type sentRow struct {
	tx   *tx
	text string
	args []any
}

func (r sentRow) Scan(targets ...any) error {
	return r.tx.send(r.text, r.args, func(results pgx.BatchResults) error { return results.QueryRow().Scan(targets...) })
}
