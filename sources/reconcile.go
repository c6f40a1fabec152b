package sources

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/store"
)

// pageKeys is how many keys are compared at a time, and sightChunk how many
// certificates are taken in one transaction.
const (
	pageKeys   = 2000
	sightChunk = 200
)

// ErrHeld says that another program reads the source at the moment.
var ErrHeld = errors.New("another server reads the source at the moment")

// Result is what a reading found.
type Result struct {
	Read    int // certificates the source has
	New     int // that were not known
	Gone    int // that it has no longer
	Revoked int // that it has revoked since
	Unfit   int // that cannot be kept; why is logged
}

// Reconcile reads a source whole, and has the register know what it has. However it
// ends, the source's status says so. It returns [ErrHeld] if somebody else is at it.
func Reconcile(ctx context.Context, s *store.Store, t store.Tenant, name string, log *slog.Logger) (Result, error) {
	held, err := s.ReadSource(ctx, t, name)
	if err == nil && !held {
		if _, err = s.Source(ctx, t, name); err == nil {
			err = ErrHeld
		}
	}
	if err != nil {
		return Result{}, err
	}
	r := &reading{s: s, t: t, name: name, log: log.With("tenant", t.ID, "source", name), renewed: time.Now()}
	mark, err := r.run(ctx)
	fault := ""
	if ctx.Err() != nil {
		fault = "it was stopped before all was read"
	} else if err != nil {
		fault = err.Error()
	}
	if !errors.Is(err, store.ErrNotReader) {
		err = errors.Join(err, s.SourceRead(context.WithoutCancel(ctx), t, name, mark, fault))
	}
	return r.found, err
}

// reading is one of a source.
type reading struct {
	s    *store.Store
	t    store.Tenant
	name string
	log  *slog.Logger

	src     store.Source
	set     StepCA
	db      Database
	renewed time.Time
	found   Result
}

// run returns up to when all that the source had is known.
func (r *reading) run(ctx context.Context) (mark edm.DateTimeOffset, err error) {
	if r.src, err = r.s.Source(ctx, r.t, r.name); err != nil {
		return mark, err
	}
	if r.set, err = Settings(&r.src); err != nil {
		return mark, err
	}
	if r.set.Database == "" {
		return mark, errors.New("it has no database to read")
	}
	if err = checkFollowed(r.set.Database); err != nil {
		return mark, err
	}
	if r.db, err = OpenDatabase(ctx, r.set.Database); err != nil {
		return mark, err
	}
	defer func() { err = errors.Join(err, r.db.Close()) }()
	at, err := r.db.now(ctx)
	if err != nil {
		return mark, err
	}
	if err := r.pages(ctx, certsTable, r.compare); err != nil {
		return mark, err
	}
	return edm.Time(at.UTC()), r.pages(ctx, revokedTable, r.revoked)
}

// pages calls fn for each page of a table's keys with what is known of their range:
// of the keys after the page before it up to its own last, or all after it if it is
// the last page.
func (r *reading) pages(ctx context.Context, table string, fn func(ctx context.Context, keys []string, known map[string]store.Reported) error) error {
	for after, more := "", true; more; {
		keys, err := r.db.keys(ctx, table, after, pageKeys)
		if err != nil {
			return err
		}
		if table == certsTable && after == "" && len(keys) == 0 && r.src.Known() > r.src.Gone {
			return fmt.Errorf("it has no certificates, and had %d: is it the right database? Nothing was changed", r.src.Known()-r.src.Gone)
		}
		to := ""
		if more = len(keys) == pageKeys; more {
			to = keys[len(keys)-1]
		}
		known, err := r.known(ctx, after, to)
		if err == nil {
			err = fn(ctx, keys, known)
		}
		if err == nil {
			err = r.keep(ctx)
		}
		if err != nil {
			return err
		}
		after = to
	}
	return nil
}

// known is what the register knows of a range of keys.
func (r *reading) known(ctx context.Context, after, to string) (map[string]store.Reported, error) {
	m := map[string]store.Reported{}
	for {
		list, err := r.s.Reports(ctx, r.t, r.name, after, to, pageKeys)
		if err != nil {
			return nil, err
		}
		for _, x := range list {
			m[x.Key] = x
		}
		if len(list) < pageKeys {
			return m, nil
		}
		after = list[len(list)-1].Key
	}
}

// renewAfter is when a lease is renewed if there is nothing to write.
const renewAfter = 15 * time.Second

func (r *reading) keep(ctx context.Context) error {
	if time.Since(r.renewed) < renewAfter {
		return ctx.Err()
	}
	r.renewed = time.Now()
	return r.s.KeepReading(ctx, r.t, r.name)
}

func (r *reading) by(reason string) certstate.Cause {
	return certstate.Cause{Actor: actor(r.name), Reason: reason}
}

// compare takes what is new, and notes what is gone.
func (r *reading) compare(ctx context.Context, keys []string, known map[string]store.Reported) error {
	r.found.Read += len(keys)
	var fresh, gone []string
	for _, key := range keys {
		if x, ok := known[key]; !ok || x.Gone {
			fresh = append(fresh, key)
		}
		delete(known, key)
	}
	for key, x := range known {
		if !x.Gone {
			gone = append(gone, key)
		}
	}
	if err := r.take(ctx, fresh); err != nil {
		return err
	}
	return r.vanish(ctx, gone)
}

func (r *reading) take(ctx context.Context, fresh []string) error {
	for len(fresh) > 0 {
		n := min(len(fresh), sightChunk)
		list, err := certificates(ctx, r.db, fresh[:n])
		if err != nil {
			return err
		}
		sightings := make([]store.Sighting, len(list))
		for i := range list {
			sightings[i] = r.set.sighted(r.name, &list[i])
		}
		faults, err := r.s.Sight(ctx, r.t, r.name, sightings, r.by("found by reading the source"))
		if err != nil {
			return err
		}
		for i, fault := range faults {
			if fault != nil {
				r.log.Warn("a certificate of the source cannot be kept", "serial", sightings[i].Key, "error", fault)
				r.found.Unfit++
			} else {
				r.found.New++
			}
		}
		fresh = fresh[n:]
	}
	return nil
}

// vanish notes what the source has no longer. What came to be known since the page
// was read is not in the page, and not gone: so the source is asked again.
func (r *reading) vanish(ctx context.Context, gone []string) error {
	for len(gone) > 0 {
		n := min(len(gone), sightChunk)
		there, err := r.db.values(ctx, certsTable, gone[:n])
		if err != nil {
			return err
		}
		var keys []string
		for _, key := range gone[:n] {
			if _, ok := there[key]; !ok {
				keys = append(keys, key)
			}
		}
		if len(keys) > 0 {
			if err := r.s.Vanish(ctx, r.t, r.name, keys, r.by("the source reports it no longer")); err != nil {
				return err
			}
		}
		r.found.Gone += len(keys)
		gone = gone[n:]
	}
	return nil
}

// revoked takes the revocations of certificates that are known.
func (r *reading) revoked(ctx context.Context, keys []string, known map[string]store.Reported) error {
	var fresh []string
	for _, key := range keys {
		if x, ok := known[key]; ok && !x.Revoked {
			fresh = append(fresh, key)
		}
	}
	ended, err := revocations(ctx, r.db, fresh)
	if err != nil {
		return err
	}
	list := make([]store.Revocation, 0, sightChunk)
	send := func() error {
		err := r.s.Revoke(ctx, r.t, r.name, list, r.by(""))
		r.found.Revoked += len(list)
		list = list[:0]
		return err
	}
	for key, x := range ended {
		if list = append(list, store.Revocation{Key: key, At: x.at(), Reason: x.String()}); len(list) == sightChunk {
			if err := send(); err != nil {
				return err
			}
		}
	}
	if len(list) == 0 {
		return nil
	}
	return send()
}
