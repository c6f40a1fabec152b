package api

import "sync"

// shares are places that tenants share: each may take one while it has fewer than are
// free. So one tenant alone has half of them, the next half of what is left, and
// there is a place for whoever comes as long as they are no more than a few.
type shares struct {
	mu   sync.Mutex
	free int
	of   map[string]int // tenant → places it has
}

func newShares(places int) *shares { return &shares{free: places, of: map[string]int{}} }

// take takes a place, if the tenant may have one more.
func (s *shares) take(tenant string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[tenant] >= s.free {
		return false
	}
	s.of[tenant]++
	s.free--
	return true
}

// give gives a place back.
func (s *shares) give(tenant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free++
	if s.of[tenant]--; s.of[tenant] == 0 {
		delete(s.of, tenant)
	}
}
