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
	"slices"
	"strings"

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
	return in.total, tx.Commit()
}

// backupReader reads a backup's lines into a transaction.
type backupReader struct {
	in     *bufio.Reader
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
	insert  string
	records bool // its rows are records, whose derived columns are computed
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
		r := restoring{table: t, records: t.Name == "state" || t.Name == "past"}
		names := t.Columns
		if r.records {
			if !slices.Equal(t.Columns, backupTables[i].Columns) {
				return fmt.Errorf("%w: the columns of table %q", errDamaged, t.Name)
			}
			names = slices.Concat(names, derivedColumns)
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
	var raw []json.RawMessage
	number := 0
	if json.Unmarshal(text, &raw) != nil || len(raw) < 2 || json.Unmarshal(raw[0], &number) != nil ||
		number < 0 || number >= len(b.tables) || len(raw) != 1+len(b.tables[number].Columns) {
		return false, errDamaged
	}
	t := &b.tables[number]
	values := make([]any, len(raw)-1, len(raw)+len(derivedColumns))
	for i := range values {
		if values[i], err = backupValue(raw[1+i]); err != nil {
			return false, err
		}
	}
	if t.records {
		if values, err = b.derive(ctx, t, values); err != nil {
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

func backupValue(raw json.RawMessage) (any, error) {
	switch raw[0] {
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case '{':
		var v blob
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, errDamaged
		}
		return base64.StdEncoding.DecodeString(v.Base64)
	}
	var n int64
	if err := json.Unmarshal(raw, &n); err != nil {
		return nil, errDamaged
	}
	return n, nil
}

// derive appends a record's derived columns, and indexes the words of a
// current one.
func (b *backupReader) derive(ctx context.Context, t *restoring, values []any) ([]any, error) {
	sc := newScanner(certstate.All)
	row := valueRow{values[0], values[3]}
	row = append(row, values[4:4+1+len(columns(certstate.All))]...)
	if err := sc.scan(row); err != nil {
		return nil, err
	}
	if t.Name == "state" {
		tenant := Tenant{no: values[2].(int64)}
		if err := eachWords(distinctWords(&sc.state), tenant, sc.k, insertWords, func(text string, args ...any) error {
			return b.exec(ctx, text, args...)
		}); err != nil {
			return nil, err
		}
	}
	return appendDerived(values, &sc.state), nil
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
