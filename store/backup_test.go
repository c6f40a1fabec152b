package store_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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

var backups = flag.Int("backups", 3, "backups under load that TestBackup restores, on each engine")

// A backup taken while others write is whole and of one moment, as is what a
// check looks at, and keeps no write waiting; restored into either engine, it is
// what the register was then, and goes on from there.
func TestBackup(t *testing.T) {
	eachEngine(t, func(t *testing.T, dsn string) {
		s, tn := open(t, dsn)
		g := generator{rand.New(rand.NewPCG(rand.Uint64(), 3))}
		change(t, g, s, tn, fillRandom(t, g, s, tn, 200))
		stop := writeOn(t, s, tn)
		defer stop()
		for n := range *backups {
			var backup bytes.Buffer
			slowest := slowestWrite(t, s, tn, fmt.Sprint("slowest", n), func() {
				if _, err := s.Backup(t.Context(), &backup, quietly); err != nil {
					t.Error(err)
				}
			})
			t.Logf("backup %d of %d bytes; the slowest write took %s", n, backup.Len(), slowest)
			if slowest > 5*time.Second { // the bound is make bench-backup's: this machine may be busy
				t.Errorf("a write waited for %s", slowest)
			}
			if err := s.Verify(t.Context(), quietly); err != nil {
				t.Error("while others write:", err)
			}
			e := storetest.Engines[n%len(storetest.Engines)]
			t.Run("into "+e.Name, func(t *testing.T) { restores(t, backup.Bytes(), e.URL(t), s, tn) })
		}
	})
}

// blocked takes no more than a first write until it is let go.
type blocked struct{ reached, letGo chan struct{} }

func (b *blocked) Write(p []byte) (int, error) {
	select {
	case b.reached <- struct{}{}:
	default:
	}
	<-b.letGo
	return len(p), nil
}

// A backup that takes long does not let the checkpointer hold up writers.
func TestCheckpointBesideABackup(t *testing.T) {
	s, tn := open(t, "sqlite:"+filepath.Join(t.TempDir(), "x.db"))
	g := generator{rand.New(rand.NewPCG(rand.Uint64(), 3))}
	fillRandom(t, g, s, tn, 50)
	b := &blocked{make(chan struct{}, 1), make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		_, err := s.Backup(t.Context(), b, quietly)
		ended <- err
	}()
	<-b.reached // gzip's header; the rows are read already or will be, of this moment
	slowest := slowestWrite(t, s, tn, "w", func() {
		for range 5 {
			s.Truncate()
		}
	})
	close(b.letGo)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	t.Logf("the slowest write took %s", slowest)
	if slowest > 2*time.Second { // and 5 s before it gave way
		t.Errorf("a write waited for %s", slowest)
	}
}

// writeOn has four writers create, change and delete records until it is told to stop.
func writeOn(t *testing.T, s *store.Store, tn store.Tenant) (stop func()) {
	t.Helper()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				id := fmt.Sprint("w", w, "-", i%50)
				_, err := s.Create(t.Context(), tn, certstate.State{ID: edm.Str(id), Subject: edm.Str(fmt.Sprint("CN=", i))}, by)
				if certstate.ErrorCode(err) == certstate.Conflict {
					if i%3 == 0 {
						err = s.Delete(t.Context(), tn, id, nil, by)
					} else {
						_, err = s.Update(t.Context(), tn, id, &certstate.State{Subject: edm.Str(fmt.Sprint("CN=", i))}, 1<<8, nil, by)
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	return func() { close(done); wg.Wait() }
}

// restores restores a backup into an empty database, and compares it with its source
// at the change that the backup ends with.
func restores(t *testing.T, backup []byte, url string, source *store.Store, tn store.Tenant) {
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
	end := headOf(t, r, restored)
	if end.N < 200 || digestAt(t, r, restored, end) != digestAt(t, source, tn, end) {
		t.Errorf("what was restored is not what the source was after change %d", end.N)
	}
	if live, err := r.Live(t.Context(), restored); err != nil || live == 0 {
		t.Error(live, err)
	}
	if _, err := r.Restore(t.Context(), bytes.NewReader(backup), quietly); err == nil {
		t.Error("restored over a register")
	}
	if _, err := r.Create(t.Context(), restored, certstate.State{}, by); err != nil {
		t.Error(err)
	}
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
