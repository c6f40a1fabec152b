package sources

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/dgraph-io/badger"
	"github.com/dgraph-io/badger/v2"
	"go.etcd.io/bbolt"

	"certstate"
	"certstate/ingest"
	"certstate/store/storetest"
)

// rows of a step-ca's database, table by table.
type rows map[string]map[string][]byte

func (ca *authority) rows(t *testing.T, n int) rows {
	t.Helper()
	r := rows{certsTable: {}, dataTable: {}, revokedTable: {}}
	for i := range n {
		der := ca.device(t, fmt.Sprint("device ", i))
		r[certsTable][key(t, der)], r[dataTable][key(t, der)] = der, provisionerData("SCEP")
		if i%10 == 0 {
			r[revokedTable][key(t, der)] = revokedData(t, der)
		}
	}
	return r
}

func (r rows) bolt(t *testing.T, path string) *bbolt.DB {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error {
		for table, values := range r {
			b, err := tx.CreateBucket([]byte(table))
			if err != nil {
				return err
			}
			for key, value := range values {
				if err := b.Put([]byte(key), value); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return db
}

func (r rows) badger(t *testing.T, path string) *badger.DB {
	t.Helper()
	db, err := badger.Open(badger.DefaultOptions(path).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *badger.Txn) error {
		for table, values := range r {
			if err := tx.Set(badgerKey(table, ""), nil); err != nil {
				return err
			}
			for key, value := range values {
				if err := tx.Set(badgerKey(table, key), value); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return db
}

func (r rows) badger1(t *testing.T, path string) *v1.DB {
	t.Helper()
	db, err := v1.Open(v1.DefaultOptions(path).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *v1.Txn) error {
		for table, values := range r {
			if err := tx.Set(badgerKey(table, ""), nil); err != nil {
				return err
			}
			for key, value := range values {
				if err := tx.Set(badgerKey(table, key), value); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return db
}

// contents are the files of a folder, and what is in them.
func contents(t *testing.T, path string) map[string]string {
	t.Helper()
	m := map[string]string{}
	if err := fs.WalkDir(os.DirFS(path), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(path, name))
		m[name] = string(text)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return m
}

// A folder of badger 1 is told from one of badger 2, read and left as it is. It is
// not followed, and what to do is said.
func TestBadger1(t *testing.T) {
	ca := newAuthority(t)
	const n = 700
	path := filepath.Join(t.TempDir(), "db")
	writer := ca.rows(t, n).badger1(t, path)
	if _, err := OpenDatabase(t.Context(), path); err == nil || !strings.Contains(err.Error(), "type badger: stop the step-ca, or give a copy") {
		t.Errorf("while it is open: %v", err)
	}
	running := t.TempDir()
	if err := os.CopyFS(running, os.DirFS(path)); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	before := contents(t, path)
	db, err := OpenDatabase(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	names, revoked := map[string]bool{}, 0
	for row := range Rows(t.Context(), db, ingest.Naming{From: ingest.FromCN}) {
		if row.Err != nil {
			t.Fatal(row.Err)
		}
		names[row.State.DeviceName.S] = true
		if row.State.RevokeStatus == certstate.Revoked {
			revoked++
		}
	}
	if err := db.Close(); err != nil || len(names) != n || revoked != n/10 {
		t.Errorf("%d certificates, %d revoked: %v", len(names), revoked, err)
	}
	if after := contents(t, path); !maps.Equal(before, after) {
		t.Error("the folder was changed")
	}
	if _, err := OpenDatabase(t.Context(), running); err == nil || !strings.Contains(err.Error(), "give a copy made while it was stopped") {
		t.Errorf("a copy that was made while it was open: %v", err)
	}
	s, tn := open(t, storetest.Engines[0].URL(t))
	add(t, s, tn, "lab", StepCA{Database: path, Every: 1, DeviceFrom: ingest.FromCN})
	if _, err := Reconcile(t.Context(), s, tn, "lab", quiet); err == nil || !strings.Contains(err.Error(), "certstate import --from-step-ca, or move the step-ca to PostgreSQL or MySQL") {
		t.Errorf("followed: %v", err)
	}
}

// A folder of badger's that cannot be read is left as it is.
func TestDamagedBadger(t *testing.T) {
	sound := filepath.Join(t.TempDir(), "db")
	if err := newAuthority(t).rows(t, 3).badger(t, sound).Close(); err != nil {
		t.Fatal(err)
	}
	for say, damage := range map[string]func(path string) error{
		"its MANIFEST has the version 8": func(path string) error {
			return os.WriteFile(filepath.Join(path, "MANIFEST"), []byte("Bdgr\x00\x00\x00\x08"), 0o600)
		},
		"is damaged, or not a badger's": func(path string) error { return os.Truncate(filepath.Join(path, "MANIFEST"), 6) },
		"has no MANIFEST":               func(path string) error { return os.Remove(filepath.Join(path, "MANIFEST")) },
		"names a valueDir":              func(path string) error { return os.Remove(filepath.Join(path, "000000.vlog")) },
	} {
		path := t.TempDir()
		if err := errors.Join(os.CopyFS(path, os.DirFS(sound)), damage(path)); err != nil {
			t.Fatal(err)
		}
		before := contents(t, path)
		if _, err := OpenDatabase(t.Context(), path); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("want %q: %v", say, err)
		}
		if !maps.Equal(before, contents(t, path)) {
			t.Errorf("%q: the folder was changed", say)
		}
	}
}

// A step-ca's files are read once it is stopped, and while it runs it is said what to
// do.
func TestFiles(t *testing.T) {
	ca := newStepCA(t)
	const n = 1500
	kept := ca.rows(t, n)
	for kind, write := range map[string]func(path string) (end func() error){
		"bbolt":    func(path string) func() error { return kept.bolt(t, path).Close },
		"badgerv2": func(path string) func() error { return kept.badger(t, path).Close },
	} {
		t.Run(kind, func(t *testing.T) {
			s, tn := open(t, storetest.Engines[0].URL(t))
			path := filepath.Join(t.TempDir(), "db")
			end := write(path)
			set := ca.settings()
			set.Database = path
			add(t, s, tn, "lab", set)
			if _, err := Reconcile(t.Context(), s, tn, "lab", quiet); err == nil || !strings.Contains(err.Error(), "copy") {
				t.Errorf("while it is open: %v", err)
			}
			if err := end(); err != nil {
				t.Fatal(err)
			}
			reads(t, s, tn, Result{Read: n, New: n})
			reads(t, s, tn, Result{Read: n})
			if got := records(t, s, tn, "certificateRevokeStatus eq 'revoked'"); len(got) != n/10 {
				t.Errorf("%d revoked", len(got))
			}
		})
	}
}

// What is no step-ca's database is named as such.
func TestWrongFiles(t *testing.T) {
	dir := t.TempDir()
	other := rows{"users": {"a": []byte("b")}}
	bolt, badger := filepath.Join(dir, "bolt"), filepath.Join(dir, "badger")
	if err := other.bolt(t, bolt).Close(); err != nil {
		t.Fatal(err)
	}
	if err := other.badger(t, badger).Close(); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, say := range map[string]string{bolt: "not a step-ca's", badger: "not a step-ca's", text: "text", dir + "/none": "there is no"} {
		db, err := OpenDatabase(t.Context(), path)
		if err == nil {
			_, err = db.keys(t.Context(), certsTable, "", 10)
			_ = db.Close()
		}
		if err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
