package sources

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v2"
	"go.etcd.io/bbolt"

	"certstate/store/storetest"
)

// rows of a step-ca's database, table by table.
type rows map[string]map[string][]byte

func (ca *stepCA) rows(t *testing.T, n int) rows {
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
