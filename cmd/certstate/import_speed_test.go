package main

import (
	"bytes"
	"database/sql"
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	for _, in := range []struct {
		name string
		make func(t *testing.T, n int) (path string)
		rows int
	}{
		{"ndjson", func(t *testing.T, n int) string { return written(t, manyLines(n)) }, *importRows},
		{"csv", func(t *testing.T, n int) string { return written(t, manyRows(n)) }, *importRows},
		{"DER files", manyFiles, *importRows / 5},
	} {
		t.Run(in.name, func(t *testing.T) {
			_, small := timedImport(t, in.make(t, in.rows/4), storetest.Engines[0].URL(t))
			url := storetest.Engines[0].URL(t)
			took, large := timedImport(t, in.make(t, in.rows), url)
			raw := rawInsert(t, strings.TrimPrefix(url, "sqlite:"))
			n := float64(in.rows)
			t.Logf("%d: %.0f a second, inserted %.0f a second, which is %.0f%%; peak of %d MB, with a fourth of them %d MB", in.rows, n/took.Seconds(), n/raw.Seconds(), 100*raw.Seconds()/took.Seconds(), large, small)
		})
	}
}

// written is a file of data.
func written(t *testing.T, data []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// manyFiles is a folder of certificates, each a device's.
func manyFiles(t *testing.T, n int) (path string) {
	t.Helper()
	path = t.TempDir()
	key := newKey(t)
	for i := range n {
		name := fmt.Sprintf("LAPTOP-%d", i)
		if err := os.WriteFile(filepath.Join(path, name+".der"), issued(t, key, name, i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// timedImport is how long an import took, and the most memory it had, in MB.
func timedImport(t *testing.T, path, url string) (time.Duration, int64) {
	t.Helper()
	fillable(t, url)
	var out bytes.Buffer
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := program(exe, &out, "import", "--database", url, "--tenant", killTenant, path)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for peak := int64(0); ; {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("%v: %s", err, &out)
			}
			return time.Since(began), peak
		case <-time.After(20 * time.Millisecond):
			peak = max(peak, ownMemory(cmd.Process.Pid))
		}
	}
}

// ownMemory is what memory a process has, in MB, 0 where the system does not say:
// without the pages of files it has mapped, which the system takes back when it
// wants to (proc_pid_status(5), RssAnon).
func ownMemory(pid int) (mb int64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if _, after, ok := strings.Cut(string(text), "RssAnon:"); ok {
		_, _ = fmt.Sscan(after, &mb)
	}
	return mb >> 10
}

// rawInsert is how long it takes to insert all rows of a database into an empty one
// with the same tables, 2000 a transaction, and then to make its indexes.
func rawInsert(t *testing.T, path string) time.Duration {
	t.Helper()
	whole, db := openRaw(t, path), openRaw(t, filepath.Join(t.TempDir(), "raw.db"))
	do := func(text string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	do("PRAGMA journal_mode=WAL")
	do("PRAGMA synchronous=FULL")
	do("PRAGMA cache_size=-262144")
	var took time.Duration
	for _, table := range column(t, whole, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND sql NOT LIKE 'CREATE VIRTUAL%'") {
		do(column(t, whole, fmt.Sprintf("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = '%s'", table))[0])
		for rows := range someRows(t, whole, "SELECT * FROM "+table) {
			took += insertAll(t, db, table, rows)
		}
	}
	began := time.Now()
	for _, text := range column(t, whole, "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL") {
		do(text)
	}
	return took + time.Since(began)
}

func openRaw(t *testing.T, path string) *sql.DB {
	t.Helper()
	driver := sql.Drivers()[slices.IndexFunc(sql.Drivers(), func(name string) bool { return strings.HasPrefix(name, "sqlite") })]
	db, err := sql.Open(driver, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	return db
}

// insertAll inserts rows in one transaction.
func insertAll(t *testing.T, db *sql.DB, table string, rows [][]any) time.Duration {
	t.Helper()
	began := time.Now()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	st, err := tx.PrepareContext(t.Context(), "INSERT INTO "+table+" VALUES (?"+strings.Repeat(",?", len(rows[0])-1)+")")
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
	return time.Since(began)
}

// someRows yields the rows of a query, 2000 at a time.
func someRows(t *testing.T, db *sql.DB, text string) iter.Seq[[][]any] {
	t.Helper()
	return func(yield func([][]any) bool) {
		rows, err := db.QueryContext(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		names, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		var list [][]any
		for rows.Next() {
			row, to := make([]any, len(names)), make([]any, len(names))
			for i := range row {
				to[i] = &row[i]
			}
			if err := rows.Scan(to...); err != nil {
				t.Fatal(err)
			}
			if list = append(list, row); len(list) == 2000 {
				if !yield(list) {
					return
				}
				list = nil
			}
		}
		if len(list) > 0 {
			yield(list)
		}
	}
}

func column(t *testing.T, db *sql.DB, text string) (list []string) {
	t.Helper()
	for rows := range someRows(t, db, text) {
		for _, row := range rows {
			list = append(list, fmt.Sprintf("%s", row[0]))
		}
	}
	return list
}
