package store_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
	"certstate/store/storetest"
)

func quietly(int64) {}

// contents is all that a tenant's records are and were, as text.
func contents(t *testing.T, s *store.Store, tn store.Tenant) string {
	t.Helper()
	var b strings.Builder
	ids := map[string]bool{}
	err := s.Changes(t.Context(), tn, 0, 1<<30, func(c *certstate.Change) error {
		fmt.Fprintln(&b, c.Seq, c.ID, c.Kind, c.Actor, c.Reason, c.At.Ticks)
		ids[c.ID] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var sorted []string
	for id := range ids {
		sorted = append(sorted, id)
	}
	slices.Sort(sorted)
	for _, id := range sorted {
		if err := s.History(t.Context(), tn, id, 0, 1<<30, func(c *certstate.Change) error {
			fmt.Fprintf(&b, "%s %d %+v %+v\n", id, c.Seq, c.Before, c.After)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.List(t.Context(), tn, &odata.Query{Select: certstate.All}, store.Position{}, 1<<30, func(st *certstate.State) error {
		fmt.Fprintf(&b, "%+v\n", *st)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A backup taken while others write is whole and of one moment, as is what a
// check looks at; restored, it is what the register was then, and goes on from
// there.
func TestBackup(t *testing.T) {
	eachEngine(t, func(t *testing.T, dsn string) {
		s, tn := open(t, dsn)
		g := generator{rand.New(rand.NewPCG(rand.Uint64(), 3))}
		change(t, g, s, tn, fillRandom(t, g, s, tn, 200))
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := s.Create(t.Context(), tn, certstate.State{ID: edm.Str(fmt.Sprint("w", w, "-", i)), Subject: edm.Str(fmt.Sprint("CN=", i))}, by); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		var backup bytes.Buffer
		if _, err := s.Backup(t.Context(), &backup, quietly); err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(t.Context(), quietly); err != nil {
			t.Error("while others write:", err)
		}
		close(stop)
		wg.Wait()

		was := contents(t, s, tn)
		for _, e := range storetest.Engines {
			t.Run("into "+e.Name, func(t *testing.T) { restores(t, backup.Bytes(), e.URL(t), was) })
		}
	})
}

// restores restores a backup into an empty database, of what was is the later
// contents of the source.
func restores(t *testing.T, backup []byte, url, was string) {
	r, err := store.Open(t.Context(), url, store.Options{Serve: true, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Restore(t.Context(), bytes.NewReader(backup), quietly); err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(t.Context(), quietly); err != nil {
		t.Fatal(err)
	}
	restored := tenant(t, r, tenantID)
	if !strings.HasPrefix(was, firstLines(contents(t, r, restored), restored, r, t)) {
		t.Error("the restored log is no prefix of the source's")
	}
	if _, err := r.Restore(t.Context(), bytes.NewReader(backup), quietly); err == nil {
		t.Error("restored over a register")
	}
	if _, err := r.Create(t.Context(), restored, certstate.State{}, by); err != nil {
		t.Error(err)
	}
}

// firstLines is the log of changes in what contents made.
func firstLines(text string, tn store.Tenant, s *store.Store, t *testing.T) string {
	n := 0
	if err := s.Changes(t.Context(), tn, 0, 1<<30, func(*certstate.Change) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfterN(text, "\n", n+1)
	return strings.Join(lines[:n], "")
}

// gunzip is what a file holds, nil if it is damaged.
func gunzip(file []byte) []byte {
	zr, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(zr)
	if err != nil {
		return nil
	}
	return text
}

// A file that is no whole backup is refused, and the database stays empty.
func TestDamagedBackups(t *testing.T) {
	s, tn := open(t, "sqlite:"+filepath.Join(t.TempDir(), "x.db"))
	g := generator{rand.New(rand.NewPCG(rand.Uint64(), 4))}
	change(t, g, s, tn, fillRandom(t, g, s, tn, 30))
	var whole bytes.Buffer
	if _, err := s.Backup(t.Context(), &whole, quietly); err != nil {
		t.Fatal(err)
	}
	r, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "y.db"), store.Options{Serve: true, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 300 {
		bad := slices.Clone(whole.Bytes())
		what := ""
		switch i := g.IntN(len(bad)); g.IntN(3) {
		case 0:
			what, bad = fmt.Sprint("cut at ", i), bad[:i]
		case 1:
			if i < 10 { // gzip's header has bytes that mean nothing
				continue
			}
			what, bad[i] = fmt.Sprint("bit flipped at ", i), bad[i]^1<<g.IntN(8)
			if bytes.Equal(gunzip(bad), gunzip(whole.Bytes())) {
				continue // a copy of what stands twice, now from the other place, or padding
			}
		case 2:
			what, bad = "something follows", append(bad, 'x')
		}
		if _, err := r.Restore(t.Context(), bytes.NewReader(bad), quietly); err == nil {
			t.Fatalf("%s: restored", what)
		}
		if list, err := r.Tenants(t.Context()); err != nil || len(list) > 0 {
			t.Fatalf("%s: left %v, %v", what, list, err)
		}
	}
	if _, err := r.Restore(t.Context(), bytes.NewReader(whole.Bytes()), quietly); err != nil {
		t.Fatal(err)
	}
	if a, b := contents(t, s, tn), contents(t, r, tenant(t, r, tenantID)); a != b {
		t.Errorf("restored\n%s\nwant\n%s", b, a)
	}
}
