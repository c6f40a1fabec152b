package faults

import (
	"path/filepath"
	"testing"

	"github.com/anishathalye/porcupine"
)

// judge reads all records once more, and holds everything that clients and followers saw
// against the register and against itself. All servers must be up, and nothing
// may change meanwhile.
func (l *load) judge(t testing.TB, r *register) {
	t.Helper()
	l.settle(t.Context())
	table, err := l.table(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log, err := r.changes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	faults := l.history.audit(log, table)
	for _, f := range l.followers {
		faults = append(faults, f.audit(t.Context(), table)...)
	}
	for _, fault := range faults {
		t.Error(fault)
	}
	command(t, "check", "--database", r.database)
	if result, info := l.history.order(); result != porcupine.Ok {
		path := filepath.Join(r.dir, "history.html")
		t.Errorf("porcupine: %s; see %s (%v)", result, path, porcupine.VisualizePath(model, info, path))
	}
}
