package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"certstate"
	"certstate/edm"
)

const (
	queueLength = 1024 // requests that may wait for the writer; more are shed
	maxBatch    = 256  // requests in one transaction
)

// job is a write waiting for its turn. do runs inside the writer's transaction
// and may run several times: with others, alone if one of them failed, and again
// if the engine undid the transaction.
// An error of package certstate means that it wrote nothing.
type job struct {
	part int64 // in which it writes, 0 for tables of the whole register
	ctx  context.Context
	do   func(*tx) error
	done chan error
}

// undone has all that a job wrote undone, though why is no fault of the
// transaction's: an error of package certstate would leave it.
type undone struct{ why error }

func (u undone) Error() string { return u.why.Error() }

// do has the writer run fn and returns once it is on disk, or has failed.
func (s *Store) do(ctx context.Context, fn func(*tx) error) error { return s.doIn(ctx, Tenant{}, fn) }

// doIn does what writes into the tenant's part alone.
func (s *Store) doIn(ctx context.Context, t Tenant, fn func(*tx) error) error {
	j := &job{t.part(), ctx, fn, make(chan error, 1)}
	if err := s.enqueue(j); err != nil {
		return err
	}
	return <-j.done
}

func (s *Store) enqueue(j *job) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed.Load() {
		return errClosed
	}
	if err := s.failed.Load(); err != nil {
		return faultEnded.of(nil)
	}
	select {
	case s.queue <- j:
		return nil
	default:
		return certstate.Errorf(certstate.Unavailable, "", "Too many changes are waiting. Try again.")
	}
}

// writer is the one goroutine that writes, with the one connection it uses.
type writer struct {
	store *Store
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	most  int // jobs in the next transaction
	lastK int64
	gone  map[int64]time.Time // the parts that could not be reached, and when
	node  *node               // nil: none was taken yet, or the dialect has none

	warned time.Time // that the clock has stepped back
}

func (w *writer) run() {
	defer w.close()
	w.most = maxBatch
	batch := make([]*job, 0, maxBatch)
	for j := range w.store.queue {
		batch = append(batch[:0], j)
	fill:
		for len(batch) < w.most {
			select {
			case j, ok := <-w.store.queue:
				if !ok {
					break fill
				}
				batch = append(batch, j)
			default:
				break fill
			}
		}
		for _, jobs := range w.byPart(batch) {
			w.commit(jobs)
		}
	}
}

// close gives the connection back. Statements prepared on it are closed by
// nobody else, and with one left open SQLite never closes the file: the
// write-ahead log would stay after a clean end.
func (w *writer) close() {
	for _, st := range w.stmts {
		_ = st.Close()
	}
	if w.conn != nil {
		_ = w.conn.Close()
	}
}

// commit runs the jobs in one transaction and answers each. If a statement
// fails, all is undone and each job runs again in a transaction of its own, so
// that only the one at fault hears of it. A fault of the engine's is all of theirs,
// though a full disk may have room for some.
func (w *writer) commit(batch []*job) {
	answers, fault, err := w.persist(batch)
	if err != nil && len(batch) > 1 && (fault == nil || fault == faultFull || !fault.lasting()) {
		for _, j := range batch {
			w.commit([]*job{j})
		}
		return
	}
	for i, j := range batch {
		if err != nil {
			j.done <- err
		} else {
			j.done <- answers[i]
		}
	}
}

// persist tries the transaction again where that may help and cannot do harm.
func (w *writer) persist(batch []*job) (answers []error, f *fault, err error) {
	if w.store.failed.Load() != nil {
		return nil, faultDamaged, faultEnded.of(nil)
	}
	began, part, tries := time.Now(), batch[0].part, w.tries(batch[0].part)
	for try := 1; ; try++ {
		ctx, cancel := context.Background(), context.CancelFunc(func() {})
		if w.store.txTime > 0 {
			ctx, cancel = context.WithTimeout(ctx, w.store.txTime)
		}
		answers, err = w.attempt(ctx, batch)
		cancel()
		w.fit(time.Since(began))
		if err == nil {
			return answers, nil, nil
		}
		if f = w.store.d.fault(err); f == nil || !f.again || try >= tries || time.Since(began) > tryTime {
			if f != nil && f.lost {
				w.away(part)
			}
			return nil, f, w.judge(f, err)
		}
		w.store.log.Debug("the transaction is tried again", "try", try, "error", err)
		if f.lost {
			w.discard()
		}
		time.Sleep(pause(try))
	}
}

// fit has the next transaction be smaller if this one took a good part of the time
// it may take, as behind a slow network: more changes than it has time for would
// all fail together.
func (w *writer) fit(took time.Duration) {
	if limit := w.store.d.txTime; limit > 0 && took > limit/4 {
		w.most = max(1, w.most/4)
	} else {
		w.most = min(maxBatch, 2*w.most)
	}
}

func (w *writer) attempt(ctx context.Context, batch []*job) (answers []error, err error) {
	if err := w.ready(ctx); err != nil {
		return nil, err
	}
	tx := &tx{w: w, ctx: ctx, now: w.store.ticks()}
	if err := tx.begin(); err != nil {
		return nil, err
	}
	answers = make([]error, len(batch))
	for i, j := range batch {
		if answers[i] = j.ctx.Err(); answers[i] != nil {
			continue
		}
		answers[i] = j.do(tx)
		if e := answers[i]; e != nil && !isClientError(e) {
			return nil, w.rollback(ctx, e)
		}
	}
	if err := tx.saveHeads(); err != nil {
		return nil, w.rollback(ctx, err)
	}
	if w.node != nil {
		if err := tx.stamp(batch[0].part); err != nil {
			return nil, w.rollback(ctx, err)
		}
	}
	if err := w.end(ctx); err != nil {
		if f := w.store.d.fault(err); w.node == nil || f == nil || !f.lost {
			return nil, w.rollback(ctx, err)
		}
		committed, doubt := w.resolve(batch[0].part)
		if doubt != nil || !committed {
			return nil, errors.Join(doubt, err)
		}
		w.store.log.Info("a commit whose answer was lost was found to have happened", "error", err)
	}
	for part, h := range tx.heads {
		if h.changed {
			w.store.taking()
			w.store.grown.Add(h.n - h.began)
		}
		if f := w.store.fresh.Load(); f != nil {
			f.at[part] = h.n
		}
	}
	return answers, nil
}

// errEarly is a commit that the engine answered before it was kept everywhere it
// has to be.
var errEarly = errors.New("the engine ended the wait for a synchronous standby: what was committed may not have reached it")

// end commits.
func (w *writer) end(ctx context.Context) error {
	w.early()
	if err := w.simple(ctx, "COMMIT"); err != nil {
		return err
	}
	if w.early() {
		return errEarly
	}
	return nil
}

// early reports whether the engine has warned of what it answered since this
// was last asked.
func (w *writer) early() bool { return w.store.d.warned != nil && w.store.d.warned(w.conn) }

// busyTime is how long the writer waits for another program's transaction.
const busyTime = 5 * time.Second

func (tx *tx) begin() error {
	w := tx.w
	if w.store.d.driverPrepares {
		return tx.later(w.store.d.begin)
	}
	for began := time.Now(); ; {
		err := w.simple(tx.ctx, w.store.d.begin)
		if err == nil || w.store.d.fault(err) != faultBusy || time.Since(began) > busyTime {
			return err
		}
	}
}

// ready sees to it that there is a connection, and a number if one is needed.
func (w *writer) ready(ctx context.Context) error {
	if w.conn == nil {
		if err := w.reconnect(ctx); err != nil {
			return err
		}
	}
	switch {
	case w.store.d.nodes && w.node == nil:
		return w.takeNode(ctx)
	case w.store.distributed:
		return w.renew(ctx)
	}
	return nil
}

// discard gives up the connection, which is of no more use.
func (w *writer) discard() {
	if w.conn != nil {
		_ = w.conn.Raw(func(any) error { return driver.ErrBadConn }) // so that the pool drops it
		_ = w.conn.Close()
		w.conn = nil
	}
}

func (w *writer) reconnect(ctx context.Context) (err error) {
	w.discard()
	conn, err := w.store.write.Conn(ctx)
	if err == nil {
		w.conn = conn
	}
	return err
}

func isClientError(err error) bool {
	_, ok := errors.AsType[*certstate.Error](err)
	return ok
}

func (w *writer) rollback(ctx context.Context, cause error) error {
	// The error that led here says more than one of the rollback's, which
	// SQLite may have done by itself.
	if err := w.simple(ctx, "ROLLBACK"); err != nil && w.store.d.driverPrepares {
		w.discard()
	}
	return cause
}

// judge turns an error of the engine into what the client may know of it, and
// ends writing after one that leaves the file's contents in doubt.
func (w *writer) judge(f *fault, err error) error {
	switch {
	case f == nil:
		return err
	case f.ends:
		w.store.end(err)
	default:
		w.store.refusing(f, err)
	}
	return f.of(err)
}

func (w *writer) simple(ctx context.Context, sql string) error {
	_, err := w.conn.ExecContext(ctx, sql)
	return err
}

func (w *writer) prepared(text string) (*sql.Stmt, error) {
	if st := w.stmts[text]; st != nil {
		return st, nil
	}
	st, err := w.conn.PrepareContext(context.Background(), w.store.d.rebind(text))
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", text, err)
	}
	w.stmts[text] = st
	return st, nil
}

// nextK makes the key of a new record: milliseconds since 1970 in 41 bits, ten
// bits for a server's number, twelve to count within the millisecond. It grows
// even if the clock does not.
func (w *writer) nextK() int64 {
	node := int64(0)
	if w.node != nil {
		node = w.node.no
	}
	k := w.nodeK(w.store.now().UnixMilli(), node)
	if k <= w.lastK {
		k = w.lastK + 1
		if k%4096 == 0 {
			k = w.nodeK(w.lastK>>22+1, node)
		}
	}
	w.lastK = k
	return k
}

// nextK makes the key of a new record, after every key there is: another
// program may have made some since the last transaction.
func (tx *tx) nextK() (int64, error) {
	if !tx.keyed && tx.w.node == nil { // a node has keys of its own
		var last int64
		if err := tx.row("SELECT coalesce(max(k), 0) FROM state").Scan(&last); err != nil {
			return 0, fmt.Errorf("last key: %w", err)
		}
		tx.w.lastK = max(tx.w.lastK, last)
		tx.keyed = true
	}
	return tx.w.nextK(), nil
}

// nodeK is the first key of a server in a millisecond.
func (w *writer) nodeK(ms, node int64) int64 { return ms<<22 | node<<12 }

// tx is a transaction of the writer's. Its statements are prepared once.
type tx struct {
	w       *writer
	ctx     context.Context
	now     edm.DateTimeOffset // one time for all the transaction does
	heads   map[int64]*head    // part → where its log stands
	keyed   bool               // the last key was looked up
	linked  map[linked]bool    // whose links were changed
	waiting []waiting          // statements that were not sent yet
}

func (tx *tx) exec(text string, args ...any) (affected int64, err error) {
	if tx.w.store.d.driverPrepares {
		return tx.sendExec(tx.w.store.d.rebind(text), args)
	}
	st, err := tx.w.prepared(text)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(tx.ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// row is the one row of a query; its Scan says sql.ErrNoRows if there is none.
func (tx *tx) row(text string, args ...any) rowScanner {
	if tx.w.store.d.driverPrepares {
		return sentRow{tx, tx.w.store.d.rebind(text), args}
	}
	st, err := tx.w.prepared(text)
	if err != nil {
		return failedRow{err}
	}
	return st.QueryRowContext(tx.ctx, args...)
}

// rows is the rows of a query, which the caller closes before the next statement.
func (tx *tx) rows(text string, args ...any) (*sql.Rows, error) {
	if tx.w.store.d.driverPrepares {
		if err := tx.sendWaiting(); err != nil {
			return nil, err
		}
		return tx.w.conn.QueryContext(tx.ctx, tx.w.store.d.rebind(text), args...)
	}
	st, err := tx.w.prepared(text)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(tx.ctx, args...)
}

type rowScanner interface{ Scan(targets ...any) error }

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

// head is where a part's log stands in the transaction.
type head struct {
	t       Tenant
	n, live int64 // as in seq
	began   int64 // n, when the transaction began
	// now is the time of the transaction's changes. If the clock has stepped
	// back it is that of the last change, so that times order changes as their
	// numbers do.
	now     edm.DateTimeOffset
	changed bool
	removed bool // with the tenant
}

// head finds out where the log of the tenant's part stands. The transaction
// holds the write lock, or the row's, so nobody moves it before the commit.
func (tx *tx) head(t Tenant) (*head, error) {
	if h := tx.heads[t.part()]; h != nil {
		if h.removed {
			return nil, noTenant(t.ID)
		}
		return h, nil
	}
	h := &head{t: t, now: tx.now}
	var at int64
	err := tx.row("SELECT n, live, at FROM seq WHERE part = $1 AND tenant = $2"+tx.w.store.d.forUpdate, t.part(), t.no).Scan(&h.n, &h.live, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, noTenant(t.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("read the log's head: %w", err)
	}
	h.began = h.n
	if f := tx.w.store.fresh.Load(); f != nil {
		f.mixed = f.mixed || !f.alone(h)
	}
	if at > h.now.Ticks {
		tx.w.clockBehind(time.Duration(at-h.now.Ticks) * 100)
		h.now = edm.DateTimeOffset{Ticks: at}
	}
	if tx.heads == nil {
		tx.heads = map[int64]*head{}
	}
	tx.heads[t.part()] = h
	return h, nil
}

// log writes the next change: the one that made, or ended, the version h.n+1.
func (tx *tx) log(h *head, id string, kind certstate.ChangeKind, live int64, by certstate.Cause) error {
	const insert = "INSERT INTO change (part, tenant, " + changeColumns + ", digest) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
	values := append(make([]any, 0, 9), h.t.part(), h.t.no, h.n+1, id, string(kind), by.Actor, by.Reason, h.now.Ticks)
	if err := tx.later(insert, append(values, digest(values[1:]...))...); err != nil {
		return fmt.Errorf("log change: %w", err)
	}
	h.n++
	h.live += live
	h.changed = true
	return nil
}

// saveHeads writes back where the logs stand.
func (tx *tx) saveHeads() error {
	const save = "UPDATE seq SET n = $1, live = $2, at = $3 WHERE part = $4 AND tenant = $5"
	for part, h := range tx.heads {
		if !h.changed || h.removed {
			continue
		}
		if err := tx.later(save, h.n, h.live, h.now.Ticks, part, h.t.no); err != nil {
			return fmt.Errorf("number changes of tenant %s: %w", h.t.ID, err)
		}
	}
	return nil
}
