package store

import (
	"strings"
	"testing"
)

// A disk that is too small is named, with what is missing.
func TestRoom(t *testing.T) {
	dir := t.TempDir()
	if err := room(dir, 1); err != nil {
		t.Error(err)
	}
	if err := room(dir, 1<<60); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), " are missing") {
		t.Error(err)
	}
}
