package store_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
	"certstate/store/storetest/load"
)

// A query over its time is refused, and says so; the next one is answered.
func TestSlowQueriesAreRefused(t *testing.T) {
	eachEngine(t, func(t *testing.T, dsn string) {
		s, tn := open(t, dsn)
		records := make([]certstate.State, 20_000)
		for i := range records {
			records[i].Subject = edm.Str(strings.Repeat("x", 1500))
		}
		for some := range slices.Chunk(records, 2000) { // a transaction has its time
			load.Records(t, s, tn, some)
		}
		// A request to cancel may pass PostgreSQL by; a second later the query is
		// given up all the same, so it takes longer than that.
		text := "certificateSubjectName"
		for range 10 {
			text = "toupper(tolower(" + text + "))"
		}
		var terms []string
		for _, c := range "ab" {
			terms = append(terms, "contains("+text+",'"+string(c)+"')")
		}
		q, err := odata.ParseQuery("$filter="+url.QueryEscape(strings.Join(terms, " or ")), odata.ListOptions)
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

// While as many queries run as may take long, another waits for its turn and
// is shed; records and plain pages are read all the same.
func TestLongQueriesLeaveRoom(t *testing.T) {
	eachEngine(t, func(t *testing.T, dsn string) {
		s, tn := open(t, dsn)
		if _, err := s.Create(t.Context(), tn, certstate.State{ID: edm.Str("a")}, by); err != nil {
			t.Fatal(err)
		}
		q, err := odata.ParseQuery("$filter=certificateKeyUsages%20eq%20null", odata.ListOptions)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		list := func(q *odata.Query) error {
			_, err := s.List(t.Context(), tn, q, store.Position{}, 10, func(*certstate.State) error { n++; return nil })
			return err
		}
		s.SetStatementTime(10 * time.Millisecond)
		giveBack := s.TakeTurns()
		if err := list(&q); certstate.ErrorCode(err) != certstate.Unavailable {
			t.Errorf("without a turn: %v", err)
		}
		_, err1 := s.Get(t.Context(), tn, "a", certstate.All)
		err2 := list(&odata.Query{Select: certstate.All})
		giveBack()
		s.SetStatementTime(time.Minute)
		if err := errors.Join(err1, err2, list(&q)); err != nil || n != 2 {
			t.Errorf("%d records, %v", n, err)
		}
	})
}
