package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"certstate"
)

// Verify reports where the tables do not fit together: versions and changes,
// derived columns and records, words and records, indexes and tables. It looks
// at one moment, while others go on reading and writing.
func (s *Store) Verify(ctx context.Context, tell Progress) error {
	return s.snapshot(ctx, func(conn *sql.Conn) error {
		v := &verifier{conn: conn, d: s.d, words: map[int]*sql.Stmt{}}
		defer v.close()
		return errors.Join(v.file(ctx), v.versions(ctx), v.log(ctx), v.past(ctx), v.certificates(ctx), v.derived(ctx, tell))
	})
}

type verifier struct {
	conn  *sql.Conn
	d     *dialect
	words map[int]*sql.Stmt // that count how many of so many words are indexed
}

func (v *verifier) close() {
	for _, st := range v.words {
		_ = st.Close()
	}
}

// file asks the engine whether its pages and indexes are whole.
func (v *verifier) file(ctx context.Context) error {
	if v.d.integrity == "" {
		return nil
	}
	var said string
	if err := v.conn.QueryRowContext(ctx, v.d.integrity).Scan(&said); err != nil || said != "ok" {
		return errors.Join(fmt.Errorf("the file is damaged: %s", said), err)
	}
	return nil
}

// misfits count what must not be there.
var misfits = map[string]string{
	"updates and deletions without the version they ended": `SELECT count(*) FROM change c WHERE kind <> 'created' AND NOT EXISTS
		(SELECT 1 FROM past p WHERE p.part = c.part AND p.n = c.n AND p.id = c.id AND p.tenant = c.tenant AND p.ver < c.n)`,
	"creations and updates without the version they made": `SELECT count(*) FROM change c WHERE kind <> 'deleted' AND
		NOT EXISTS (SELECT 1 FROM past p WHERE p.part = c.part AND p.ver = c.n AND p.id = c.id) AND
		NOT EXISTS (SELECT 1 FROM state s WHERE s.part = c.part AND s.ver = c.n AND s.id = c.id)`,
	"versions that no change ended": `SELECT count(*) FROM past p WHERE NOT EXISTS (SELECT 1 FROM change c WHERE c.part = p.part AND c.n = p.n)`,
	"versions that no change made": `SELECT count(*) FROM (SELECT part, ver FROM past UNION ALL SELECT part, ver FROM state) v
		WHERE ver > (SELECT floor FROM seq WHERE seq.part = v.part) AND NOT EXISTS (SELECT 1 FROM change c WHERE c.part = v.part AND c.n = v.ver)`,
	"heads that are not the last change": `SELECT count(*) FROM seq WHERE n <> coalesce((SELECT max(n) FROM change c WHERE c.part = seq.part), floor)
		OR at <> coalesce((SELECT at FROM change c WHERE c.part = seq.part AND c.n = seq.n), floor_at)`,
	"gaps in the log":              `SELECT count(*) FROM seq WHERE n - floor <> (SELECT count(*) FROM change c WHERE c.part = seq.part)`,
	"times that fall":              `SELECT count(*) FROM change c JOIN change d ON d.part = c.part AND d.n = c.n + 1 WHERE d.at < c.at`,
	"logs that begin at no change": "SELECT count(*) FROM seq -- of every tenant\nWHERE floor = 0 AND floor_at <> 0",
	"logs of no tenant":            "SELECT count(*) FROM seq WHERE tenant NOT IN (SELECT no FROM tenant)",
	"tenants without a log":        "SELECT count(*) FROM tenant WHERE no NOT IN (SELECT tenant FROM seq)",
	"rows in a part of another tenant": `SELECT count(*) FROM (SELECT part, tenant FROM seq UNION ALL SELECT part, tenant FROM state UNION ALL
		SELECT part, tenant FROM past UNION ALL SELECT part, tenant FROM change UNION ALL SELECT part, tenant FROM once UNION ALL SELECT part, tenant FROM certificate UNION ALL SELECT part, tenant FROM word UNION ALL
		SELECT part, tenant FROM job UNION ALL SELECT part, tenant FROM piece UNION ALL SELECT part, tenant FROM reject UNION ALL
		SELECT part, tenant FROM source UNION ALL SELECT part, tenant FROM reported UNION ALL SELECT part, tenant FROM gap) r WHERE part / 65536 <> tenant`,
	"tenants with a status there is not": "SELECT count(*) FROM tenant WHERE status NOT IN ('active', 'suspended')",
	"repeatable requests whose answer is not there": `SELECT count(*) FROM once o JOIN seq ON seq.part = o.part WHERE o.ver > seq.n OR o.id <> '' AND o.ver > seq.floor AND
		NOT EXISTS (SELECT 1 FROM state s WHERE s.part = o.part AND s.id = o.id AND s.ver = o.ver) AND NOT EXISTS (SELECT 1 FROM past p WHERE p.part = o.part AND p.id = o.id AND p.ver = o.ver)`,
	"versions without the certificate they have": fmt.Sprintf(`SELECT count(*) FROM (SELECT part, absent, thumbprint_sha256_hex FROM state UNION ALL SELECT part, absent, thumbprint_sha256_hex FROM past) v
		WHERE absent & %d = 0 AND NOT EXISTS (SELECT 1 FROM certificate c WHERE c.part = v.part AND c.sha256 = v.thumbprint_sha256_hex)`, certificateSet),
	"reports of no source": `SELECT count(*) FROM reported r WHERE NOT EXISTS (SELECT 1 FROM source s WHERE s.part = r.part AND s.name = r.source)`,
	"gaps that are none":   `SELECT count(*) FROM gap g WHERE NOT EXISTS (SELECT 1 FROM reported r WHERE r.part = g.part AND r.source = g.source AND r.key = g.key AND r.via = 1)`,
	"sources whose counts are wrong": `SELECT count(*) FROM source s WHERE notified <> (SELECT count(*) FROM reported r WHERE r.part = s.part AND r.source = s.name AND r.via = 0)
		OR recovered <> (SELECT count(*) FROM gap g WHERE g.part = s.part AND g.source = s.name)
		OR notified + recovered + unannounced <> (SELECT count(*) FROM reported r WHERE r.part = s.part AND r.source = s.name)
		OR gone <> (SELECT count(*) FROM reported r WHERE r.part = s.part AND r.source = s.name AND r.gone <> 0)`,
	"records that do not name their successor":   outOfLine("superseded_by", ">", "ASC"),
	"records that do not name their predecessor": outOfLine("supersedes", "<", "DESC"),
	"wrong counts": `SELECT count(*) FROM seq WHERE live <> (SELECT count(*) FROM state s WHERE s.part = seq.part)`,
}

// outOfLine counts the records that name another neighbour than they have, where no
// record of the tenant is yet to get its links.
func outOfLine(column, compare, direction string) string {
	return "SELECT count(*) FROM state s WHERE lineage > 0 AND NOT EXISTS (SELECT 1 FROM state u WHERE u.tenant = s.tenant AND u.lineage = -1 AND u.lineage <> 0) AND " + column + " <> " +
		"coalesce((SELECT id FROM state o WHERE o.tenant = s.tenant AND o.part = s.part AND o.lineage = s.lineage AND o.lineage <> 0 AND o.not_before " + compare + " s.not_before ORDER BY o.not_before " +
		direction + ", o.id " + direction + " LIMIT 1), '')"
}

func (v *verifier) versions(ctx context.Context) (err error) {
	for what, text := range misfits {
		var n int
		if e := v.conn.QueryRowContext(ctx, text).Scan(&n); e != nil || n != 0 {
			err = errors.Join(err, e, fmt.Errorf("%d %s", n, what))
		}
	}
	return err
}

// derived computes what is derived of each record, and counts its words in the
// index; as many as all records have there must be in all.
func (v *verifier) derived(ctx context.Context, tell Progress) error {
	var last, n, total, indexed int64
	for more := true; more; {
		batch, err := v.batch(ctx, last)
		if err != nil {
			return err
		}
		for i := range batch {
			r := &batch[i]
			words := distinctWords(&r.State)
			if err := v.indexed(ctx, r, words); err != nil {
				return fmt.Errorf("record %s: %w", r.ID.S, err)
			}
			total += int64(len(words))
			last = r.k
		}
		n += int64(len(batch))
		tell(n)
		more = len(batch) > 0
	}
	err := v.conn.QueryRowContext(ctx, "SELECT count(*) FROM word -- of every tenant").Scan(&indexed)
	if err == nil && indexed != total {
		err = fmt.Errorf("the index of words has %d entries, and the records %d", indexed, total)
	}
	return err
}

// batch reads some records after the one with key last, and compares their
// derived columns.
func (v *verifier) batch(ctx context.Context, last int64) (list []stored, err error) {
	d := newDerived()
	err = eachStored(ctx, v.d, v.conn, last, derivedColumns, d.targets, func(r *stored) error {
		list = append(list, *r)
		return d.check(r.k, &r.State)
	})
	return list, err
}

// derivedRow is the derived columns of a row that is read.
type derivedRow struct {
	values  []any
	targets []any
}

func newDerived() *derivedRow {
	d := &derivedRow{values: make([]any, len(derivedColumns))}
	for i := range d.values {
		d.targets = append(d.targets, &d.values[i])
	}
	return d
}

// check compares them with what the record makes them.
func (d *derivedRow) check(k int64, s *certstate.State) error {
	for i, want := range appendDerived(nil, k, s, upkeepOf(s)) {
		if d.values[i] == want || d.later(i, want, s) {
			continue
		}
		return fmt.Errorf("version %d of record %q has the %s %q, and should have %q: a value was changed", s.Version, s.ID.S, derivedColumns[i], fmt.Sprint(d.values[i]), fmt.Sprint(want))
	}
	return nil
}

// later reports whether a column may have another value than the record makes it:
// what another release wrote has no digest and no lineage yet, and a record that was
// looked at says when it is looked at again (renewal.go).
func (d *derivedRow) later(i int, want any, s *certstate.State) bool {
	switch derivedColumns[i] {
	case "digest":
		return d.values[i] == int64(0)
	case "lineage":
		return d.values[i] == unlinked
	case "revisit":
		return d.values[i-1] == unlinked || want != int64(0) && d.values[i] != int64(0) || s.Findings&certstate.RenewalStalled != 0
	}
	return false
}

// past compares the derived columns of the versions that ended.
func (v *verifier) past(ctx context.Context) error {
	rows, err := v.conn.QueryContext(ctx, "SELECT "+strings.Join(slices.Concat(derivedColumns, []string{"k", "ver", "absent"}, columns(certstate.InRow)), ", ")+" FROM past -- of every tenant")
	if err != nil {
		return err
	}
	defer rows.Close()
	d, sc := newDerived(), newScanner(certstate.InRow)
	sc.targets = slices.Concat(d.targets, sc.targets)
	for rows.Next() {
		if err := sc.scan(rows); err != nil {
			return err
		}
		if err := d.check(sc.k, &sc.state); err != nil {
			return err
		}
	}
	return rows.Err()
}

// certificates compares certificates with the digests by which they are known.
func (v *verifier) certificates(ctx context.Context) error {
	rows, err := v.conn.QueryContext(ctx, "SELECT sha256, der FROM certificate -- of every tenant")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var der []byte
		if err := rows.Scan(&name, &der); err != nil {
			return err
		}
		if sum := sha256.Sum256(der); hex.EncodeToString(sum[:]) != name {
			return fmt.Errorf("the certificate with the SHA-256 %q has another: it was changed", name)
		}
	}
	return rows.Err()
}

// log compares the digests of changes, and of where logs begin.
func (v *verifier) log(ctx context.Context) error {
	for _, text := range []string{
		"SELECT digest, tenant, " + changeColumns + " FROM change",
		"SELECT digest, floor, floor_at FROM seq -- of every tenant\nWHERE floor > 0",
	} {
		if err := v.digests(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// digests compares the first column of a query with the digest of the others.
func (v *verifier) digests(ctx context.Context, text string) error {
	rows, err := v.conn.QueryContext(ctx, text)
	if err != nil {
		return err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	values, targets := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		if values[0] != int64(0) && values[0] != digest(values[1:]...) {
			return fmt.Errorf("a row of the log has a digest that is not its values': %q", fmt.Sprint(values[1:]...))
		}
	}
	return rows.Err()
}

// indexed reports which of a record's words are not in the index.
func (v *verifier) indexed(ctx context.Context, r *stored, words []string) error {
	for len(words) > 0 {
		some := words[:min(len(words), maxWordRows)]
		words = words[len(some):]
		st := v.words[len(some)]
		if st == nil {
			var err error
			text := "SELECT count(*) FROM word WHERE tenant = $1 AND part = $2 AND k = $3 AND word IN (" + placeholders(firstWord, len(some)) + ")"
			if st, err = v.conn.PrepareContext(ctx, v.d.rebind(text)); err != nil {
				return err
			}
			v.words[len(some)] = st
		}
		args := []any{r.tenant.no, r.tenant.part(), r.k}
		for _, w := range some {
			args = append(args, w)
		}
		var n int
		if err := st.QueryRowContext(ctx, args...).Scan(&n); err != nil || n != len(some) {
			return errors.Join(fmt.Errorf("%d of its words %q are in the index", n, some), err)
		}
	}
	return nil
}
