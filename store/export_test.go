package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"
)

// SetRare sets up to how many records a condition is a query's way in, so that
// tests with few records see every way, and forgets what was planned.
func (s *Store) SetRare(n int) {
	s.rare = n
	s.plans.until = time.Time{}
}

// SetStatementTime sets how long a query may run.
func (s *Store) SetStatementTime(d time.Duration) { s.limit = d }

// SetTransactionTime sets how long a transaction may take, and its outcome be
// looked for.
func (s *Store) SetTransactionTime(d, outcome time.Duration) { s.txTime, s.patience = d, outcome }

// AnsweredElsewhere counts the reads that the replica has answered.
func (s *Store) AnsweredElsewhere() int64 { return s.replica.answered.Load() }

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

// CreatePlain makes the tables of a PostgreSQL database without partitions, as
// they are on one machine.
func CreatePlain(ctx context.Context, url string) error {
	return create(ctx, url, postgresMigrations()...)
}

func create(ctx context.Context, url string, texts ...string) error {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, text := range slices.Concat([]string{postgres.prepare}, texts, []string{postgres.mark(len(postgresMigrations()))}) {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("%.200s: %w", text, err)
		}
	}
	return nil
}

// CreateShards makes the tables of records on servers, and those of the whole
// register on one that knows the others by names and sends them what is theirs.
// It knows no key of tables that it does not have, so each keeps its own.
func CreateShards(ctx context.Context, url string, names, shards []string) error {
	for _, shard := range shards {
		texts := append([]string{}, postgresMigrations()...)
		for name, text := range postgres.indexes() {
			texts = append(texts, postgres.makeIndex(name, text))
		}
		if err := create(ctx, shard, texts...); err != nil {
			return err
		}
	}
	distributed := regexp.MustCompile(`(?s)CREATE TABLE (\w+) \(([^;]*)\) /\*(PARTITION BY HASH \(part\))\*/;`)
	key := regexp.MustCompile(`,(?:\s+--[^\n]*)?\s+(PRIMARY KEY|UNIQUE) \([^)]*\)| PRIMARY KEY`)
	var texts []string
	for _, text := range postgresMigrations() {
		texts = append(texts, distributed.ReplaceAllStringFunc(text, func(text string) string {
			m := distributed.FindStringSubmatch(text)
			text = "CREATE TABLE " + m[1] + " (" + key.ReplaceAllString(m[2], "") + ") " + m[3] + ";"
			for i, name := range names {
				text += fmt.Sprintf("CREATE FOREIGN TABLE %[1]s_%[2]d PARTITION OF %[1]s FOR VALUES WITH (MODULUS %[3]d, REMAINDER %[2]d) SERVER %[4]s OPTIONS (table_name '%[1]s');",
					m[1], i, len(names), name)
			}
			return text
		}))
	}
	return create(ctx, url, texts...)
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

// IndexNames are the secondary indexes there are, in order.
func (s *Store) IndexNames(ctx context.Context) ([]string, error) {
	conn, err := s.read.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	have, err := secondaryIndexes(ctx, s.d, conn)
	return slices.Sorted(maps.Keys(have)), err
}

// EndLease ends the lease of who reads a source, as silence does.
func (s *Store) EndLease(ctx context.Context, source string) error {
	return s.do(ctx, func(tx *tx) error {
		_, err := tx.exec("UPDATE source SET until = 0 WHERE name = $1 -- of every tenant", source)
		return err
	})
}

// LoseFiles has the pieces of all files lost, as a damaged database may have.
func (s *Store) LoseFiles(ctx context.Context, t Tenant) error {
	return s.doIn(ctx, t, func(tx *tx) error {
		_, err := tx.exec("DELETE FROM piece WHERE part = $1 AND tenant = $2 AND at >= 0", t.part(), t.no)
		return err
	})
}
