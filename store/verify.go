package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"certstate"
)

// Verify reports where the tables do not fit together: versions and changes,
// derived columns and records, words and records, indexes and tables.
func (s *Store) Verify(ctx context.Context, tell Progress) error {
	return errors.Join(s.verifyFile(ctx), s.verifyVersions(ctx), s.verifyDerived(ctx, tell))
}

// verifyFile asks the engine whether its pages and indexes are whole.
func (s *Store) verifyFile(ctx context.Context) error {
	if s.d.integrity == "" {
		return nil
	}
	var said string
	if err := s.read.QueryRowContext(ctx, s.d.integrity).Scan(&said); err != nil || said != "ok" {
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

func (s *Store) verifyVersions(ctx context.Context) (err error) {
	for what, text := range misfits {
		var n int
		if e := s.read.QueryRowContext(ctx, text).Scan(&n); e != nil || n != 0 {
			err = errors.Join(err, e, fmt.Errorf("%d %s", n, what))
		}
	}
	return err
}

// verifyDerived computes what is derived of each record, and counts its words
// in the index; as many as all records have there must be in all.
func (s *Store) verifyDerived(ctx context.Context, tell Progress) error {
	rows, err := s.read.QueryContext(ctx, "SELECT part, tenant, "+strings.Join(derivedColumns, ", ")+", k, ver, absent, "+
		strings.Join(columns(certstate.All), ", ")+" FROM state -- of every tenant")
	if err != nil {
		return err
	}
	defer rows.Close()
	sc := newScanner(certstate.All)
	var t Tenant
	var part, total, n int64
	derived := make([]string, len(derivedColumns))
	head := []any{&part, &t.no}
	for i := range derived {
		head = append(head, &derived[i])
	}
	sc.targets = append(head, sc.targets...)
	for rows.Next() {
		if err := sc.scan(rows); err != nil {
			return err
		}
		for i, want := range appendDerived(nil, &sc.state) {
			if derived[i] != want {
				return fmt.Errorf("%s of %s is %q, want %q", derivedColumns[i], sc.state.ID.S, derived[i], want)
			}
		}
		words := distinctWords(&sc.state)
		if err := s.verifyWords(ctx, t, part, sc.k, words); err != nil {
			return fmt.Errorf("record %s: %w", sc.state.ID.S, err)
		}
		total += int64(len(words))
		if n++; n%10_000 == 0 {
			tell(n)
		}
	}
	var indexed int64
	err = s.read.QueryRowContext(ctx, "SELECT count(*) FROM word -- of every tenant").Scan(&indexed)
	if err == nil && indexed != total {
		err = fmt.Errorf("the index of words has %d entries, and the records %d", indexed, total)
	}
	return errors.Join(rows.Err(), err)
}

func (s *Store) verifyWords(ctx context.Context, t Tenant, part, k int64, words []string) error {
	for len(words) > 0 {
		some := words[:min(len(words), maxWordRows)]
		words = words[len(some):]
		st, err := s.queries.get(s.read, query{rest: "SELECT count(*) FROM word WHERE tenant = $1 AND part = $2 AND k = $3 AND word IN (" + placeholders(firstWord, len(some)) + ")"})
		if err != nil {
			return err
		}
		args := []any{t.no, part, k}
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
