package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Reads that may be long (lists, counts, aggregations, history, delta) are
// answered by a replica of the database if there is one, and nobody can tell
// by the answer: a read sees every change that was acknowledged to anyone
// before it began, and nothing that a later read could miss.
//
// The number of a tenant's last change says how far a replica is: numbers are
// given in the order of commits, so one that shows change n shows all before
// it. A read asks the primary for the number, takes a snapshot on the replica,
// and uses it if it shows that change. If it shows later ones, which a failover
// might yet undo, the primary must show them too. All of the read's statements
// are answered from the one snapshot. A page of delta need not ask: its round
// was fixed at a change that the primary showed.
//
// Where a replica does not serve, the primary does, at once.

// replica is the database that reads are answered from, with what was met there
// last.
type replica struct {
	db  *sql.DB
	log *slog.Logger

	answered atomic.Int64 // reads

	mu      sync.Mutex
	rest    time.Time // until when it is left alone
	since   time.Time // when the trouble began, zero without one
	noticed bool      // it was logged
}

const (
	replicaTime  = 250 * time.Millisecond // to take a snapshot there
	catchUp      = 4 * time.Millisecond   // the last, longest pause for a replica that is a moment behind
	restBehind   = 200 * time.Millisecond // after which one that is further behind is asked again,
	restAway     = time.Second            // and one that does not answer
	behindNotice = 5 * time.Second        // after which an operator should know that it is behind
)

var (
	errBehind = errors.New("it is behind")
	errOther  = errors.New("its schema is of another release: it is behind, or no replica of the database")
)

// CheckReadDatabase reports what is wrong with the URL of a read database
// beside that of the database; an empty one is right.
func CheckReadDatabase(database, read string) error {
	if read == "" {
		return nil
	}
	for _, url := range []string{database, read} {
		if d, err := dialectOf(url); err != nil {
			return err
		} else if d.openReplica == nil {
			return fmt.Errorf("a register in %s has no replicas: leave the read database out, or keep the register in PostgreSQL", d.name)
		}
	}
	return nil
}

// openReplica opens the read database. One that is away is no reason not to
// serve.
func (s *Store) openReplica(ctx context.Context, url string) error {
	if url == "" {
		return nil
	}
	db, err := s.d.openReplica(url)
	if err != nil {
		return err
	}
	s.replica = &replica{db: db, log: s.log}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	s.replica.found(db.PingContext(ctx))
	return nil
}

func (r *replica) close() error {
	r.log.Debug("the read database is left", "reads", r.answered.Load())
	return r.db.Close()
}

// found keeps what was met at the replica, and logs each turn once.
func (r *replica) found(trouble error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if trouble == nil {
		if r.noticed {
			r.log.Info("the read database answers again")
		}
		r.since, r.noticed = time.Time{}, false
		return
	}
	if r.since.IsZero() {
		r.since = now
	}
	behind := errors.Is(trouble, errBehind)
	r.rest = now.Add(restAway)
	if behind {
		r.rest = now.Add(restBehind)
	}
	if !r.noticed && (!behind || now.Sub(r.since) >= behindNotice) {
		r.noticed = true
		r.log.Warn("the read database does not serve; the database answers all", "error", trouble)
	}
}

func (r *replica) resting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Before(r.rest)
}

// view is a snapshot on the replica that a read's statements are answered from.
// It travels in the read's context, since it is of one read, as a cancellation
// is. A read is one goroutine.
type view struct {
	r    *replica
	conn *sql.Conn // nil once it was given up
}

type viewKey struct{}

// elsewhere takes a snapshot on the replica for a read of a tenant's records.
// fixed is the change that the read is about, if it was settled before; without
// one it is about the newest. The read's statements are run with the context
// that is returned.
func (s *Store) elsewhere(ctx context.Context, t Tenant, fixed *Mark) (_ context.Context, done func()) {
	if s.replica == nil || s.replica.resting() {
		return ctx, func() {}
	}
	v, err := s.look(ctx, t, fixed)
	if v == nil {
		// A link may name a change that is nowhere.
		if err != nil && ctx.Err() == nil && (fixed == nil || !errors.Is(err, errBehind)) {
			s.replica.found(err)
		}
		return ctx, func() {}
	}
	s.replica.found(nil)
	s.replica.answered.Add(1)
	return context.WithValue(ctx, viewKey{}, v), v.end
}

// look takes the snapshot. Without one and without an error, the primary is to
// say what is wrong.
func (s *Store) look(ctx context.Context, t Tenant, fixed *Mark) (*view, error) {
	ctx, cancel := context.WithTimeout(ctx, replicaTime)
	defer cancel()
	var least Mark
	if fixed != nil {
		least = *fixed
	} else if l, err := s.logState(ctx, t); err == nil {
		least = Mark{l.n, l.at}
	} else {
		return nil, nil //nolint:nilerr,nilnil // see above
	}
	conn, err := s.replica.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	v := &view{s.replica, conn}
	for pause := catchUp / 4; ; pause *= 2 {
		there, err := s.begin(ctx, conn, t)
		if err == nil && s.settled(ctx, t, &least, there, fixed != nil) {
			return v, nil
		}
		if err != nil && !errors.Is(err, errBehind) {
			v.drop()
			return nil, err
		}
		if v.rollback(); v.conn == nil || pause > catchUp {
			v.end()
			return nil, errBehind
		}
		time.Sleep(pause)
	}
}

// begin takes a snapshot and says which of the tenant's changes it shows last.
func (s *Store) begin(ctx context.Context, conn *sql.Conn, t Tenant) (there Mark, err error) {
	if _, err := conn.ExecContext(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return there, err
	}
	var version int
	const last = "SELECT n, at, (SELECT version FROM schema_version) FROM seq WHERE part = $1 AND tenant = $2"
	err = conn.QueryRowContext(ctx, last, t.part(), t.no).Scan(&there.N, &there.At, &version)
	pg, _ := errors.AsType[*pgconn.PgError](err)
	switch {
	case errors.Is(err, sql.ErrNoRows), pg != nil && pg.Code == "42P01": // the tenant has not arrived, or its table
		return there, errBehind
	case err == nil && version != len(s.d.migrations()):
		return there, errOther
	}
	return there, err
}

// settled reports whether a snapshot shows the change that it must, and none
// that the primary does not show. least becomes the primary's newest if that was
// asked for again.
func (s *Store) settled(ctx context.Context, t Tenant, least *Mark, there Mark, fixed bool) bool {
	if there.N <= least.N || fixed {
		return there.N > least.N || there == *least
	}
	l, err := s.logState(ctx, t)
	if err != nil {
		return false
	}
	*least = Mark{l.n, l.at}
	return there.N < l.n || there == *least
}

// query runs a statement of the read, unless the replica fails it: then the
// primary is to run it, and the rest of the read. It may be that the statement
// itself is at fault, which the primary will find, too.
func (v *view) query(ctx context.Context, text string, args []any) (rows *sql.Rows, answered bool, err error) {
	if v.conn == nil {
		return nil, false, nil
	}
	rows, err = v.conn.QueryContext(ctx, text, args...)
	if err == nil || ctx.Err() != nil || postgresFault(err) == faultSlow {
		return rows, true, err
	}
	if f := postgresFault(err); f != nil && f.lost {
		v.r.found(err)
	}
	v.drop()
	return nil, false, nil
}

// end gives the connection back.
func (v *view) end() {
	v.rollback()
	if v.conn != nil {
		_ = v.conn.Close()
		v.conn = nil
	}
}

func (v *view) rollback() {
	if v.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), replicaTime)
	defer cancel()
	if _, err := v.conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		v.drop()
	}
}

// drop gives the connection up.
func (v *view) drop() {
	_ = v.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = v.conn.Close()
	v.conn = nil
}
