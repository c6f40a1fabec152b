package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"certstate"
	"certstate/edm"
)

// A client that did not hear the answer to a change sends it again. Two ways
// make that one change, both for as long as Options.Repeats says:
//
// A request with an id of its own (certstate.Once) is remembered in the table
// once, by the transaction of its change: so it is remembered exactly if the
// change was made. What is kept is not the answer but which version of the
// record it showed, from which the same request has the same answer. A request
// that fails leaves nothing and runs again, as the standard allows.
//
// A record that its client named needs no more than the log: created knows the
// request by what it made.

// clockSkew is how far the clocks of clients and of other servers may be off.
const clockSkew = 5 * time.Minute

// RequestIDTarget and FirstSentTarget are the targets of errors that say why a
// request was refused as a repeatable one: the names of the headers.
const (
	RequestIDTarget = "Repeatability-Request-ID"
	FirstSentTarget = "Repeatability-First-Sent"
)

// Repeats is how long after it was first sent a request may be repeated; 0 is
// never.
func (s *Store) Repeats() time.Duration { return s.repeats }

// once runs do, unless the request was carried out before: then it returns what
// do returned at that time.
func (tx *tx) once(t Tenant, o *certstate.Once, do func() (*certstate.State, error)) (*certstate.State, error) {
	if o == nil {
		return do()
	}
	h, err := tx.head(t) // its lock has another server wait that was sent the same
	if err != nil {
		return nil, err
	}
	if err := tx.w.store.inWindow(o.First, h.now); err != nil {
		return nil, err
	}
	answer, done, err := tx.answered(t, o)
	if err != nil || done {
		return answer, err
	}
	if answer, err = do(); err != nil {
		return nil, err
	}
	return answer, tx.remember(t, o, h, answer)
}

// inWindow reports why a request that was first sent at a time cannot be known
// to be the first or not: what is older is forgotten. Time is the log's, which
// never falls.
func (s *Store) inWindow(first, now edm.DateTimeOffset) error {
	switch {
	case first.Ticks < now.Ticks-ticksOf(s.repeats):
		return certstate.Errorf(certstate.Precondition, FirstSentTarget,
			"%s is longer ago than requests are remembered, which is %s. Find out whether the request was carried out before you send it as a new one.", FirstSentTarget, s.repeats)
	case first.Ticks > now.Ticks+ticksOf(clockSkew):
		return certstate.Errorf(certstate.Precondition, FirstSentTarget, "%s is in the future: the server's time is %s.", FirstSentTarget, now.Text())
	}
	return nil
}

func ticksOf(d time.Duration) int64 { return int64(d / 100) } // of 100 ns

// answered finds what a request was answered with if it was carried out before.
func (tx *tx) answered(t Tenant, o *certstate.Once) (answer *certstate.State, done bool, err error) {
	var print []byte
	var id string
	var ver int64
	err = tx.row("SELECT print, id, ver FROM once WHERE tenant = $1 AND part = $2 AND key = $3", t.no, t.part(), o.Key[:]).Scan(&print, &id, &ver)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("look for the request: %w", err)
	case !bytes.Equal(print, o.Print[:]):
		return nil, false, certstate.Errorf(certstate.Invalid, RequestIDTarget,
			"The id in %s belongs to another request, with another method, URL, header or body. Give each request an id of its own.", RequestIDTarget)
	case id == "": // it deleted the record
		return nil, true, nil
	}
	answer, err = tx.version(t, id, ver)
	return answer, err == nil, err
}

// version reads a version of a record.
func (tx *tx) version(t Tenant, id string, ver int64) (*certstate.State, error) {
	sc := newScanner(certstate.All)
	err := sc.scan(tx.row(selectVersion, t.no, t.part(), id, ver))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, certstate.Errorf(certstate.Precondition, FirstSentTarget, "The request was carried out, but the history that tells its answer is no longer kept. Read the record.")
	}
	if err != nil {
		return nil, fmt.Errorf("read version %d: %w", ver, err)
	}
	return &sc.state, nil
}

var selectVersion = selectFrom(certstate.All, pastSource("$4"), byID)

// remember writes down that a request was carried out. Another server's clock
// may be behind, and it must not run the request again.
func (tx *tx) remember(t Tenant, o *certstate.Once, h *head, answer *certstate.State) error {
	id, ver := "", h.n
	if answer != nil {
		id, ver = answer.ID.S, answer.Version
	}
	until := o.First.Ticks + ticksOf(tx.w.store.repeats+clockSkew)
	_, err := tx.exec("INSERT INTO once (part, tenant, key, print, id, ver, until) VALUES ($1, $2, $3, $4, $5, $6, $7)",
		t.part(), t.no, o.Key[:], o.Print[:], id, ver, until)
	if err != nil {
		return fmt.Errorf("remember the request: %w", err)
	}
	return nil
}

// createOnce is create, for a client that may have asked for it already.
func (tx *tx) createOnce(t Tenant, in *certstate.State, by certstate.Cause) (*certstate.State, error) {
	err := tx.create(t, in, by)
	if certstate.ErrorCode(err) == certstate.Conflict {
		return tx.created(t, in, by, err)
	}
	return in, err
}

// created is the answer to a create whose id is taken. If the same actor has made
// the very record, for the same reason and a moment ago, and nobody has changed
// it, the request is that one again, and the record its answer. All others get
// conflict.
func (tx *tx) created(t Tenant, in *certstate.State, by certstate.Cause, conflict error) (*certstate.State, error) {
	h, err := tx.head(t)
	if err != nil || tx.w.store.repeats == 0 {
		return nil, errors.Join(err, conflict)
	}
	old, err := tx.find(t, in.ID.S, nil)
	if err != nil {
		return nil, err
	}
	asked := *in                                              // which a second try of the transaction needs as it was
	asked.Created, asked.Modified = old.Created, old.Modified // which no client sends
	named(&old.State).give(&asked)
	if certstate.Assign(&asked, &old.State, certstate.All) {
		return nil, conflict
	}
	var made certstate.Change
	err = tx.row("SELECT kind, actor, reason, at FROM change WHERE part = $1 AND tenant = $2 AND n = $3", t.part(), t.no, old.Version).
		Scan(&made.Kind, &made.Actor, &made.Reason, &made.At.Ticks)
	switch {
	case errors.Is(err, sql.ErrNoRows): // it is older than the log
		return nil, conflict
	case err != nil:
		return nil, fmt.Errorf("find who made the record: %w", err)
	case made.Kind != certstate.CreatedKind, made.Actor != by.Actor, made.Reason != by.Reason, made.At.Ticks < h.now.Ticks-ticksOf(tx.w.store.repeats):
		return nil, conflict
	}
	return &old.State, nil
}

const (
	forgetEvery = time.Minute
	forgetBatch = 500 // requests in one transaction
)

// Forget forgets the requests that may no longer be repeated, of every tenant.
func (s *Store) Forget(ctx context.Context) error {
	tenants, err := s.Tenants(ctx)
	for i := 0; i < len(tenants) && err == nil; i++ {
		err = s.forget(ctx, tenants[i])
	}
	return err
}

func (s *Store) forget(ctx context.Context, t Tenant) error {
	const some = "SELECT key FROM once WHERE part = $1 AND tenant = $2 AND until < $3 ORDER BY until LIMIT $4"
	for n := int64(forgetBatch); n == forgetBatch; {
		now := s.ticks().Ticks
		var one []byte
		err := s.read.QueryRowContext(ctx, s.d.rebind(some), t.part(), t.no, now, 1).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil {
			err = s.doIn(ctx, t, func(tx *tx) (err error) {
				n, err = tx.exec("DELETE FROM once WHERE part = $1 AND tenant = $2 AND key IN ("+some+")", t.part(), t.no, now, forgetBatch)
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("forget requests: %w", err)
		}
		if err := s.pause(prunePause); err != nil {
			return err
		}
	}
	return nil
}
