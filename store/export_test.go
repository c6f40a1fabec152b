package store

import "time"

// SetRare sets up to how many records a condition is a query's way in, so that
// tests with few records see every way.
func (s *Store) SetRare(n int) { s.rare = n }

// SetStatementTime sets how long a query may run.
func (s *Store) SetStatementTime(d time.Duration) { s.limit = d }

// TakeTurns takes the turns of all queries that may take long.
func (s *Store) TakeTurns() (giveBack func()) {
	for range cap(s.watching) {
		s.watching <- struct{}{}
	}
	return func() {
		for range cap(s.watching) {
			<-s.watching
		}
	}
}
