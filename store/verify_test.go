package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"certstate"
)

// Verify reports where the tables do not fit together: versions and changes,
// derived columns and records, words and records.
func (s *Store) Verify(ctx context.Context) error {
	return errors.Join(s.verifyVersions(ctx), s.verifyDerived(ctx))
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

func (s *Store) verifyDerived(ctx context.Context) error {
	words := map[int64][]string{}
	rows, err := s.read.QueryContext(ctx, "SELECT k, word FROM word ORDER BY part, word, k")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var k int64
		var word string
		if err := rows.Scan(&k, &word); err != nil {
			return err
		}
		words[k] = append(words[k], word)
	}
	states, err := s.read.QueryContext(ctx, "SELECT "+strings.Join(derivedColumns, ", ")+", k, ver, absent, "+strings.Join(columns(certstate.All), ", ")+" FROM state")
	if err != nil {
		return err
	}
	defer states.Close()
	sc := newScanner(certstate.All)
	derived := make([]string, len(derivedColumns))
	for i := range derived {
		sc.targets = slices.Insert(sc.targets, i, any(&derived[i]))
	}
	for states.Next() {
		if err := sc.scan(states); err != nil {
			return err
		}
		want := appendDerived(nil, &sc.state)
		for i := range derived {
			if derived[i] != want[i] {
				return fmt.Errorf("%s of %s is %q, want %q", derivedColumns[i], sc.state.ID.S, derived[i], want[i])
			}
		}
		if want := distinctWords(&sc.state); !slices.Equal(words[sc.k], want) {
			return fmt.Errorf("words of %s are %q, want %q", sc.state.ID.S, words[sc.k], want)
		}
		delete(words, sc.k)
	}
	if len(words) > 0 {
		return fmt.Errorf("words of records that are not there: %v", words)
	}
	return errors.Join(rows.Err(), states.Err())
}
