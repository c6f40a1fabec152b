package store

import (
	"database/sql"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store/storetest"
)

const testTenant = "11111111-2222-4333-8444-555555555555"

func openPostgresTest(t *testing.T, url string) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, Options{Serve: true, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Each engine has a row for every function, or says why not.
func TestDialectsHaveTheFunctions(t *testing.T) {
	for _, d := range dialects {
		known := 0
		for i := range odata.Functions {
			fn := &odata.Functions[i]
			_, there := d.templates[fn.Signature()]
			if _, without := d.without[fn.Name]; there == without {
				t.Errorf("%s: %s: a template is there: %t", d.name, fn.Signature(), there)
			}
			if there {
				known++
			}
		}
		if known != len(d.templates) {
			t.Errorf("%s has templates of no function", d.name)
		}
	}
}

// PostgreSQL's tables are SQLite's, column by column; those with records are in
// partitions here, and the indexes are those of indexes.sql with the row's key.
func TestPostgresSchema(t *testing.T) {
	s := openPostgresTest(t, storetest.Postgres(t))
	want := strings.Split(stateColumns, ", ")
	const columnsOf = "SELECT attname::text FROM pg_attribute WHERE attnum > 0 AND attrelid = to_regclass('"
	for table, want := range map[string][]string{"state": want, "past": append(slices.Clone(want), "n")} {
		slices.Sort(want)
		if got := texts(t, s.read, columnsOf+table+"') ORDER BY attname COLLATE \"C\""); !slices.Equal(got, want) {
			t.Errorf("%s has columns\n%v\nwant\n%v", table, got, want)
		}
	}
	if got := texts(t, s.read, "SELECT relname::text FROM pg_class WHERE relkind = 'p' ORDER BY 1"); strings.Join(got, " ") != "certificate change gap job once past piece reject reported seq source stamp state word" {
		t.Errorf("partitioned are %q", got)
	}
	const other = "SELECT attrelid::regclass || '.' || attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid JOIN pg_collation l ON l.oid = attcollation " +
		"WHERE c.relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND collname <> 'C'"
	if got := texts(t, s.read, other); len(got) > 0 {
		t.Errorf("not ordered by bytes: %q", got)
	}
	conn, err := s.write.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := dropIndexes(t.Context(), &postgres, conn); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := ensureIndexes(t.Context(), &postgres, conn); err != nil {
			t.Fatal(err)
		}
		have, err := secondaryIndexes(t.Context(), &postgres, conn)
		if err != nil || len(have) != len(sqliteIndexes()) {
			t.Errorf("%d indexes, want %d, %v", len(have), len(sqliteIndexes()), err)
		}
		if _, err := conn.ExecContext(t.Context(), "DROP INDEX state_upn; CREATE INDEX state_old ON state (k); COMMENT ON INDEX state_old IS 'CREATE INDEX state_old'"); err != nil {
			t.Fatal(err)
		}
	}
}

// Servers that start together on an empty database all find it ready, and one of
// an older release leaves a newer schema as it is.
func TestPostgresMigration(t *testing.T) {
	url := storetest.Postgres(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := Open(t.Context(), url, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := s.AddTenant(t.Context(), testTenant, ""); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE schema_version SET version = 99; DROP TABLE word"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), url, Options{}); err == nil || !strings.Contains(err.Error(), "made by a newer certstate") {
		t.Error(err)
	}
	if got := texts(t, db, "SELECT relname::text FROM pg_class WHERE relname IN ('word', 'state') AND relkind IN ('r', 'p')"); len(got) != 1 {
		t.Errorf("tables are %q", got)
	}
}

// An outcome is looked for many times: however many, the pause stays one.
func TestPause(t *testing.T) {
	for try := range 1000 {
		if d := pause(try); d <= 0 || d > time.Second/2 {
			t.Fatalf("try %d: a pause of %s", try, d)
		}
	}
}

// A database that cannot hold every text is refused.
func TestPostgresEncoding(t *testing.T) {
	url := storetest.Postgres(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	const name = "certstate_test_latin1"
	for _, text := range []string{"DROP DATABASE IF EXISTS " + name,
		"CREATE DATABASE " + name + " ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"} {
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	config := conn.Config()
	_, err = Open(t.Context(), strings.Replace(url, "/"+config.Database, "/"+name, 1), Options{})
	if err == nil || !strings.Contains(err.Error(), "its encoding is SQL_ASCII") {
		t.Error(err)
	}
	if _, err := conn.Exec(t.Context(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
		t.Error(err)
	}
}

// tolower and toupper of every character there may be are what Go says, alone and
// where a context might change them.
func TestPostgresCase(t *testing.T) {
	s := openPostgresTest(t, storetest.Postgres(t))
	const end = 0x20000 // no planes but the first two have letters with case
	for name, fn := range map[string]func(string) string{"tolower": strings.ToLower, "toupper": strings.ToUpper} {
		for r := rune(end); r <= unicode.MaxRune; r++ {
			if utf8.ValidRune(r) && fn(string(r)) != string(r) {
				t.Fatalf("%s changes %U", name, r)
			}
		}
		w := &where{d: &postgres}
		template := postgres.templates[name+"(String)"].text
		replace := append(w.bound(template), "{1}", w.bind("text"))
		text := "SELECT " + strings.NewReplacer(replace...).Replace(template)
		step := rune(128) // the first texts are of the short lists
		for from := rune(0); from < end; from += step {
			if from == 1024 {
				step = 1024
			}
			var b strings.Builder
			for r := max(from, 1); r < from+step; r++ {
				if utf8.ValidRune(r) {
					b.WriteString("A" + string(r) + " ")
				}
			}
			w.args[len(w.args)-1] = b.String()
			var got string
			if err := s.read.QueryRow(text, w.args...).Scan(&got); err != nil {
				t.Fatal(err)
			}
			if got != fn(b.String()) {
				t.Fatalf("%s differs between %U and %U", name, from, from+step)
			}
		}
	}
}

// What the engine cannot answer exactly, or cannot hold, is refused by name.
func TestPostgresRefusals(t *testing.T) {
	s := openPostgresTest(t, storetest.Postgres(t))
	if _, err := s.AddTenant(t.Context(), testTenant, ""); err != nil {
		t.Fatal(err)
	}
	tn, err := s.Tenant(t.Context(), testTenant)
	if err != nil {
		t.Fatal(err)
	}
	q, err := odata.ParseQuery("$filter=matchesPattern(userId,'x')", odata.ListOptions)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Count(t.Context(), tn, &q, edm.DateTimeOffset{}, nil)
	if certstate.ErrorCode(err) != certstate.Invalid || !strings.Contains(err.Error(), "matchesPattern") {
		t.Error(err)
	}
	_, err = s.Get(t.Context(), tn, "a\x00b", certstate.All)
	if err = s.Judge(err); certstate.ErrorCode(err) != certstate.Invalid {
		t.Error(err)
	}
}

// A backup or a check of a large register takes longer than a query may.
func TestPostgresSnapshotsHaveTime(t *testing.T) {
	s := openPostgresTest(t, storetest.Postgres(t))
	var limit string
	err := s.snapshot(t.Context(), func(conn *sql.Conn) error {
		return conn.QueryRowContext(t.Context(), "SHOW statement_timeout").Scan(&limit)
	})
	if err != nil || limit != "0" {
		t.Errorf("snapshot: statement_timeout is %q, %v", limit, err)
	}
	if err := s.read.QueryRowContext(t.Context(), "SHOW statement_timeout").Scan(&limit); err != nil || limit == "0" {
		t.Errorf("afterwards: statement_timeout is %q, %v", limit, err)
	}
}
