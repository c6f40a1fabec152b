package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"certstate"
)

// The frozen DDL has the columns of the table of properties, and no others.
func TestSchemaHasTheProperties(t *testing.T) {
	db := openSQLite(filepath.Join(t.TempDir(), "x.db"), writePragmas, 1)
	defer db.Close()
	if err := migrate(t.Context(), &sqlite, db, ""); err != nil {
		t.Fatal(err)
	}
	want := strings.Split(stateColumns, ", ")
	for table, want := range map[string][]string{"state": want, "past": append(slices.Clone(want), "n")} {
		slices.Sort(want)
		if got := texts(t, db, "SELECT name FROM pragma_table_info('"+table+"') ORDER BY name"); !slices.Equal(got, want) {
			t.Errorf("%s has columns\n%v\nwant\n%v", table, got, want)
		}
	}
	for _, pragma := range []struct{ name, want string }{{"journal_mode", "wal"}, {"synchronous", "2"}, {"wal_autocheckpoint", "0"}} {
		var value string
		if err := db.QueryRow("PRAGMA " + pragma.name).Scan(&value); err != nil || value != pragma.want {
			t.Errorf("%s is %s, %v", pragma.name, value, err)
		}
	}
}

// texts are the values of a query's one column.
func texts(t *testing.T, db *sql.DB, query string) (list []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		list = append(list, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// Indexes are those of indexes.sql however the file was before, and know the
// bits of the properties they sort null values of.
func TestIndexes(t *testing.T) {
	db := openSQLite(filepath.Join(t.TempDir(), "x.db"), writePragmas, 1)
	defer db.Close()
	if err := migrate(t.Context(), &sqlite, db, ""); err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(maps.Values(sqliteIndexes()))
	with := func(fn func(context.Context, *dialect, *sql.Conn) error) []string {
		conn, err := db.Conn(t.Context())
		if err == nil {
			err = errors.Join(fn(t.Context(), &sqlite, conn), conn.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		return texts(t, db, "SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY sql")
	}
	if got := with(ensureIndexes); !slices.Equal(got, want) {
		t.Errorf("indexes\n%q\nwant\n%q", got, want)
	}
	if got := with(dropIndexes); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
	if _, err := db.Exec("CREATE INDEX state_upn ON state (upn); CREATE INDEX state_old ON state (source)"); err != nil {
		t.Fatal(err)
	}
	if got := with(ensureIndexes); !slices.Equal(got, want) {
		t.Errorf("indexes\n%q\nwant\n%q", got, want)
	}
	for i, column := range map[int]string{3: "device_name", 4: "upn", 6: "issuer"} {
		text := fmt.Sprintf("(tenant, %s, (%d - (absent & %[2]d)))", column, 1<<i)
		if certstate.Properties[i].Column != column || !strings.HasSuffix(sqliteIndexes()["state_"+column], text) {
			t.Errorf("state_%s is not on %s", column, text)
		}
	}
}

// Every statement that touches a tenant's rows names the tenant.
func TestStatementsNameTheTenant(t *testing.T) {
	texts := regexp.MustCompile("\"((SELECT|INSERT|UPDATE|DELETE) [^\"]*(\" ?\\+[^\n]*\n[^\n]*)?)")
	table := regexp.MustCompile(`\b(FROM|INTO|UPDATE|JOIN) (state|seq|change|past|word|once|job|piece|reject|source|reported|gap)\b`)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts.FindAllString(string(source), -1) {
			if !table.MatchString(text) {
				continue
			}
			checked++
			if !strings.Contains(text, "tenant") && !strings.Contains(text, "max(k)") {
				t.Errorf("%s: %s does not name the tenant", file, text)
			}
		}
	}
	if checked < 12 {
		t.Errorf("only %d statements found", checked)
	}
}

// A reader of one record or of a page uses an index.
func TestPlans(t *testing.T) {
	db := indexed(t, nil)
	const stateByID = "SEARCH state USING INDEX sqlite_autoindex_state_1 (part=? AND id=?)"
	for text, want := range map[string][]string{
		selectState(certstate.Defaults, byID): {stateByID},
		selectFrom(certstate.Defaults, pastSource("$4"), byID): {stateByID,
			"SEARCH past USING INDEX past_id (part=? AND id=? AND n>?)"},
		new(Store).deltaPage(certstate.Defaults): {"SEARCH state USING INDEX state_tenant (tenant=? AND rowid>?)",
			"SEARCH past USING INDEX past_tenant (tenant=? AND n>?)", "USE TEMP B-TREE FOR ORDER BY"},
		"SELECT k" + madeBy: {"SEARCH change USING PRIMARY KEY (part=? AND n>? AND n<?)", stateByID},
		changesAgain:        {"SCAN CONSTANT ROW", "SEARCH p USING INDEX past_id (part=? AND id=? AND n>?)", "SEARCH s USING INDEX sqlite_autoindex_state_1 (part=? AND id=?)"},
		versionsSince:       {"SEARCH state USING INDEX past_id (part=? AND id=? AND n>? AND n<?)"},
		historyOf: {"SEARCH change USING PRIMARY KEY (part=? AND n=?)", "SEARCH past USING INDEX past_id (part=? AND id=?)",
			"SEARCH past USING INDEX past_id (part=? AND id=?)", stateByID},
	} {
		if got := plan(t, db, text); !slices.Equal(got, want) {
			t.Errorf("%s\nplan %q, want %q", text, got, want)
		}
	}
}

// A certificate is recognized by the indexes of its keys, even while a load has made
// those alone.
func TestPlansOfRecognition(t *testing.T) {
	want := []string{"SEARCH state USING INTEGER PRIMARY KEY (rowid=?)"}
	for _, by := range []string{"thumbprint (tenant=? AND thumbprint_hex=?)", "thumbprint_sha256 (tenant=? AND thumbprint_sha256_hex=?)",
		"serial (tenant=? AND serial_hex=?)", "serial_dec (tenant=? AND serial_dec=?)"} {
		want = append(want, "SEARCH state USING INDEX state_"+by)
	}
	for _, only := range [][]string{nil, recognizedBy} {
		if got := plan(t, indexed(t, only), recognition(new(Store).partColumn())); !slices.Equal(got, want) {
			t.Errorf("plan %q, want %q", got, want)
		}
	}
}

// indexed is a database with all secondary indexes or, if some are named, those.
func indexed(t *testing.T, only []string) *sql.DB {
	t.Helper()
	db := openSQLite(filepath.Join(t.TempDir(), "x.db"), writePragmas, 1)
	t.Cleanup(func() { _ = db.Close() })
	if err := migrate(t.Context(), &sqlite, db, ""); err != nil {
		t.Fatal(err)
	}
	for name, text := range sqliteIndexes() {
		if only == nil || slices.Contains(only, name) {
			if _, err := db.ExecContext(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
	}
	return db
}

// plan is how SQLite reaches the rows of a statement.
func plan(t *testing.T, db *sql.DB, text string) (lines []string) {
	t.Helper()
	numbers := 0
	for strings.Contains(text, fmt.Sprint("$", numbers+1)) {
		numbers++
	}
	rows, err := db.Query("EXPLAIN QUERY PLAN "+rebind(text), make([]any, numbers)...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var line string
		if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "SEARCH") || strings.HasPrefix(line, "SCAN") || strings.Contains(line, "B-TREE") {
			lines = append(lines, line)
		}
	}
	return lines
}
