package store_test

import (
	"errors"
	"os"
	"path/filepath"
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
