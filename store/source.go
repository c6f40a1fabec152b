package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"time"

	"certstate"
	"certstate/edm"
)

// Source is a system that reports certificates by itself, and is read besides,
// since what it tells by itself may be lost. The room sources does both.
type Source struct {
	Name     string // of the tenant's; a segment of a URL
	Kind     string
	Settings []byte // JSON, as the kind has it
	Created  edm.DateTimeOffset

	Seen      edm.DateTimeOffset // when it last told anything; zero: never
	Watermark edm.DateTimeOffset // all that it had by then is known here; zero: it was never read whole
	Tried     edm.DateTimeOffset // when it was last read, or tried to be; zero: never
	Fault     string             // why that failed, "": it did not

	Notified    int64 // certificates that it told of by itself
	Recovered   int64 // that it should have told of and did not, and that were found by reading it: its gaps
	Unannounced int64 // that were read, and that it tells nobody of
	Gone        int64 // that it reported once and does no longer
}

// Known is how many certificates it has reported.
func (s *Source) Known() int64 { return s.Notified + s.Recovered + s.Unannounced }

// Gap is a certificate that a source should have told of, and did not.
type Gap struct {
	Key    string             // the source's own name for it
	SHA256 string             // by which its records are found, "": there are none
	Issued edm.DateTimeOffset // when it begins to be valid, as it says
	Found  edm.DateTimeOffset // when the source was read
	Origin string             // what issued it, in the source's words
}

// readLease is how long who reads a source may be silent.
const readLease = time.Minute

const sourceColumns = "name, kind, settings, created, seen, watermark, tried, fault, notified, recovered, unannounced, gone"

func scanSource(row rowScanner) (s Source, err error) {
	var settings string
	err = row.Scan(&s.Name, &s.Kind, &settings, &s.Created.Ticks, &s.Seen.Ticks, &s.Watermark.Ticks, &s.Tried.Ticks, &s.Fault,
		&s.Notified, &s.Recovered, &s.Unannounced, &s.Gone)
	s.Settings = []byte(settings)
	return s, err
}

var sourceName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// CheckSourceName reports why a name cannot be a source's, or nil.
func CheckSourceName(name string) error {
	if !sourceName.MatchString(name) {
		return certstate.Errorf(certstate.Invalid, "name", "%q cannot be the name of a source: use up to 64 of a to z, 0 to 9, dot, hyphen and underscore, beginning with a letter or digit.", name)
	}
	return nil
}

func noSource(name string) error {
	return certstate.Errorf(certstate.NotFound, "source", "There is no source %q.", name)
}

// AddSource adds a source, or gives one that is there other settings. Of src the
// name, kind and settings are taken.
func (s *Store) AddSource(ctx context.Context, t Tenant, src Source) (added bool, err error) {
	if err := CheckSourceName(src.Name); err != nil {
		return false, err
	}
	err = s.doIn(ctx, t, func(tx *tx) error {
		added = false
		h, err := tx.head(t)
		if err != nil {
			return err
		}
		const change = "UPDATE source SET settings = $4, tried = 0 WHERE part = $1 AND tenant = $2 AND name = $3 AND kind = $5"
		n, err := tx.exec(change, t.part(), t.no, src.Name, string(src.Settings), src.Kind)
		if err != nil || n > 0 {
			return err
		}
		const insert = "INSERT INTO source (part, tenant, name, kind, settings, created) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING"
		n, err = tx.exec(insert, t.part(), t.no, src.Name, src.Kind, string(src.Settings), h.now.Ticks)
		if err == nil && n == 0 {
			return certstate.Errorf(certstate.Conflict, "source", "There is a source %q of another kind: choose another name, or remove it first.", src.Name)
		}
		added = err == nil
		return err
	})
	return added, err
}

// Sources lists a tenant's sources by name.
func (s *Store) Sources(ctx context.Context, t Tenant) (list []Source, err error) {
	rows, err := s.read.QueryContext(ctx, s.d.rebind("SELECT "+sourceColumns+" FROM source WHERE part = $1 AND tenant = $2 ORDER BY name"), t.part(), t.no)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		src, err := scanSource(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, src)
	}
	return list, rows.Err()
}

// Source finds a source of a tenant; NotFound if there is none of the name.
func (s *Store) Source(ctx context.Context, t Tenant, name string) (Source, error) {
	const one = "SELECT " + sourceColumns + " FROM source WHERE part = $1 AND tenant = $2 AND name = $3"
	src, err := scanSource(s.read.QueryRowContext(ctx, s.d.rebind(one), t.part(), t.no, name))
	if errors.Is(err, sql.ErrNoRows) {
		err = noSource(name)
	}
	return src, err
}

// Gaps calls fn for a source's gaps in the order of their keys, after a key and at
// most limit times.
func (s *Store) Gaps(ctx context.Context, t Tenant, name, after string, limit int, fn func(Gap) error) error {
	const page = "SELECT g.key, r.sha256, g.issued, g.found, g.origin FROM gap AS g JOIN reported AS r ON r.part = g.part AND r.source = g.source AND r.key = g.key " +
		"WHERE g.part = $1 AND g.tenant = $2 AND r.part = $1 AND g.source = $3 AND g.key > $4 ORDER BY g.key LIMIT $5"
	rows, err := s.read.QueryContext(ctx, s.d.rebind(page), t.part(), t.no, name, after, limit)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var g Gap
		if err := rows.Scan(&g.Key, &g.SHA256, &g.Issued.Ticks, &g.Found.Ticks, &g.Origin); err != nil {
			return err
		}
		if err := fn(g); err != nil {
			return err
		}
	}
	return rows.Err()
}

// removeBatch is how many rows of a source are deleted in one transaction.
const removeBatch = 2000

// RemoveSource forgets a source and what it reported. The records stay as they are.
func (s *Store) RemoveSource(ctx context.Context, t Tenant, name string) error {
	if _, err := s.Source(ctx, t, name); err != nil {
		return err
	}
	held, err := s.ReadSource(ctx, t, name)
	if err == nil && !held {
		err = certstate.Errorf(certstate.Conflict, "source", "The source %q is being read at the moment. Try again.", name)
	}
	for left := true; left && err == nil; {
		err = s.doIn(ctx, t, func(tx *tx) error {
			left, err = tx.removeSource(t, name)
			return err
		})
	}
	return err
}

// removeSource deletes some of what a source has, and the source with the last.
func (tx *tx) removeSource(t Tenant, name string) (left bool, err error) {
	if err := tx.keepReading(t, name); err != nil {
		return false, err
	}
	for _, table := range []string{"gap", "reported"} {
		n, err := tx.exec("DELETE FROM "+table+" WHERE part = $1 AND tenant = $2 AND source = $3 AND key IN (SELECT key FROM "+table+
			" WHERE part = $1 AND tenant = $2 AND source = $3 LIMIT $4)", t.part(), t.no, name, removeBatch)
		if err != nil || n > 0 {
			return true, err
		}
	}
	_, err = tx.exec("DELETE FROM source WHERE part = $1 AND tenant = $2 AND name = $3", t.part(), t.no, name)
	return false, err
}

// ReadSource takes the lease of a source, by which one program at a time reads it,
// and reports whether it has it. Every change that a reader makes renews the
// lease, or fails if somebody else has it by now; [Store.SourceRead] gives it back.
func (s *Store) ReadSource(ctx context.Context, t Tenant, name string) (held bool, err error) {
	take := "UPDATE source SET holder = $4, until = " + s.d.clock + " + $5 WHERE part = $1 AND tenant = $2 AND name = $3 AND (holder = $4 OR until < " + s.d.clock + ")"
	err = s.doIn(ctx, t, func(tx *tx) error {
		if _, err := tx.head(t); err != nil {
			return err
		}
		n, err := tx.exec(take, t.part(), t.no, name, s.name, readLease.Milliseconds())
		held = n > 0
		return err
	})
	return held, err
}

// ErrNotReader is what a reader is told that was silent for too long.
var ErrNotReader = errors.New("another server reads the source by now")

// keepReading renews the lease of a source's reader. Its row is locked until the
// transaction ends, so that nobody else becomes the reader before.
func (tx *tx) keepReading(t Tenant, name string) error {
	if _, err := tx.head(t); err != nil { // before the source's row, as everybody does
		return err
	}
	s := tx.w.store
	n, err := tx.exec("UPDATE source SET until = "+s.d.clock+" + $5 WHERE part = $1 AND tenant = $2 AND name = $3 AND holder = $4", t.part(), t.no, name, s.name, readLease.Milliseconds())
	if err == nil && n == 0 {
		return undone{ErrNotReader}
	}
	return err
}

// KeepReading renews the lease while there is nothing to write.
func (s *Store) KeepReading(ctx context.Context, t Tenant, name string) error {
	return readersError(s.doIn(ctx, t, func(tx *tx) error { return tx.keepReading(t, name) }))
}

func readersError(err error) error {
	if undo, ok := errors.AsType[undone](err); ok {
		return undo.why
	}
	return err
}

// SourceRead ends the reading of a source: all that it had at the watermark is
// known here, or fault says why that is not so.
func (s *Store) SourceRead(ctx context.Context, t Tenant, name string, watermark edm.DateTimeOffset, fault string) error {
	const failed = "UPDATE source SET holder = '', until = 0, tried = $4, fault = $5 WHERE part = $1 AND tenant = $2 AND name = $3"
	const whole = "UPDATE source SET holder = '', until = 0, tried = $4, fault = '', seen = $4, watermark = $5 WHERE part = $1 AND tenant = $2 AND name = $3"
	return readersError(s.doIn(ctx, t, func(tx *tx) (err error) {
		if err := tx.keepReading(t, name); err != nil {
			return err
		}
		if fault != "" {
			_, err = tx.exec(failed, t.part(), t.no, name, tx.now.Ticks, fmt.Sprintf("%.1000s", fault))
		} else {
			_, err = tx.exec(whole, t.part(), t.no, name, tx.now.Ticks, watermark.Ticks)
		}
		return err
	}))
}
