package store

import (
	"context"
	"os"
	"time"
)

// Sizes of the write-ahead log at which the checkpointer acts, in bytes.
const (
	passiveAt  = 64 << 20  // copy what can be copied without stopping anyone
	truncateAt = 512 << 20 // stop writers for a moment rather than grow on
)

// checkpoint copies the write-ahead log into the database beside the writer,
// so that no commit pays for it: when the log is large, and when nothing has
// been written for a few seconds.
func (s *Store) checkpoint() {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	var last int64
	quiet := 0
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		size := s.walSize()
		if size != last {
			last, quiet = size, 0
		} else {
			quiet++
		}
		switch {
		case size >= truncateAt, size > 0 && quiet == 20:
			s.truncate()
		case size >= passiveAt:
			s.pragma("PRAGMA wal_checkpoint(PASSIVE)")
		}
	}
}

// truncate empties the log. It holds up writers while it waits for readers of an
// older moment, of whom a backup is one for minutes: so it copies first what it
// can, and then waits but for a moment; the next attempt will be in time.
func (s *Store) truncate() {
	s.pragma("PRAGMA wal_checkpoint(PASSIVE)")
	s.pragma("PRAGMA busy_timeout=20; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout=5000")
}

func (s *Store) pragma(text string) {
	_, err := s.write.ExecContext(context.Background(), text)
	switch f := sqliteFault(err); {
	case err == nil || f == faultBusy:
	case f != nil && f.ends:
		s.end(err)
	default:
		s.log.Warn("checkpoint", "error", err)
	}
}

// walSize is the size of the write-ahead log, 0 if there is none.
func (s *Store) walSize() int64 {
	st, err := os.Stat(s.path + "-wal")
	if err != nil {
		return 0
	}
	return st.Size()
}
