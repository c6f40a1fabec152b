package store

import (
	"context"
	"database/sql"
	"regexp"
	"time"
)

// SetRare sets up to how many records a condition is a query's way in, so that
// tests with few records see every way.
func (s *Store) SetRare(n int) { s.rare = n }

// SetStatementTime sets how long a query may run.
func (s *Store) SetStatementTime(d time.Duration) { s.limit = d }

// SetTransactionTime sets how long a transaction may take, and its outcome be
// looked for.
func (s *Store) SetTransactionTime(d, outcome time.Duration) { s.txTime, s.patience = d, outcome }

// AnsweredElsewhere counts the reads that the replica has answered.
func (s *Store) AnsweredElsewhere() int64 { return s.replica.answered.Load() }

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

// CreatePlain makes the tables of a PostgreSQL database without partitions, as
// they are on one machine.
func CreatePlain(ctx context.Context, url string) error {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	defer db.Close()
	texts := append([]string{postgres.prepare}, postgresMigrations()...)
	for _, text := range append(texts, postgres.mark(len(postgresMigrations()))) {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
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
