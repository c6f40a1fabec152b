package store

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
)

// said is a log that tests read.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *said) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

// lines is how many lines have a text.
func (l *said) lines(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// openFaulty is a register in a file, with a tenant, and what it logs.
func openFaulty(t *testing.T, path string, now func() time.Time) (*Store, Tenant, *said) {
	t.Helper()
	log := &said{}
	s, err := Open(t.Context(), "sqlite:"+path, Options{Log: slog.New(slog.NewTextHandler(log, nil)), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.AddTenant(t.Context(), testTenant, ""); err != nil {
		t.Fatal(err)
	}
	tn, err := s.Tenant(t.Context(), testTenant)
	if err != nil {
		t.Fatal(err)
	}
	return s, tn, log
}

// pragma sets something on the writer's connection.
func pragma(t *testing.T, s *Store, text string) {
	t.Helper()
	if err := s.do(t.Context(), func(tx *tx) error {
		var answer int
		return tx.row("PRAGMA " + text).Scan(&answer)
	}); err != nil {
		t.Fatal(err)
	}
}

// unreadyThenReady checks that changes are refused with a code, that the store
// says so in itself and once in its log, and that it finds by itself that they are
// possible again after mend.
func unreadyThenReady(t *testing.T, s *Store, log *said, change func() error, code certstate.Code, why string, mend func()) {
	t.Helper()
	for range 3 {
		if err := change(); certstate.ErrorCode(err) != code || !strings.Contains(err.Error(), why) {
			t.Fatalf("refused with %v", err)
		}
		if err := s.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), why) {
			t.Fatalf("readiness: %v", err)
		}
	}
	mend()
	for deadline := time.Now().Add(20 * time.Second); s.Ready(t.Context()) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not find out: ", s.Ready(t.Context()))
		}
	}
	if err := change(); err != nil {
		t.Error(err)
	}
	if refused, taken := log.lines("changes are refused"), log.lines("changes are taken again"); refused != 1 || taken != 1 {
		t.Errorf("%d lines that changes are refused, %d that they are taken again", refused, taken)
	}
}

func TestFullIsUnready(t *testing.T) {
	s, tn, log := openFaulty(t, filepath.Join(t.TempDir(), "x.db"), nil)
	create := func() error {
		_, err := s.Create(t.Context(), tn, certstate.State{Subject: edm.Str(strings.Repeat("s", 30_000))}, certstate.Cause{})
		return err
	}
	s.probing = time.Hour
	// SQLite says of a file that must not grow what it says of a full disk; here a
	// change as small as the store's own tries would still be possible.
	pragma(t, s, "max_page_count=10")
	unreadyThenReady(t, s, log, create, certstate.Full, "disk is full", func() {
		pragma(t, s, "max_page_count=100000")
		if err := create(); err != nil {
			t.Error(err)
		}
	})
}

// lockOut holds the file as another program would, until unlock is called.
func lockOut(t *testing.T, s *Store) (unlock func()) {
	t.Helper()
	db := openSQLite(s.path, writePragmas, 1)
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(t.Context())
	if err == nil {
		_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	}
	if err != nil {
		t.Fatal(err)
	}
	return sync.OnceFunc(func() {
		if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Error(err)
		}
		_ = conn.Close()
	})
}

func TestLockedIsUnready(t *testing.T) {
	s, tn, log := openFaulty(t, filepath.Join(t.TempDir(), "x.db"), nil)
	pragma(t, s, "busy_timeout=50")
	unlock := lockOut(t, s)
	unreadyThenReady(t, s, log, func() error {
		_, err := s.Create(t.Context(), tn, certstate.State{}, certstate.Cause{})
		return err
	}, certstate.Unavailable, "Another program is holding the database", unlock)
}

// A damaged page is told as such by what reads it and by readiness; the rest can
// be read.
func TestDamagedIsUnready(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	s, tn, _ := openFaulty(t, path, nil)
	if _, err := s.Create(t.Context(), tn, certstate.State{ID: edm.Str("a")}, certstate.Cause{}); err != nil {
		t.Fatal(err)
	}
	var root, size int64
	if err := s.read.QueryRow("SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = 'state'").Scan(&root, &size); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db := openSQLite(path, writePragmas, 1)
	_, err := db.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt(bytes.Repeat([]byte{0xA5}, int(size)), (root-1)*size)
	}
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	s, tn, log := openFaulty(t, path, nil)
	for range 2 {
		_, err = s.Get(t.Context(), tn, "a", certstate.All)
		if err = s.Judge(err); certstate.ErrorCode(err) != certstate.Unavailable || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("a read: %v", err)
		}
	}
	if err := s.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("readiness: %v", err)
	}
	if err := s.Changes(t.Context(), tn, 0, 10, func(*certstate.Change) error { return nil }); err != nil {
		t.Errorf("the log, which is whole: %v", err)
	}
	if n := log.lines("the database is damaged"); n != 1 {
		t.Errorf("%d lines say so", n)
	}
}

// If the clock steps back the log says so once, and times of changes do not fall.
func TestClockSteppingBack(t *testing.T) {
	var back atomic.Int64
	s, tn, log := openFaulty(t, filepath.Join(t.TempDir(), "x.db"), func() time.Time { return time.Now().Add(-time.Duration(back.Load())) })
	var last edm.DateTimeOffset
	for i := range 4 {
		if i == 2 {
			back.Store(int64(time.Hour))
		}
		made, err := s.Create(t.Context(), tn, certstate.State{}, certstate.Cause{})
		if err != nil {
			t.Fatal(err)
		}
		if made.Created.Ticks < last.Ticks {
			t.Errorf("create %d: the time fell", i)
		}
		last = made.Created
	}
	if n := log.lines("the clock has stepped back"); n != 1 {
		t.Errorf("%d lines say so", n)
	}
}
