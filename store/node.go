package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"certstate"
)

// Several servers may write to one database. Each has a row of the table node
// for itself, and with it a number that no other uses for the keys it makes.
// Every transaction ends by writing into that row: so it renews the lease, it
// keeps the last key (so that keys grow even if the clock steps back), it fails
// if the lease has gone to another, and it leaves the mark by which a commit
// whose answer was lost is found to have happened or not.

// nodeLease is how long a server that is silent keeps its number; far longer
// than a transaction takes.
const nodeLease = time.Minute

// node is a server's row.
type node struct {
	no      int64     // 0 to 1023
	holder  string    // who holds the lease
	batch   int64     // the last transaction that was tried
	renewed time.Time // where no stamp renews the lease (part.go)
}

// The database's clock alone tells when a lease ends.
const databaseNow = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"

const (
	// The number that was free for the longest, so that one is seldom used twice.
	takeNode = "UPDATE node SET holder = $1, batch = 0, until = " + databaseNow + " + $2 WHERE until < " + databaseNow +
		" AND no = (SELECT no FROM node WHERE until < " + databaseNow + " ORDER BY until, no LIMIT 1) RETURNING no, k"
	stampNode = "UPDATE node SET batch = $1, k = $2, until = " + databaseNow + " + $3 WHERE no = $4 AND holder = $5"
	// Waits for a transaction that is still under way. It is a commit of its own:
	// where commits wait for a standby, the one that is asked about has arrived
	// there if this one has.
	stampOf = "UPDATE node SET until = " + databaseNow + " + $1 WHERE no = $2 AND holder = $3 RETURNING batch"
)

var errLeaseLost = errors.New("the lease of the server's number went to another server")

// takeNode takes a number for the server.
func (w *writer) takeNode(ctx context.Context) error {
	n := &node{holder: uuid.NewString(), renewed: time.Now()}
	for range writeTries { // another may take the same at the same time
		var k int64
		err := w.conn.QueryRowContext(ctx, takeNode, n.holder, nodeLease.Milliseconds()).Scan(&n.no, &k)
		if err == nil {
			w.node, w.lastK = n, max(k, w.nodeK(0, n.no))
			w.store.log.Debug("server number taken", "number", n.no)
			return nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("take a server number: %w", err)
		}
	}
	return certstate.Errorf(certstate.Unavailable, "", "All server numbers are taken. Try again in a minute.")
}

// stamp ends a transaction in the server's row.
func (tx *tx) stamp(part int64) error {
	w := tx.w
	if w.store.distributed && part != 0 {
		return tx.stampPart(part)
	}
	w.node.batch++
	n, err := tx.exec(stampNode, w.node.batch, w.lastK, nodeLease.Milliseconds(), w.node.no, w.node.holder)
	if err == nil && n == 0 {
		w.node = nil
		return errLeaseLost
	}
	return err
}

// resolveTime bounds how long the outcome of a commit is looked for.
const resolveTime = 15 * time.Second

// resolve finds out, over a new connection, whether the last transaction was
// committed. It is patient: what was asked for may be there already.
func (w *writer) resolve(part int64) (committed bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), w.store.patience)
	defer cancel()
	for try := 1; ; try++ {
		var batch int64
		if err = w.reconnect(ctx); err == nil {
			batch, err = w.stamped(ctx, part)
			if err == nil && w.early() {
				err = errEarly
			}
		}
		f := w.store.d.fault(err)
		switch {
		case err == nil:
			return batch == w.node.batch, nil
		case ctx.Err() != nil, f == nil, !f.again: // the lease is lost too: nothing tells
			w.node = nil
			return false, errors.Join(errUnknown, err)
		}
		time.Sleep(pause(try))
	}
}

// stamped is the last transaction that was committed.
func (w *writer) stamped(ctx context.Context, part int64) (batch int64, err error) {
	if w.store.distributed && part != 0 {
		return w.stampedInPart(ctx, part)
	}
	err = w.conn.QueryRowContext(ctx, stampOf, nodeLease.Milliseconds(), w.node.no, w.node.holder).Scan(&batch)
	return batch, err
}

// hold takes a lease of a name, or renews it, and reports whether the store has
// it: for work that one server does for all.
func (s *Store) hold(ctx context.Context, name string, d time.Duration) (held bool, err error) {
	if !s.d.nodes {
		return true, nil
	}
	err = s.do(ctx, func(tx *tx) error {
		n, err := tx.exec("UPDATE lease SET holder = $2, until = "+databaseNow+" + $3 WHERE name = $1 AND (holder = $2 OR until < "+databaseNow+")",
			name, s.name, d.Milliseconds())
		held = n > 0
		return err
	})
	return held, err
}
