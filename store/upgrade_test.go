package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"certstate/store/storetest"
)

// oldRelease makes an empty database as the release with a schema did: from the
// frozen migrations up to it.
func oldRelease(t *testing.T, url string, version int) *Store {
	t.Helper()
	d, err := dialectOf(url)
	if err != nil {
		t.Fatal(err)
	}
	old := *d
	old.migrations = func() []string { return d.migrations()[:version] }
	old.derivedSince = 0 // there are no rows yet
	s := &Store{d: &old}
	if err := d.open(s, url, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := migrate(t.Context(), &old, s.write, ""); err != nil {
		t.Fatal(err)
	}
	return s
}

// fillFrom gives an old database the rows of a new one, in the tables and
// columns it has.
func (s *Store) fillFrom(t *testing.T, from *Store) {
	t.Helper()
	if _, err := s.write.Exec("DELETE FROM counter"); err != nil {
		t.Fatal(err)
	}
	for _, at := range append(slices.Clone(backupTables), table{"word", []string{"part", "tenant", "word", "k"}}) {
		columns := s.columnsOf(t, at.Name)
		if columns == nil {
			continue
		}
		rows, err := from.read.Query("SELECT " + strings.Join(columns, ", ") + " FROM " + at.Name)
		if err != nil {
			t.Fatal(err)
		}
		values, targets := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		insert := s.d.rebind("INSERT INTO " + at.Name + " (" + strings.Join(columns, ", ") + ") VALUES (" + placeholders(1, len(columns)) + ")")
		for rows.Next() {
			if err := rows.Scan(targets...); err != nil {
				t.Fatal(err)
			}
			if _, err := s.write.Exec(insert, values...); err != nil {
				t.Fatal(at.Name, err)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// columnsOf lists the columns of a table, nil if there is no such table.
func (s *Store) columnsOf(t *testing.T, table string) []string {
	t.Helper()
	rows, err := s.write.Query("SELECT * FROM " + table + " LIMIT 0")
	if err != nil {
		return nil
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// allRows are all rows of a register, as a backup has them.
func allRows(t *testing.T, s *Store) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.Backup(t.Context(), &b, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	zr, err := gzip.NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	lines = lines[1 : len(lines)-1] // without the time and the sum
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestKillUpgrade kills a program at every step of bringing a database of an old
// release up to date. Until the last step it stays what it was; then it has all
// that it had.
func TestKillUpgrade(t *testing.T) {
	if url := os.Getenv("UPGRADE_URL"); url != "" {
		upgradeChild(t, url)
		return
	}
	Partition()
	for _, e := range storetest.Engines {
		t.Run(e.Name, func(t *testing.T) {
			url := e.URL(t)
			source, err := Open(t.Context(), e.URL(t), Options{Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			storied(t, source)
			old := oldRelease(t, url, len(source.d.migrations())-1)
			old.fillFrom(t, source)
			if err := old.release(); err != nil {
				t.Fatal(err)
			}
			killUpgrade(t, url, allRows(t, source))
		})
	}
	t.Run("sqlite, the first schema", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "register.db")
		firstSchema(t, path, 200)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		other := filepath.Join(t.TempDir(), "register.db")
		if err := os.WriteFile(other, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), "sqlite:"+other, Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		killUpgrade(t, "sqlite:"+path, allRows(t, s))
	})
}

func killUpgrade(t *testing.T, url, want string) {
	first := versionOf(t, url)
	kills := map[int]int{} // by the schema that was found after
	for step := 1; upgradeKilled(t, url, step); step++ {
		v := versionOf(t, url)
		if kills[v]++; v != first && kills[v] == 1 {
			step = 0 // from the first step again: what is to be done has become less
		}
	}
	s, err := Open(t.Context(), url, Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Verify(t.Context(), func(int64) {}); err != nil {
		t.Error(err)
	}
	if got := allRows(t, s); got != want {
		t.Errorf("the register is\n%.1000s\nand was\n%.1000s", got, want)
	}
	last := len(s.d.migrations())
	t.Logf("killed %d times before schema %d was there, and %d times after", kills[first], last, kills[last])
	if kills[first] < 3 || kills[last] < 3 || len(kills) != 2 {
		t.Errorf("schemas after the kills: %v", kills)
	}
}

// versionOf is the schema of a database that no program has open.
func versionOf(t *testing.T, url string) int {
	t.Helper()
	d, err := dialectOf(url)
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{d: d}
	if err := d.open(s, url, Options{}); err != nil {
		t.Fatal(err)
	}
	v, err := d.version(t.Context(), s.read)
	if err = errors.Join(err, s.release()); err != nil {
		t.Fatal(err)
	}
	return v
}

// upgradeKilled has a process of its own open the database, and kills it at a step.
// It reports false if there are not as many.
func upgradeKilled(t *testing.T, url string, step int) bool {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], "-test.run=^TestKillUpgrade$")
	cmd.Env = append(os.Environ(), "UPGRADE_URL="+url, "UPGRADE_STEP="+strconv.Itoa(step))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said string
	if _, err := fmt.Fscan(out, &said); err != nil || said != "stopped" && said != "opened" {
		rest, _ := io.ReadAll(out)
		t.Fatalf("step %d: %s %s %v", step, said, rest, err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return said == "stopped"
}

// upgradeChild stops at a step of what Open does: before each migration, before the
// new schema is marked, and before each index.
func upgradeChild(t *testing.T, url string) {
	stop, err := strconv.Atoi(os.Getenv("UPGRADE_STEP"))
	if err != nil {
		t.Fatal(err)
	}
	Partition()
	step := func() {
		if stop--; stop == 0 {
			fmt.Println("stopped")
			select {}
		}
	}
	d, err := dialectOf(url)
	if err != nil {
		t.Fatal(err)
	}
	migrations, mark, makeIndex := d.migrations, d.mark, d.makeIndex
	d.migrations = func() []string { step(); return migrations() }
	d.mark = func(version int) string { step(); return mark(version) }
	d.makeIndex = func(name, text string) string { step(); return makeIndex(name, text) }
	if _, err := Open(t.Context(), url, Options{Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	fmt.Println("opened")
	select {}
}
