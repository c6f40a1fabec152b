package store_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/store"
)

var compactKills = flag.Int("compact-kills", 20, "kill -9s of TestKillCompact, for each way to compact")

// sparse fills a register and takes most of it away again: deleted records and
// pruned history, and holes all over.
func sparse(t *testing.T, s *store.Store, tn store.Tenant, records int) {
	t.Helper()
	list := make([]store.Entry, records)
	for i := range list {
		list[i].Set, list[i].Way = certstate.All, store.Merge // some may be there from before
		list[i].State = certstate.State{ID: edm.Str(fmt.Sprint("r", i)), DeviceName: edm.Str(fmt.Sprint("LAPTOP-", i)), Subject: edm.Str("CN=" + strings.Repeat("x", i%300))}
	}
	if _, _, err := s.Bring(t.Context(), tn, list, false, by); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 16 { // so that they share transactions
		wg.Go(func() {
			for i := w; i < records; i += 16 {
				id := list[i].State.ID.S
				if i%8 == 0 {
					if _, err := s.Update(t.Context(), tn, id, &certstate.State{Subject: edm.Str("CN=kept")}, certstate.All&^certstate.KeySet, nil, by); err != nil {
						t.Error(err)
					}
				} else if err := s.Delete(t.Context(), tn, id, nil, by); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := s.Prune(t.Context(), time.Now().Add(-time.Millisecond), quietly); err != nil {
		t.Fatal(err)
	}
}

// Compact gives room back beside a server that goes on writing, and changes
// nothing: SQLite's file becomes smaller, and PostgreSQL's tables use the room
// again, which is all that VACUUM promises (it cuts the free end off a table only
// when nobody is in its way).
func TestCompact(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		server, tn := open(t, url)
		sparse(t, server, tn, 1500)
		m := headOf(t, server, tn)
		was := digestAt(t, server, tn, m)
		s, err := store.Open(t.Context(), url, store.Options{Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		before, err := s.Space(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		alone := slowestWrite(t, server, tn, "a", func() { time.Sleep(200 * time.Millisecond) })
		beside := slowestWrite(t, server, tn, "b", func() {
			if err := s.Compact(t.Context(), func(string) {}); err != nil {
				t.Error(err)
			}
		})
		after, err := s.Space(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d bytes, %d of them free, became %d; the slowest write took %s, and %s without", before.Total, before.Free, after.Total, beside, alone)
		if strings.HasPrefix(url, "sqlite:") && (after.Free > before.Free/4 || after.Total > before.Total*2/3) {
			t.Error("no room was given back")
		}
		if got := digestAt(t, server, tn, m); got != was {
			t.Error("the register changed")
		}
		if err := s.Verify(t.Context(), quietly); err != nil {
			t.Error(err)
		}
		sparse(t, server, tn, 1400)
		again, err := s.Space(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if t.Logf("as much again: %d bytes", again.Total); again.Total > before.Total*3/2 {
			t.Error("the room is not used again")
		}
	})
}

// slowestWrite is the longest that a create took while fn ran.
func slowestWrite(t *testing.T, s *store.Store, tn store.Tenant, prefix string, fn func()) (slowest time.Duration) {
	t.Helper()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			began := time.Now()
			if _, err := s.Create(t.Context(), tn, certstate.State{ID: edm.Str(fmt.Sprint(prefix, i))}, by); err != nil {
				t.Error(err)
				return
			}
			slowest = max(slowest, time.Since(began))
			time.Sleep(2 * time.Millisecond) // what is written meanwhile is to be little beside what is there
		}
	})
	fn()
	close(stop)
	wg.Wait()
	return slowest
}

// A file of an old release is rewritten once, and only without a server.
func TestCompactRewritesAnOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "register.db")
	if err := store.OldSQLite(path); err != nil {
		t.Fatal(err)
	}
	s, tn := open(t, "sqlite:"+path)
	sparse(t, s, tn, 1000)
	m := headOf(t, s, tn)
	was := digestAt(t, s, tn, m)
	if err := s.Compact(t.Context(), func(string) {}); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Error(err)
	}
	alone, err := store.Open(t.Context(), "sqlite:"+path, store.Options{Serve: true, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	for range 2 { // the second time it is like any other
		if err := alone.Compact(t.Context(), func(string) {}); err != nil {
			t.Fatal(err)
		}
		if sp, err := alone.Space(t.Context()); err != nil || sp.Free > 0 {
			t.Error(sp, err)
		}
		if digestAt(t, alone, tn, m) != was {
			t.Error("the register changed")
		}
		sparse(t, alone, tn, 300)
		m = headOf(t, alone, tn)
		was = digestAt(t, alone, tn, m)
	}
}

// TestKillCompact kills compact again and again, at any moment of both its
// ways: what the register holds stays what it was.
func TestKillCompact(t *testing.T) {
	if path := os.Getenv("COMPACT_FILE"); path != "" {
		compactChild(t, path)
		return
	}
	for _, way := range []struct {
		name   string
		make   func(path string) error
		within time.Duration // of its start it is killed
	}{
		{"in steps", func(string) error { return nil }, 200 * time.Millisecond},
		{"rewritten", store.OldSQLite, 10 * time.Millisecond},
	} {
		t.Run(way.name, func(t *testing.T) { killCompact(t, way.make, way.within) })
	}
}

func killCompact(t *testing.T, prepare func(string) error, within time.Duration) {
	original := filepath.Join(t.TempDir(), "original.db")
	if err := prepare(original); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), "sqlite:"+original, store.Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddTenant(t.Context(), tenantID, ""); err != nil {
		t.Fatal(err)
	}
	tn := tenant(t, s, tenantID)
	sparse(t, s, tn, 4000)
	m := headOf(t, s, tn)
	was := digestAt(t, s, tn, m)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	midway := 0
	for cycle := range *compactKills {
		path := filepath.Join(t.TempDir(), "register.db")
		copyFile(t, path, original)
		ended := killedAfter(t, rand.N(within), "TestKillCompact", "COMPACT_FILE="+path)
		s, err := store.Open(t.Context(), "sqlite:"+path, store.Options{Log: quiet})
		if err != nil {
			t.Fatalf("cycle %d: %v", cycle, err)
		}
		if sp, err := s.Space(t.Context()); err != nil {
			t.Error(err)
		} else if sp.Free > 0 && !ended {
			midway++
		}
		if err := s.Verify(t.Context(), quietly); err != nil {
			t.Errorf("cycle %d: %v", cycle, err)
		}
		if digestAt(t, s, tn, m) != was {
			t.Errorf("cycle %d: the register changed", cycle)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d kills, %d of them before its end", *compactKills, midway)
	if midway == 0 {
		t.Error("it was never killed before its end")
	}
}

func compactChild(t *testing.T, path string) {
	s, err := store.Open(t.Context(), "sqlite:"+path, store.Options{Serve: true, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready")
	if err := s.Compact(t.Context(), func(string) {}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	os.Exit(0)
}

// killedAfter runs a test of this binary as a process of its own, and kills it
// so long after it has said that it is ready. It reports whether the process
// came to its end before.
func killedAfter(t *testing.T, d time.Duration, test string, env ...string) (ended bool) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(out, said); err != nil || string(said) != "ready\n" {
		rest, _ := io.ReadAll(out)
		t.Fatalf("%q %q, %v", said, rest, err)
	}
	timer := time.AfterFunc(d, func() { _ = cmd.Process.Kill() })
	rest, _ := io.ReadAll(out)
	err = cmd.Wait()
	timer.Stop()
	if err != nil && cmd.ProcessState.Exited() {
		t.Fatalf("it failed: %v: %s", err, rest)
	}
	return err == nil
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
