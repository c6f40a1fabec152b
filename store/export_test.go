package store

import (
	"context"
	"errors"
	"regexp"
	"time"
)

// SetRare sets up to how many records a condition is a query's way in, so that
// tests with few records see every way.
func (s *Store) SetRare(n int) { s.rare = n }

// SetStatementTime sets how long a query may run.
func (s *Store) SetStatementTime(d time.Duration) { s.limit = d }

// TakeTurns takes the turns of all queries that may take long.
func (s *Store) TakeTurns() (giveBack func()) {
	n := s.watching.free
	for range n {
		_, _ = s.watching.join("")
	}
	return func() {
		for range n {
			s.watching.Give()
		}
	}
}

// Partition has PostgreSQL's tables of records made in partitions.
func Partition() {
	postgres.migrations = func() (texts []string) {
		marked := regexp.MustCompile(`(?s)(CREATE TABLE (\w+) \([^;]*\)) /\*(PARTITION BY HASH \(part\))\*/;`)
		const parts = "$1 $3; CREATE TABLE ${2}_0 PARTITION OF $2 FOR VALUES WITH (MODULUS 2, REMAINDER 0); " +
			"CREATE TABLE ${2}_1 PARTITION OF $2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
		for _, text := range postgresMigrations() {
			texts = append(texts, marked.ReplaceAllString(text, parts))
		}
		return texts
	}
}

// OldSQLite makes the file of a database as releases did before there was
// Compact.
func OldSQLite(path string) error {
	db := openSQLite(path, writePragmas, 1)
	return errors.Join(db.Ping(), db.Close())
}

// PruneTo forgets the changes up to one.
func (s *Store) PruneTo(ctx context.Context, t Tenant, floor int64) error {
	return s.do(ctx, func(tx *tx) error { return tx.raiseFloor(t, floor) })
}

// MarkNewer gives the database a schema that is yet to come.
func (s *Store) MarkNewer(ctx context.Context) error {
	_, err := s.write.ExecContext(ctx, s.d.mark(99))
	return err
}

// Truncate does what the checkpointer does when the log is large.
func (s *Store) Truncate() { s.truncate() }

// Checkpoint empties the write-ahead log into the file.
func (s *Store) Checkpoint(ctx context.Context) error {
	_, err := s.write.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

// Remembered is how many requests of a tenant are remembered.
func (s *Store) Remembered(ctx context.Context, t Tenant) (n int, err error) {
	err = s.read.QueryRowContext(ctx, s.d.rebind("SELECT count(*) FROM once WHERE tenant = $1"), t.no).Scan(&n)
	return n, err
}

// Certificates is how many certificates of a tenant are kept.
func (s *Store) Certificates(ctx context.Context, t Tenant) (n int, err error) {
	err = s.read.QueryRowContext(ctx, s.d.rebind("SELECT count(*) FROM certificate WHERE tenant = $1"), t.no).Scan(&n)
	return n, err
}
