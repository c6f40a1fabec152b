package store_test

import (
	"testing"

	"certstate"
	"certstate/edm"
	"certstate/odata"
)

// What was planned for a question is not kept where the time is part of it.
func TestPlanGoesByTheClock(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		day := edm.DateTimeOffset{Ticks: 638_712_000_000_000_000}
		if _, err := s.Create(t.Context(), tn, certstate.State{ID: edm.Str("a"), NotAfter: day}, certstate.Cause{}); err != nil {
			t.Fatal(err)
		}
		q, err := odata.ParseQuery("$filter=certificateExpirationDateTime%20lt%20now()", odata.ListOptions)
		if err != nil {
			t.Fatal(err)
		}
		for i, now := range []int64{day.Ticks - 1, day.Ticks + 1, day.Ticks - 1} {
			n, err := s.Count(t.Context(), tn, &q, edm.DateTimeOffset{Ticks: now}, nil)
			if want := int64(i % 2); err != nil || n != want {
				t.Errorf("%d expired, %v, want %d", n, err, want)
			}
		}
	})
}
