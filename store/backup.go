package store

import (
	"bufio"
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
	"time"

	"certstate"
)

// A backup is gzip over lines of JSON: a header, the rows of each table (the
// table's number, then the columns), and a footer with the number of rows of
// each table and the SHA-256 of all lines before. What is derived (keys, words,
// indexes) is not in it. It holds secrets: the keys of links.

// table is what a backup takes of a table.
type table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
}

// backupTables are in the order in which they are restored.
var backupTables = func() []table {
	record := append([]string{"k", "part", "tenant", "ver", "absent"}, columns(certstate.InRow)...)
	split := func(list string) []string { return strings.Split(list, ", ") }
	return []table{
		{"tenant", split(tenantColumns)},
		{"counter", split("name, n")},
		{"secret", split("name, value")},
		{"seq", split("part, tenant, n, live, at, floor, floor_at")},
		{"certificate", split("part, tenant, sha256, der")},
		{"state", record},
		{"past", append(append([]string{}, record...), "n")},
		{"change", split("part, tenant, " + changeColumns)},
		{"once", split("part, tenant, key, print, id, ver, until")}, // those of the changes above alone: nothing of what came after
		{"source", split("part, tenant, " + sourceColumns)},
		{"reported", split("part, tenant, source, key, sha256, via, revoked, gone")},
		{"gap", split("part, tenant, source, key, found, issued, origin")},
	}
}()

const (
	backupKind = "certstate backup"
	backupForm = 1
)

type backupHeader struct {
	Kind   string    `json:"kind"`
	Form   int       `json:"form"`
	Made   time.Time `json:"made"`
	Tables []table   `json:"tables"`
}

func (h *backupHeader) has(name string) bool {
	return slices.ContainsFunc(h.Tables, func(t table) bool { return t.Name == name })
}

type backupFooter struct {
	Rows   map[string]int64 `json:"rows"`
	SHA256 string           `json:"sha256"`
}

// Progress is told how many rows were written or read.
type Progress func(rows int64)

// Backup writes all the register holds to w, as it is at one moment, while
// others go on reading and writing.
func (s *Store) Backup(ctx context.Context, w io.Writer, tell Progress) (rows int64, err error) {
	err = s.snapshot(ctx, func(conn *sql.Conn) error {
		zw := gzip.NewWriter(w)
		out := &backupWriter{out: bufio.NewWriterSize(zw, 1<<20), sum: sha256.New(), tell: tell, foot: backupFooter{Rows: map[string]int64{}}}
		if err := out.line(backupHeader{backupKind, backupForm, s.now().UTC(), backupTables}); err != nil {
			return err
		}
		for i, t := range backupTables {
			if err := out.table(ctx, conn, i, t); err != nil {
				return fmt.Errorf("back up table %s: %w", t.Name, err)
			}
		}
		rows = out.rows
		out.foot.SHA256 = hex.EncodeToString(out.sum.Sum(nil))
		return errors.Join(out.line(out.foot), out.out.Flush(), zw.Close())
	})
	return rows, err
}

// snapshot runs fn on a connection that reads what the database holds at one
// moment, however long it takes.
func (s *Store) snapshot(ctx context.Context, fn func(*sql.Conn) error) (err error) {
	db := s.read
	if s.d.driverPrepares { // another server's readers wait for no statement that takes so long
		db = s.write
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, s.d.snapshot); err != nil {
		return err
	}
	defer func() {
		_, end := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		err = errors.Join(err, end)
	}()
	return fn(conn)
}

// backupWriter writes lines and sums them up.
type backupWriter struct {
	out  *bufio.Writer
	sum  hash.Hash
	tell Progress
	rows int64
	foot backupFooter
}

func (b *backupWriter) line(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	b.sum.Write(text) // never fails, hash.Hash
	_, err = b.out.Write(text)
	return err
}

func (b *backupWriter) table(ctx context.Context, conn *sql.Conn, number int, t table) error {
	rows, err := conn.QueryContext(ctx, "SELECT "+strings.Join(t.Columns, ", ")+" FROM "+t.Name+" -- of every tenant")
	if err != nil {
		return err
	}
	defer rows.Close()
	row := make([]any, 1+len(t.Columns))
	targets := make([]any, len(t.Columns))
	for i := range targets {
		targets[i] = &row[1+i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		row[0] = number
		for i, v := range row {
			if raw, ok := v.([]byte); ok {
				row[i] = blob{base64.StdEncoding.EncodeToString(raw)}
			}
		}
		if err := b.line(row); err != nil {
			return err
		}
		b.foot.Rows[t.Name]++
		if b.rows++; b.rows%10_000 == 0 {
			b.tell(b.rows)
		}
	}
	return rows.Err()
}

// blob is bytes among a row's texts and numbers.
type blob struct {
	Base64 string `json:"base64"`
}
