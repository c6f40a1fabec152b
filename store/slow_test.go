package store_test

import (
	"strings"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
)

// A query over its time is refused, and says so; the next one is answered.
func TestSlowQueriesAreRefused(t *testing.T) {
	eachEngine(t, func(t *testing.T, dsn string) {
		s, tn := open(t, dsn)
		records := make([]certstate.State, 20_000)
		for i := range records {
			records[i].Subject = edm.Str(strings.Repeat("x", 200))
		}
		if _, err := s.Load(t.Context(), tn, records, by); err != nil {
			t.Fatal(err)
		}
		q, err := odata.ParseQuery("$filter=contains(toupper(tolower(certificateSubjectName)),'y')", odata.ListOptions)
		if err != nil {
			t.Fatal(err)
		}
		list := func() error {
			_, err := s.List(t.Context(), tn, &q, store.Position{}, 10, func(*certstate.State) error { return nil })
			return err
		}
		s.SetStatementTime(time.Millisecond)
		_, err2 := s.Count(t.Context(), tn, &q, edm.DateTimeOffset{}, nil)
		for _, err := range []error{list(), err2} {
			if certstate.ErrorCode(err) != certstate.Invalid || !strings.Contains(err.Error(), "takes longer than") {
				t.Errorf("in a millisecond: %v", err)
			}
		}
		s.SetStatementTime(time.Minute)
		if err := list(); err != nil {
			t.Errorf("in a minute: %v", err)
		}
	})
}
