package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Verify reports where the tables do not fit together: versions and changes,
// derived columns and records, words and records, indexes and tables. It looks
// at one moment, while others go on reading and writing.
func (s *Store) Verify(ctx context.Context, tell Progress) error {
	return s.snapshot(ctx, func(conn *sql.Conn) error {
		v := &verifier{conn: conn, d: s.d, words: map[int]*sql.Stmt{}}
		defer v.close()
		return errors.Join(v.file(ctx), v.versions(ctx), v.derived(ctx, tell))
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
	"gaps in the log": `SELECT count(*) FROM seq WHERE n - floor <> (SELECT count(*) FROM change c WHERE c.part = seq.part)`,
	"times that fall": `SELECT count(*) FROM change c JOIN change d ON d.part = c.part AND d.n = c.n + 1 WHERE d.at < c.at`,
	"wrong counts":    `SELECT count(*) FROM seq WHERE live <> (SELECT count(*) FROM state s WHERE s.part = seq.part)`,
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
	derived := make([]string, len(derivedColumns))
	var head []any
	for i := range derived {
		head = append(head, &derived[i])
	}
	err = eachStored(ctx, v.d, v.conn, last, derivedColumns, head, func(r *stored) error {
		for i, want := range appendDerived(nil, &r.State) {
			if derived[i] != want {
				return fmt.Errorf("%s of %s is %q, want %q", derivedColumns[i], r.ID.S, derived[i], want)
			}
		}
		list = append(list, *r)
		return nil
	})
	return list, err
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
