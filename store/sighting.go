package store

import (
	"context"
	"errors"
	"fmt"

	"certstate"
	"certstate/edm"
)

// Via is how a certificate of a source came to be known.
type Via int64

const (
	Notified    Via = iota // the source told of it
	Recovered              // it should have, and did not: it was found by reading the source
	Unannounced            // the source tells nobody of such; it was found by reading it
)

// Sighting is a certificate that a source reports.
type Sighting struct {
	Key string // the source's own name for it
	Via Via
	// Registration is what becomes of it. Without a certificate no record is
	// made; it is known to be there all the same.
	Registration
	Issued edm.DateTimeOffset // when it begins to be valid, as it says
	Origin string             // what issued it, in the source's words
}

// entry is what becomes of it, made ready. Nothing is asked for one without a
// certificate.
func (x *Sighting) entry() (e Entry) {
	if x.State.Certificate.Valid {
		e = Entry{Registration: x.Registration, Way: Report}
		e.Prepare()
	}
	return e
}

// Notify takes what a source tells by itself, possibly again. What it has told of
// before changes nothing, except that a gap ends. An empty list is a sign of life.
func (s *Store) Notify(ctx context.Context, t Tenant, name string, list []Sighting, by certstate.Cause) error {
	faults, err := s.sight(ctx, t, name, list, by, func(tx *tx) error {
		n, err := tx.exec("UPDATE source SET seen = $4 WHERE part = $1 AND tenant = $2 AND name = $3", t.part(), t.no, name, tx.now.Ticks)
		if err == nil && n == 0 {
			return undone{noSource(name)}
		}
		return err
	})
	return errors.Join(append(faults, err)...)
}

// Sight takes what was found by reading a source; only its reader may. faults[i]
// says why list[i] could not be taken, and is nil for the others. An error means
// that nothing was.
func (s *Store) Sight(ctx context.Context, t Tenant, name string, list []Sighting, by certstate.Cause) (faults []error, err error) {
	return s.sight(ctx, t, name, list, by, func(tx *tx) error { return tx.keepReading(t, name) })
}

func (s *Store) sight(ctx context.Context, t Tenant, name string, list []Sighting, by certstate.Cause, may func(*tx) error) ([]error, error) {
	entries, faults := make([]Entry, len(list)), make([]error, len(list))
	for i := range list {
		entries[i] = list[i].entry()
	}
	err := s.doIn(ctx, t, func(tx *tx) error {
		h, err := tx.head(t)
		if err != nil {
			return err
		}
		if err := may(tx); err != nil {
			return err
		}
		src, err := tx.tellingOf(t, name, by, len(list), func(i int) string { return list[i].Key })
		if err == nil {
			src.known, err = tx.mayKnow(t, h, entries)
		}
		if err != nil {
			return err
		}
		for i := range list {
			if faults[i] = entries[i].fault; faults[i] != nil {
				continue
			}
			if faults[i] = src.sight(&list[i], &entries[i]); faults[i] != nil && !isClientError(faults[i]) {
				return faults[i]
			}
		}
		return src.count()
	})
	return faults, readersError(err)
}

// telling is what a source tells, or is found to have, in one transaction.
type telling struct {
	tx   *tx
	t    Tenant
	name string
	by   certstate.Cause
	vias [Unannounced + 1]int // certificates more that came to be known so
	gone int                  // more that it reports no longer

	reports map[string]*report // of the keys that it is about
	known   *known
	first   *bool // whether the source was never read whole; nil: it was not asked
}

// tellingOf reads what is known of n keys, many at a time.
func (tx *tx) tellingOf(t Tenant, name string, by certstate.Cause, n int, key func(int) string) (*telling, error) {
	src := &telling{tx: tx, t: t, name: name, by: by, reports: make(map[string]*report, n)}
	for from := 0; from < n; from += probeKeys {
		args := append(make([]any, 0, 3+probeKeys), t.part(), t.no, name)
		for i := range probeKeys {
			args = append(args, key(min(from+i, n-1)))
		}
		if err := src.read(args); err != nil {
			return nil, fmt.Errorf("read what a source reported: %w", err)
		}
	}
	return src, nil
}

// reportsOf reads what is known of keys.
var reportsOf = "SELECT key, sha256, via, revoked, gone FROM reported WHERE part = $1 AND tenant = $2 AND source = $3 AND key IN (" + placeholders(4, probeKeys) + ")"

func (src *telling) read(args []any) error {
	rows, err := src.tx.rows(reportsOf, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		var r report
		if err := rows.Scan(&key, &r.sha256, &r.via, &r.revoked, &r.gone); err != nil {
			return err
		}
		src.reports[key] = &r
	}
	return rows.Err()
}

// count adds up in the source's row what was told: once, for the row is wide.
func (src *telling) count() error {
	if src.vias == [Unannounced + 1]int{} && src.gone == 0 {
		return nil
	}
	const add = "UPDATE source SET notified = notified + $4, recovered = recovered + $5, unannounced = unannounced + $6, gone = gone + $7 WHERE part = $1 AND tenant = $2 AND name = $3"
	return src.tx.later(add, src.t.part(), src.t.no, src.name, src.vias[Notified], src.vias[Recovered], src.vias[Unannounced], src.gone)
}

// exec changes rows of the source's, which $1 to $3 tell.
func (src *telling) exec(text string, args ...any) error {
	return src.tx.later(text, append([]any{src.t.part(), src.t.no, src.name}, args...)...)
}

// report is a row of reported.
type report struct {
	sha256        string
	via           Via
	revoked, gone int64
}

func (src *telling) sight(x *Sighting, e *Entry) error {
	r := src.reports[x.Key]
	if r == nil {
		return src.take(x, e)
	}
	if r.gone != 0 {
		if err := src.returned(x.Key, r); err != nil {
			return err
		}
	}
	if x.Via == Notified && r.via != Notified {
		return src.late(x.Key, r)
	}
	return nil
}

// take takes a certificate that was not known.
func (src *telling) take(x *Sighting, e *Entry) error {
	sha256, err := src.record(e)
	if err != nil {
		return err
	}
	via, err := src.via(x.Via)
	if err != nil {
		return err
	}
	revoked := int64(0)
	if x.State.RevokeStatus == certstate.Revoked {
		revoked = 1
	}
	const insert = "INSERT INTO reported (part, tenant, source, key, sha256, via, revoked, gone) VALUES ($1, $2, $3, $4, $5, $6, $7, 0)"
	if err := src.exec(insert, x.Key, sha256, int64(via), revoked); err != nil {
		return fmt.Errorf("note what a source reports: %w", err)
	}
	src.vias[via]++
	src.reports[x.Key] = &report{sha256: sha256, via: via, revoked: revoked}
	if via != Recovered {
		return nil
	}
	const gap = "INSERT INTO gap (part, tenant, source, key, found, issued, origin) VALUES ($1, $2, $3, $4, $5, $6, $7)"
	if err := src.exec(gap, x.Key, src.tx.now.Ticks, x.Issued.Ticks, fmt.Sprintf("%.500s", x.Origin)); err != nil {
		return fmt.Errorf("note a gap: %w", err)
	}
	return nil
}

// record has a certificate be a record, and returns its SHA-256, or "" if none is to
// be made of it.
func (src *telling) record(e *Entry) (sha256 string, err error) {
	if !e.State.Certificate.Valid {
		return "", nil
	}
	may, err := src.known.may(e)
	if err != nil {
		return "", err
	}
	st, err := src.tx.register(src.t, &e.Registration, may, src.by)
	if err != nil {
		return "", err
	}
	src.known.brought(e)
	if st.Findings&(certstate.NoLongerReported|certstate.SharedCertificate) != 0 { // by other sources
		err = src.mark(st.ThumbprintSHA256.S, 0)
	}
	return st.ThumbprintSHA256.S, err
}

// via has nothing be a gap that was there when the source was first read.
func (src *telling) via(via Via) (Via, error) {
	if via != Recovered {
		return via, nil
	}
	if src.first == nil {
		var watermark int64
		err := src.tx.row("SELECT watermark FROM source WHERE part = $1 AND tenant = $2 AND name = $3", src.t.part(), src.t.no, src.name).Scan(&watermark)
		if err != nil {
			return via, err
		}
		first := watermark == 0
		src.first = &first
	}
	if *src.first {
		via = Unannounced
	}
	return via, nil
}

// late has a certificate be told of that was read before.
func (src *telling) late(key string, r *report) error {
	if err := src.exec("DELETE FROM gap WHERE part = $1 AND tenant = $2 AND source = $3 AND key = $4", key); err != nil {
		return err
	}
	src.vias[r.via]--
	src.vias[Notified]++
	r.via = Notified
	return src.exec("UPDATE reported SET via = $5 WHERE part = $1 AND tenant = $2 AND source = $3 AND key = $4", key, int64(Notified))
}

// returned takes back that a certificate is no longer reported.
func (src *telling) returned(key string, r *report) error {
	if err := src.exec("UPDATE reported SET gone = 0 WHERE part = $1 AND tenant = $2 AND source = $3 AND key = $4", key); err != nil {
		return err
	}
	src.gone--
	r.gone = 0
	return src.mark(r.sha256, 0)
}

// mark has the records of a certificate say whether any source reports it.
func (src *telling) mark(sha256 string, want certstate.Findings) error {
	holders, err := src.tx.holders(src.t, sha256)
	if err != nil {
		return err
	}
	for i := range holders {
		was := holders[i].Findings
		if was&certstate.NoLongerReported == want {
			continue
		}
		patch := certstate.State{Findings: was&^certstate.NoLongerReported | want}
		if _, err := src.tx.change(src.t, holders[i].ID.S, &patch, findingsSet, nil, src.by); err != nil {
			return err
		}
	}
	return nil
}

// Vanish notes that a source does no longer report certificates that it did. Their
// records stay, and are marked unless another source reports them; only the
// source's reader may say so.
func (s *Store) Vanish(ctx context.Context, t Tenant, name string, keys []string, by certstate.Cause) error {
	return readersError(s.doIn(ctx, t, func(tx *tx) error {
		if err := tx.keepReading(t, name); err != nil {
			return err
		}
		src, err := tx.tellingOf(t, name, by, len(keys), func(i int) string { return keys[i] })
		if err != nil {
			return err
		}
		for _, key := range keys {
			if err := src.vanish(key); err != nil {
				return err
			}
		}
		return src.count()
	}))
}

func (src *telling) vanish(key string) error {
	r := src.reports[key]
	if r == nil || r.gone != 0 {
		return nil
	}
	// It was there when the source was last read whole, if it ever was.
	const gone = "UPDATE reported SET gone = (SELECT CASE WHEN watermark > 0 THEN watermark ELSE $5 END FROM source WHERE part = $1 AND tenant = $2 AND name = $3) " +
		"WHERE part = $1 AND tenant = $2 AND source = $3 AND key = $4"
	if err := src.exec(gone, key, src.tx.now.Ticks); err != nil {
		return fmt.Errorf("note what a source does not report: %w", err)
	}
	src.gone++
	r.gone = src.tx.now.Ticks
	if r.sha256 == "" {
		return nil
	}
	var others int
	const elsewhere = "SELECT count(*) FROM reported WHERE part = $1 AND tenant = $2 AND sha256 = $3 AND gone = 0"
	if err := src.tx.row(elsewhere, src.t.part(), src.t.no, r.sha256).Scan(&others); err != nil || others > 0 {
		return err
	}
	return src.mark(r.sha256, certstate.NoLongerReported)
}

// Revocation is what a source says of a certificate that it revoked.
type Revocation struct {
	Key    string
	At     edm.DateTimeOffset
	Reason string // for the records' history
}

// Revoke has the records of certificates say that a source revoked them; only its
// reader may. What the source does not report is passed over, and so is what it
// said before.
func (s *Store) Revoke(ctx context.Context, t Tenant, name string, list []Revocation, by certstate.Cause) error {
	return readersError(s.doIn(ctx, t, func(tx *tx) error {
		if err := tx.keepReading(t, name); err != nil {
			return err
		}
		src, err := tx.tellingOf(t, name, by, len(list), func(i int) string { return list[i].Key })
		if err != nil {
			return err
		}
		for i := range list {
			if err := src.revoke(&list[i]); err != nil {
				return err
			}
		}
		return nil
	}))
}

var revocationSet = setOf("certificateRevokeStatus", "certificateRevokeStatusLastChangeDateTime")

func (src *telling) revoke(x *Revocation) error {
	r := src.reports[x.Key]
	if r == nil || r.revoked != 0 {
		return nil
	}
	r.revoked = 1
	if err := src.exec("UPDATE reported SET revoked = 1 WHERE part = $1 AND tenant = $2 AND source = $3 AND key = $4", x.Key); err != nil {
		return err
	}
	holders, err := src.tx.holders(src.t, r.sha256)
	if err != nil {
		return err
	}
	by := src.by
	by.Reason = x.Reason
	for i := range holders {
		if holders[i].RevokeStatus == certstate.Revoked {
			continue
		}
		patch := certstate.State{RevokeStatus: certstate.Revoked, RevokeStatusChanged: x.At}
		if _, err := src.tx.update(src.t, holders[i].ID.S, &patch, revocationSet, nil, by); err != nil {
			return err
		}
	}
	return nil
}

// Reported is what a source is known to report.
type Reported struct {
	Key           string
	Gone, Revoked bool
}

// Reports lists what a source is known to report in the order of its keys: those
// after one and up to another, "" for the last, and at most limit.
func (s *Store) Reports(ctx context.Context, t Tenant, name, after, to string, limit int) (list []Reported, err error) {
	const page = "SELECT key, gone, revoked FROM reported WHERE part = $1 AND tenant = $2 AND source = $3 AND key > $4 AND (key <= $5 OR $6 = 1) ORDER BY key LIMIT $7"
	open := 0
	if to == "" {
		open = 1
	}
	rows, err := s.read.QueryContext(ctx, s.d.rebind(page), t.part(), t.no, name, after, to, open, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r Reported
		var gone, revoked int64
		if err := rows.Scan(&r.Key, &gone, &revoked); err != nil {
			return nil, err
		}
		r.Gone, r.Revoked = gone != 0, revoked != 0
		list = append(list, r)
	}
	return list, rows.Err()
}
