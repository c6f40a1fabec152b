package main

import (
	"bytes"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"certstate/store/storetest"
)

var importRows = flag.Int("import-rows", 0, "rows of TestImportSpeed, a fifth as many certificates; 0: it is skipped")

// TestImportSpeed imports into an empty SQLite database, beside an INSERT of the
// very rows that the import made, of all tables with their indexes, in the same run.
// The memory of a fourth of the input stands beside that of all.
func TestImportSpeed(t *testing.T) {
	if *importRows == 0 {
		t.Skip("SKIPPED: measures, with -import-rows (make bench-import)")
	}
	t.Logf("%-14s %8s %10s %10s %6s %12s", "form", "rows", "rows/s", "raw/s", "share", "peak MB")
	for _, in := range []struct {
		name string
		make func(n int) []byte
		rows int
	}{
		{"ndjson", manyLines, *importRows},
		{"csv", manyRows, *importRows},
		{"certificates", func(n int) []byte { return manyCertificates(t, n) }, *importRows / 5},
	} {
		_, small := timedImport(t, in.make(in.rows/4), storetest.Engines[0].URL(t))
		url := storetest.Engines[0].URL(t)
		took, large := timedImport(t, in.make(in.rows), url)
		raw := rawInsert(t, strings.TrimPrefix(url, "sqlite:"))
		n := float64(in.rows)
		t.Logf("%-14s %8d %10.0f %10.0f %5.0f%% %5d, %5d", in.name, in.rows, n/took.Seconds(), n/raw.Seconds(), 100*raw.Seconds()/took.Seconds(), small, large)
	}
}

// timedImport is how long an import took, and the most memory it had, in MB.
func timedImport(t *testing.T, data []byte, url string) (time.Duration, int64) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	fillable(t, url)
	var out bytes.Buffer
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := program(exe, &out, "import", "--database", url, "--tenant", killTenant, name)
	began := time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	return time.Since(began), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10
}

// rawInsert is how long it takes to insert all rows of a database into an empty one
// with the same tables, 2000 a transaction, and then to make its indexes.
func rawInsert(t *testing.T, path string) time.Duration {
	t.Helper()
	driver := sql.Drivers()[slices.IndexFunc(sql.Drivers(), func(name string) bool { return strings.HasPrefix(name, "sqlite") })]
	db, err := sql.Open(driver, filepath.Join(t.TempDir(), "raw.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	do := func(text string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), text, args...); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	do("PRAGMA journal_mode=WAL")
	do("PRAGMA synchronous=FULL")
	do("PRAGMA cache_size=-262144")
	do("ATTACH ? AS whole", path)
	var took time.Duration
	for _, table := range column(t, db, "SELECT name FROM whole.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND sql NOT LIKE 'CREATE VIRTUAL%'") {
		do(column(t, db, fmt.Sprintf("SELECT sql FROM whole.sqlite_master WHERE type = 'table' AND name = '%s'", table))[0])
		took += insertAll(t, db, table)
	}
	began := time.Now()
	for _, text := range column(t, db, "SELECT sql FROM whole.sqlite_master WHERE type = 'index' AND sql IS NOT NULL") {
		do(text)
	}
	return took + time.Since(began)
}

// insertAll inserts a table's rows, which it read before.
func insertAll(t *testing.T, db *sql.DB, table string) (took time.Duration) {
	t.Helper()
	const at = 2000
	for offset := 0; ; offset += at {
		rows, width := someRows(t, db, fmt.Sprintf("SELECT * FROM whole.%s LIMIT %d OFFSET %d", table, at, offset))
		if len(rows) == 0 {
			return took
		}
		began := time.Now()
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		st, err := tx.PrepareContext(t.Context(), "INSERT INTO "+table+" VALUES (?"+strings.Repeat(",?", width-1)+")")
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			if _, err := st.ExecContext(t.Context(), row...); err != nil {
				t.Fatalf("%s: %v", table, err)
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		took += time.Since(began)
	}
}

func someRows(t *testing.T, db *sql.DB, text string) (list [][]any, width int) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		row, to := make([]any, len(names)), make([]any, len(names))
		for i := range row {
			to[i] = &row[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		list = append(list, row)
	}
	return list, len(names)
}

func column(t *testing.T, db *sql.DB, text string) (list []string) {
	t.Helper()
	rows, _ := someRows(t, db, text)
	for _, row := range rows {
		list = append(list, fmt.Sprintf("%s", row[0]))
	}
	return list
}
