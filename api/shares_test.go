package api

import "testing"

// A tenant alone has half of the places, and others find one.
func TestShares(t *testing.T) {
	s := newShares(16)
	for _, c := range []struct {
		tenant string
		want   int
	}{{"a", 8}, {"b", 4}, {"c", 2}, {"d", 1}, {"e", 1}, {"f", 0}} {
		got := 0
		for s.take(c.tenant) {
			got++
		}
		if got != c.want {
			t.Errorf("%s has %d places, want %d", c.tenant, got, c.want)
		}
	}
	s.give("a")
	if s.take("a") || !s.take("f") {
		t.Error("the place that is free is not for who has none")
	}
	for _, tenant := range []string{"a", "a", "a", "a", "a", "a", "a", "b", "b", "b", "b", "c", "c", "d", "e", "f"} {
		s.give(tenant)
	}
	if s.free != 16 || len(s.of) != 0 {
		t.Error(s.free, s.of)
	}
}
