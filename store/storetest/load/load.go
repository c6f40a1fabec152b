// Package load fills registers of tests with records.
package load

import (
	"testing"

	"certstate"
	"certstate/store"
)

// Records creates many records in one transaction, and leaves in them what was
// stored.
func Records(tb testing.TB, s *store.Store, t store.Tenant, records []certstate.State) {
	tb.Helper()
	list := make([]store.Entry, len(records))
	for i := range records {
		list[i].State, list[i].Set = records[i], certstate.All
	}
	_, faults, err := s.Bring(tb.Context(), t, list, false, certstate.Cause{})
	if err != nil {
		tb.Fatal(err)
	}
	for i, fault := range faults {
		if fault != nil {
			tb.Fatalf("record %d: %s", i, fault)
		}
		records[i] = list[i].State
	}
}
