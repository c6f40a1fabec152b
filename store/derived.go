package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"certstate"
	"certstate/certificate"
	"certstate/edm"
)

// derivedColumns are columns computed from a record: the keys of its
// properties, its words, its lineage and when the register is to look at it by
// itself, and last the digest.
var derivedColumns = func() (names []string) {
	for i := range certstate.Properties {
		for _, key := range certstate.Properties[i].Keys {
			names = append(names, certstate.Properties[i].Column+key.Suffix)
		}
	}
	return append(names, "words", "lineage", "revisit", "digest")
}()

// upkeep is what the register keeps of a record for its own use: its lineage, and
// when to look at it by itself (renewal.go), in ticks, 0 for never.
type upkeep struct{ lineage, revisit int64 }

// upkeepOf is what a record by itself makes it.
func upkeepOf(s *certstate.State) upkeep {
	lineage := certificate.Lineage(s)
	return upkeep{lineage, firstVisit(s, lineage)}
}

// appendDerived appends the values of the derived columns of a record with key k.
func appendDerived(args []any, k int64, s *certstate.State, u upkeep) []any {
	for i := range certstate.Properties {
		p := &certstate.Properties[i]
		for _, key := range p.Keys {
			args = append(args, key.Of(p.Field(s).(*edm.String).S))
		}
	}
	return append(args, certstate.Words(s), u.lineage, u.revisit, recordDigest(k, s))
}

func distinctWords(s *certstate.State) []string {
	return certstate.DistinctWords(certstate.Words(s))
}

// maxWordRows bounds the rows of one statement, and so how many statements
// there are.
const maxWordRows = 16

// addWords puts words of record k into the index of words.
func (tx *tx) addWords(t Tenant, k int64, words []string) error {
	return eachWords(words, t, k, insertWords, tx.later)
}

// removeWords takes words of record k out of it.
func (tx *tx) removeWords(t Tenant, k int64, words []string) error {
	return eachWords(words, t, k, deleteWords, tx.later)
}

// eachWords executes statements of at most maxWordRows words.
func eachWords(words []string, t Tenant, k int64, text func(n int) string, exec func(string, ...any) error) error {
	for len(words) > 0 {
		n := min(len(words), maxWordRows)
		args := append(make([]any, 0, 3+maxWordRows), t.no, t.part(), k)
		for _, word := range words[:n] {
			args = append(args, word)
		}
		if err := exec(text(n), args...); err != nil {
			return fmt.Errorf("index words: %w", err)
		}
		words = words[n:]
	}
	return nil
}

// firstWord is the number of the first argument that is a word: tenant, part
// and k come before.
const firstWord = 4

func insertWords(n int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO word (tenant, part, k, word) VALUES ")
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("($1, $2, $3, " + placeholders(firstWord+i, 1) + ")")
	}
	return b.String()
}

func deleteWords(n int) string {
	return "DELETE FROM word WHERE tenant = $1 AND part = $2 AND k = $3 AND word IN (" + placeholders(firstWord, n) + ")"
}

// without lists what is in a and not in b, both sorted.
func without(a, b []string) (list []string) {
	for _, word := range a {
		for len(b) > 0 && b[0] < word {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != word {
			list = append(list, word)
		}
	}
	return list
}

// fillDerived computes the derived data of every record anew.
func fillDerived(ctx context.Context, d *dialect, tx *sql.Tx) error {
	exec := func(text string, args ...any) error {
		_, err := tx.ExecContext(ctx, d.rebind(text), args...)
		return err
	}
	if err := exec("DELETE FROM word -- of every tenant"); err != nil {
		return err
	}
	update := "UPDATE state SET (" + strings.Join(derivedColumns, ", ") + ") = (" + placeholders(3, len(derivedColumns)) + ") WHERE tenant = $1 AND k = $2"
	for last, more := int64(0), true; more; {
		var batch []stored
		err := eachStored(ctx, d, tx, last, nil, nil, func(r *stored) error {
			batch = append(batch, *r)
			return nil
		})
		if err != nil {
			return err
		}
		for i := range batch {
			r := &batch[i]
			if err := exec(update, appendDerived([]any{r.tenant.no, r.k}, r.k, &r.State, upkeepOf(&r.State))...); err != nil {
				return err
			}
			if err := eachWords(distinctWords(&r.State), r.tenant, r.k, insertWords, exec); err != nil {
				return err
			}
			last = r.k
		}
		more = len(batch) > 0
	}
	return exec("UPDATE state SET lineage = -1 -- of every tenant")
}

// stored is a record with what its row has beside the properties.
type stored struct {
	certstate.State
	tenant  Tenant
	k       int64
	lineage int64 // by find alone
}

// eachStored calls fn for the thousand records after the one with key last, of
// whatever tenant; the record passed to fn is reused. More columns, if any, are
// scanned into their targets before.
func eachStored(ctx context.Context, d *dialect, q querier, last int64, more []string, targets []any, fn func(*stored) error) error {
	list := slices.Concat(more, []string{"k", "ver", "absent"}, columns(certstate.InRow))
	rows, err := q.QueryContext(ctx, d.rebind("SELECT tenant, "+strings.Join(list, ", ")+" FROM state WHERE k > $1 ORDER BY k LIMIT 1000"), last)
	if err != nil {
		return err
	}
	defer rows.Close()
	sc := newScanner(certstate.InRow)
	var r stored
	sc.targets = slices.Concat([]any{&r.tenant.no}, targets, sc.targets)
	for rows.Next() {
		if err := sc.scan(rows); err != nil {
			return err
		}
		r.State, r.k = sc.state, sc.k
		if err := fn(&r); err != nil {
			return err
		}
	}
	return rows.Err()
}
