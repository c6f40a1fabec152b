package store

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"certstate"
)

// errDamaged is wrapped by what is wrong with a file that is to be restored.
var errDamaged = errors.New("the file is no whole backup of certstate")

// Restore fills a database that holds nothing yet with a backup, in one
// transaction: it is all there afterwards, checked against the backup's own
// counts and checksum, or nothing is. The database must be opened to serve.
func (s *Store) Restore(ctx context.Context, r io.Reader, tell Progress) (rows int64, err error) {
	tenants, err := s.Tenants(ctx)
	if err != nil || len(tenants) > 0 || s.lock == nil && !s.d.nodes {
		return 0, errors.Join(err, errors.New("the database is not empty, or another program has it: restore into a new one"))
	}
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := dropIndexes(ctx, s.d, conn); err != nil {
		return 0, err
	}
	rows, err = s.restore(ctx, conn, r, tell)
	return rows, errors.Join(err, ensureIndexes(context.WithoutCancel(ctx), s.d, conn))
}

func (s *Store) restore(ctx context.Context, conn *sql.Conn, r io.Reader, tell Progress) (int64, error) {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return 0, errors.Join(errDamaged, err)
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // a no-op after Commit
	in := &backupReader{in: bufio.NewReaderSize(zr, 1<<20), sum: sha256.New(), tx: tx, d: s.d, stmts: map[string]*sql.Stmt{}, tell: tell, rows: map[string]int64{}}
	if err := in.header(); err != nil {
		return 0, err
	}
	for more := true; more; {
		if more, err = in.next(ctx); err != nil {
			return 0, fmt.Errorf("row %d: %w", in.total+1, err)
		}
	}
	// Those without links may be from before there were any, or be yet to get theirs.
	const linkLater = "UPDATE state SET lineage = -1 WHERE lineage <> 0 AND supersedes = '' AND superseded_by = '' AND " +
		"lineage IN (SELECT lineage FROM state GROUP BY tenant, lineage HAVING count(*) > 1) -- of every tenant"
	if _, err := tx.ExecContext(ctx, linkLater); err != nil {
		return 0, err
	}
	const newEpoch = "INSERT INTO counter (name, n) VALUES ('epoch', $1) ON CONFLICT (name) DO UPDATE SET n = excluded.n"
	if _, err := tx.ExecContext(ctx, s.d.rebind(newEpoch), 1+rand.Int64N(1<<40)); err != nil {
		return 0, err
	}
	return in.total, tx.Commit()
}

// backupReader reads a backup's lines into a transaction.
type backupReader struct {
	in     *bufio.Reader
	dec    jsontext.Decoder
	sum    hash.Hash
	tx     *sql.Tx
	tell   Progress
	d      *dialect
	stmts  map[string]*sql.Stmt
	tables []restoring
	rows   map[string]int64
	total  int64
}

// restoring is a table that is being filled.
type restoring struct {
	table
	insert string
	fill   *filling                                                                // nil: its rows have all columns
	derive func(b *backupReader, ctx context.Context, values []any) ([]any, error) // appends what is not in the backup
}

// line is the next line, and the sum of those before it.
func (b *backupReader) line() (text, before []byte, err error) {
	text, err = b.in.ReadBytes('\n')
	if err != nil {
		return nil, nil, errors.Join(errDamaged, err)
	}
	before = b.sum.Sum(nil)
	b.sum.Write(text) // never fails, hash.Hash
	return text, before, nil
}

// header takes over the tables that the backup names. Names
// become part of SQL only if they are ours.
func (b *backupReader) header() error {
	text, _, err := b.line()
	if err != nil {
		return err
	}
	var h backupHeader
	if err := json.Unmarshal(text, &h); err != nil || h.Kind != backupKind || h.Form != backupForm {
		return errDamaged
	}
	for _, t := range h.Tables {
		i := slices.IndexFunc(backupTables, func(known table) bool { return known.Name == t.Name })
		if i < 0 || slices.ContainsFunc(t.Columns, func(c string) bool { return !slices.Contains(backupTables[i].Columns, c) }) {
			return fmt.Errorf("the backup has a table %q of a newer certstate: use the newer program", t.Name)
		}
		r := restoring{table: t}
		names := t.Columns
		if d, ok := derivations[t.Name]; ok {
			if r.fill, err = fillingOf(backupTables[i], t.Columns, h.has("certificate")); err != nil {
				return err
			}
			names, r.derive = slices.Concat(backupTables[i].Columns, d.columns), d.of
		}
		r.insert = "INSERT INTO " + t.Name + " (" + strings.Join(names, ", ") + ") VALUES (" + placeholders(1, len(names)) + ")"
		if t.Name == "counter" { // the schema has them at 0
			r.insert += " ON CONFLICT (name) DO UPDATE SET n = excluded.n"
		}
		b.tables = append(b.tables, r)
	}
	return nil
}

// next reads a row, or the footer, after which there is no more.
func (b *backupReader) next(ctx context.Context) (more bool, err error) {
	text, before, err := b.line()
	if err != nil {
		return false, err
	}
	if text[0] == '{' {
		return false, b.footer(text, before)
	}
	t, values, err := b.row(text)
	if err != nil {
		return false, errors.Join(errDamaged, err)
	}
	if t.fill != nil {
		if values, err = t.fill.whole(values); err != nil {
			return false, err
		}
	}
	if t.derive != nil {
		if values, err = t.derive(b, ctx, values); err != nil {
			return false, err
		}
	}
	if err := b.exec(ctx, t.insert, values...); err != nil {
		return false, fmt.Errorf("table %s: %w", t.Name, err)
	}
	b.rows[t.Name]++
	if b.total++; b.total%10_000 == 0 {
		b.tell(b.total)
	}
	return true, nil
}

// row reads a line: the number of the table, and the row's values.
func (b *backupReader) row(text []byte) (*restoring, []any, error) {
	b.dec.Reset(bytes.NewReader(text))
	if _, err := b.dec.ReadToken(); err != nil { // [
		return nil, nil, err
	}
	number, err := backupValue(&b.dec)
	if err != nil {
		return nil, nil, err
	}
	n, ok := number.(int64)
	if !ok || n < 0 || n >= int64(len(b.tables)) {
		return nil, nil, errDamaged
	}
	t := &b.tables[n]
	values := make([]any, len(t.Columns), len(t.Columns)+len(derivedColumns))
	for i := range values {
		if values[i], err = backupValue(&b.dec); err != nil {
			return nil, nil, err
		}
	}
	if end, err := b.dec.ReadToken(); err != nil || end.Kind() != ']' {
		return nil, nil, errors.Join(errDamaged, err)
	}
	return t, values, nil
}

// backupValue reads a text, a number or bytes.
func backupValue(dec *jsontext.Decoder) (any, error) {
	if dec.PeekKind() == '{' {
		var v blob
		raw, err := dec.ReadValue()
		if err == nil {
			err = json.Unmarshal(raw, &v)
		}
		if err != nil {
			return nil, err
		}
		return base64.StdEncoding.DecodeString(v.Base64)
	}
	token, err := dec.ReadToken()
	switch {
	case err != nil:
		return nil, err
	case token.Kind() == '"':
		return token.String(), nil
	case token.Kind() == '0':
		return strconv.ParseInt(token.String(), 10, 64)
	}
	return nil, errDamaged
}

// derivations are the columns that a restore computes. They need all columns of
// the backup, in its order.
var derivations = map[string]struct {
	columns []string
	of      func(*backupReader, context.Context, []any) ([]any, error)
}{
	"seq": {[]string{"digest"}, func(_ *backupReader, _ context.Context, v []any) ([]any, error) {
		return append(v, digest(v[5:]...)), nil
	}},
	"change": {[]string{"digest"}, func(_ *backupReader, _ context.Context, v []any) ([]any, error) {
		return append(v, digest(v[1:]...)), nil
	}},
	"past":  {derivedColumns, func(b *backupReader, ctx context.Context, v []any) ([]any, error) { return b.record(ctx, v, false) }},
	"state": {derivedColumns, func(b *backupReader, ctx context.Context, v []any) ([]any, error) { return b.record(ctx, v, true) }},
}

// record appends a record's derived columns, and indexes the words of a current
// one.
func (b *backupReader) record(ctx context.Context, values []any, current bool) ([]any, error) {
	sc := newScanner(certstate.InRow)
	row := valueRow{values[0], values[3]}
	row = append(row, values[4:4+1+len(columns(certstate.InRow))]...)
	if err := sc.scan(row); err != nil {
		return nil, err
	}
	if current {
		tenant := Tenant{no: values[2].(int64)}
		if err := eachWords(distinctWords(&sc.state), tenant, sc.k, insertWords, func(text string, args ...any) error {
			return b.exec(ctx, text, args...)
		}); err != nil {
			return nil, err
		}
	}
	return appendDerived(values, sc.k, &sc.state, upkeepOf(&sc.state)), nil
}

// exec runs a statement that is prepared once.
func (b *backupReader) exec(ctx context.Context, text string, args ...any) (err error) {
	st := b.stmts[text]
	if st == nil {
		if st, err = b.tx.PrepareContext(ctx, b.d.rebind(text)); err != nil {
			return err
		}
		b.stmts[text] = st
	}
	_, err = st.ExecContext(ctx, args...)
	return err
}

// valueRow is a row that was read from elsewhere than the database.
type valueRow []any

func (r valueRow) Scan(targets ...any) error {
	if len(targets) != len(r) {
		return errDamaged
	}
	for i, t := range targets {
		switch t := t.(type) {
		case *string:
			s, ok := r[i].(string)
			if !ok {
				return errDamaged
			}
			*t = s
		case sql.Scanner:
			if err := t.Scan(r[i]); err != nil {
				return errors.Join(errDamaged, err)
			}
		default:
			return fmt.Errorf("a record has a target of type %T", t)
		}
	}
	return nil
}

// footer compares what was read with what was written.
func (b *backupReader) footer(text, sum []byte) error {
	var f backupFooter
	if err := json.Unmarshal(text, &f); err != nil || f.SHA256 != hex.EncodeToString(sum) {
		return fmt.Errorf("%w: the checksum differs", errDamaged)
	}
	for _, t := range b.tables {
		if f.Rows[t.Name] != b.rows[t.Name] {
			return fmt.Errorf("%w: table %s has %d rows, and should have %d", errDamaged, t.Name, b.rows[t.Name], f.Rows[t.Name])
		}
	}
	if rest, err := io.ReadAll(io.LimitReader(b.in, 1)); err != nil || len(bytes.TrimSpace(rest)) > 0 {
		return errors.Join(fmt.Errorf("%w: something follows its end", errDamaged), err)
	}
	return nil
}
