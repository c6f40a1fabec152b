package store

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"certstate"
)

// The frozen DDL has the columns of the table of properties, in its order: the
// bits of absent depend on it.
func TestSchemaHasTheProperties(t *testing.T) {
	db := openSQLite(filepath.Join(t.TempDir(), "x.db"), writePragmas, 1)
	defer db.Close()
	if err := migrate(t.Context(), db, ""); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Query("SELECT name FROM pragma_table_info('state')")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		got = append(got, name)
	}
	if want := append([]string{"k", "part", "tenant", "ver", "absent"}, columns(certstate.All)...); !slices.Equal(got, want) {
		t.Errorf("state has columns\n%v\nwant\n%v", got, want)
	}
	for _, pragma := range []struct{ name, want string }{{"journal_mode", "wal"}, {"synchronous", "2"}, {"wal_autocheckpoint", "0"}} {
		var value string
		if err := db.QueryRow("PRAGMA " + pragma.name).Scan(&value); err != nil || value != pragma.want {
			t.Errorf("%s is %s, %v", pragma.name, value, err)
		}
	}
}

// Every statement that touches a tenant's rows names the tenant.
func TestStatementsNameTheTenant(t *testing.T) {
	texts := regexp.MustCompile("\"((SELECT|INSERT|UPDATE|DELETE) [^\"]*(\" ?\\+[^\n]*\n[^\n]*)?)")
	table := regexp.MustCompile(`\b(FROM|INTO|UPDATE|JOIN) (state|seq|change)\b`)
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
	if checked < 6 {
		t.Errorf("only %d statements found", checked)
	}
}

// A reader of one record or of a page uses an index.
func TestPlans(t *testing.T) {
	db := openSQLite(filepath.Join(t.TempDir(), "x.db"), writePragmas, 1)
	defer db.Close()
	if err := migrate(t.Context(), db, ""); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		selectState(certstate.Defaults, byID):     "SEARCH state USING INDEX sqlite_autoindex_state_1 (part=? AND id=?)",
		selectState(certstate.Defaults, nextPage): "SEARCH state USING INDEX state_tenant (tenant=? AND rowid>?)",
	} {
		var id, parent, unused int
		var plan string
		if err := db.QueryRow("EXPLAIN QUERY PLAN "+rebind(text), 1, 1, 1).Scan(&id, &parent, &unused, &plan); err != nil || plan != want {
			t.Errorf("%s\nplan %q, want %q (%v)", text, plan, want, err)
		}
	}
}
