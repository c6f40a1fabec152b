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
	text string
	args []any
}

// later runs a statement some time before the commit. If it fails, so does the
// transaction.
func (tx *tx) later(text string, args ...any) error {
	if !tx.w.store.d.driverPrepares { // there is no round trip
		_, err := tx.exec(text, args...)
		return err
	}
	tx.waiting = append(tx.waiting, waiting{text, args})
	return nil
}

// send sends what waits and a statement after it, which read reads.
func (tx *tx) send(text string, args []any, read func(pgx.BatchResults) error) error {
	batch := &pgx.Batch{}
	for _, w := range tx.waiting {
		batch.Queue(w.text, w.args...)
	}
	before := len(tx.waiting)
	tx.waiting = tx.waiting[:0]
	batch.Queue(text, args...)
	return tx.w.conn.Raw(func(c any) (err error) {
		results := c.(*stdlib.Conn).Conn().SendBatch(tx.ctx, batch)
		defer func() {
			if end := results.Close(); err == nil {
				err = end
			}
		}()
		for range before {
			if _, err := results.Exec(); err != nil {
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
	_, err := tx.sendExec(w.text, w.args)
	return err
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
