package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"certstate"
	"certstate/store"
)

// A store that was closed leaves the one file behind, with all in it.
func TestCloseLeavesOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "register.db")
	s, err := store.Open(t.Context(), "sqlite:"+path, store.Options{Serve: true, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddTenant(t.Context(), tenantID, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), tenant(t, s, tenantID), certstate.State{}, by); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(path + suffix); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", suffix, err)
		}
	}
}

// A store that was closed is not served any more, though another process has its
// files open still, as one has that is being started.
func TestCloseGivesTheLockBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "register.db")
	for range 2 {
		s, err := store.Open(t.Context(), "sqlite:"+path, store.Options{Serve: true, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		inherited, err := syscall.Dup(openAs(t, path+".lock"))
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(inherited)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// openAs is the descriptor that a file is open as.
func openAs(t *testing.T, path string) int {
	t.Helper()
	const dir = "/proc/self/fd"
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && to == path {
			fd, _ := strconv.Atoi(e.Name())
			return fd
		}
	}
	t.Fatalf("%s is not open", path)
	return -1
}
