package store

import (
	"path/filepath"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
)

// A create that is refused is refused again if its transaction runs a second time.
func TestRefusedAgain(t *testing.T) {
	s, tn, _ := openFaulty(t, filepath.Join(t.TempDir(), "x.db"), nil)
	s.repeats = time.Minute
	if _, err := s.Create(t.Context(), tn, certstate.State{ID: edm.Str("a"), DeviceName: edm.Str("one")}, certstate.Cause{}); err != nil {
		t.Fatal(err)
	}
	in := certstate.State{ID: edm.Str("a"), DeviceName: edm.Str("another")}
	_ = s.do(t.Context(), func(tx *tx) error {
		for try := range 2 {
			if out, err := tx.createOnce(tn, &in, certstate.Cause{}); certstate.ErrorCode(err) != certstate.Conflict {
				t.Errorf("try %d: %+v, %v", try, out, err)
			}
		}
		return nil
	})
}
