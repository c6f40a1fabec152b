package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Space is how much room a database takes, in bytes.
type Space struct {
	Total int64
	Free  int64 // of it nothing is in; 0 if the engine does not say
}

// Space says how much room the database takes.
func (s *Store) Space(ctx context.Context) (Space, error) { return s.d.space(ctx, s) }

// Compact gives room that nothing is in any more back to the file system, and
// tells now and then how far it is. It changes no row, and others go on reading
// and writing meanwhile, but for a SQLite file of an old release (rewrite).
func (s *Store) Compact(ctx context.Context, tell func(done string)) error {
	return s.d.compact(ctx, s, tell)
}

// A new SQLite file is in incremental mode: it knows who points to each page,
// so a page at its end can take a free one's place and the file be cut. Against
// VACUUM, which writes all of the file anew while every writer waits, this takes
// three times as long and does not pack half-full pages, but a step takes some
// milliseconds and needs no room. The mode costs 0.1 % of the file.
const (
	incremental  = 2   // of PRAGMA auto_vacuum
	compactPages = 250 // moved in one transaction
)

// newSQLite gives an empty file its mode: once a table is there, only VACUUM can.
func newSQLite(path string) error {
	db := openSQLite(path, commonPragmas+"PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL;", 1)
	return errors.Join(db.Ping(), db.Close())
}

func sqliteSpace(ctx context.Context, s *Store) (sp Space, err error) {
	var pages, free, size int64
	err = s.read.QueryRowContext(ctx, "SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size").Scan(&pages, &free, &size)
	return Space{pages * size, free * size}, err
}

func compactSQLite(ctx context.Context, s *Store, tell func(string)) error {
	var mode int
	if err := s.read.QueryRowContext(ctx, "PRAGMA auto_vacuum").Scan(&mode); err != nil {
		return err
	}
	if mode != incremental {
		return s.rewrite(ctx)
	}
	for {
		var free int64
		if err := s.do(ctx, func(tx *tx) (err error) {
			free, err = tx.cut()
			return err
		}); err != nil {
			return err
		}
		if free == 0 {
			return s.shrink(ctx)
		}
		tell(fmt.Sprint(free, " free pages left"))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(prunePause):
		}
	}
}

// cut takes some free pages off the end of the file and returns how many are
// left.
func (tx *tx) cut() (free int64, err error) {
	rows, err := tx.w.conn.QueryContext(tx.ctx, "PRAGMA incremental_vacuum("+strconv.Itoa(compactPages)+")")
	if err != nil {
		return 0, fmt.Errorf("free pages: %w", err)
	}
	for rows.Next() { // it frees a page each time it is asked for a row
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return 0, fmt.Errorf("free pages: %w", err)
	}
	return free, tx.row("PRAGMA freelist_count").Scan(&free)
}

// shrink has the file cut where the write-ahead log says it ends. Beside a
// server nobody is stopped for it: its own checkpoint does it if this one meets
// a reader.
func (s *Store) shrink(ctx context.Context) error {
	mode := "PASSIVE"
	if s.lock != nil {
		mode = "TRUNCATE"
	}
	_, err := s.write.ExecContext(ctx, "PRAGMA wal_checkpoint("+mode+")")
	return err
}

// rewrite puts a file that an old release made into the mode of new ones, by
// writing all of it anew: SQLite does it in one transaction, by way of a
// temporary file and the write-ahead log. Nobody can write meanwhile.
func (s *Store) rewrite(ctx context.Context) (err error) {
	if s.lock == nil {
		return fmt.Errorf("%s was made by an older release and is rewritten once, which a server beside must not wait for: stop it first", s.path)
	}
	if err := s.roomToRewrite(ctx); err != nil {
		return err
	}
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	// The copy must not be in memory.
	return errors.Join(
		execute(ctx, conn, "PRAGMA temp_store=FILE; PRAGMA auto_vacuum=INCREMENTAL; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)"),
		execute(context.WithoutCancel(ctx), conn, "PRAGMA temp_store=MEMORY"))
}

// roomToRewrite fails unless there is room for the copy and for the log of it.
func (s *Store) roomToRewrite(ctx context.Context) error {
	sp, err := s.Space(ctx)
	if err != nil {
		return err
	}
	need := sp.Total - sp.Free
	temporary := temporaryFolder()
	same, err := sameDisk(temporary, s.path)
	if err != nil {
		return err
	}
	if same {
		return room(s.path, 2*need)
	}
	return errors.Join(room(s.path, need), room(temporary, need))
}

// temporaryFolder is where SQLite puts temporary files,
// https://www.sqlite.org/tempfiles.html §5.
func temporaryFolder() string {
	for _, dir := range []string{os.Getenv("SQLITE_TMPDIR"), os.Getenv("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp"} {
		if dir != "" && unix.Access(dir, unix.W_OK|unix.X_OK) == nil {
			return dir
		}
	}
	return "."
}

func sameDisk(a, b string) (bool, error) {
	var sa, sb unix.Stat_t
	err := errors.Join(unix.Stat(a, &sa), unix.Stat(b, &sb))
	return sa.Dev == sb.Dev, err
}

// room fails unless the disk of a file or folder has so many bytes free.
func room(path string, need int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return fmt.Errorf("free space beside %s: %w", path, err)
	}
	if free := int64(st.Bavail) * st.Bsize; free < need {
		return fmt.Errorf("rewriting needs %d bytes of free space on the disk of %s, which has %d: %d are missing; SQLITE_TMPDIR names another folder for the temporary file",
			need, path, free, need-free)
	}
	return nil
}

// keptTables are all that PostgreSQL keeps a register in, but for a few rows.
func keptTables() (names []string) {
	for _, t := range backupTables {
		names = append(names, t.Name)
	}
	return append(names, "word", "job", "piece", "reject", "node")
}

// tableSize is that of a table with its indexes, and of its partitions.
const tableSize = "SELECT CAST(pg_total_relation_size(c) + coalesce((SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(c) WHERE relid <> c), 0) AS bigint) " +
	"FROM (SELECT CAST(CAST($1 AS text) AS regclass) AS c) AS named"

func postgresSpace(ctx context.Context, s *Store) (sp Space, err error) {
	for _, table := range keptTables() {
		var size int64
		if err := s.read.QueryRowContext(ctx, tableSize, table).Scan(&size); err != nil {
			return sp, fmt.Errorf("size of table %s: %w", table, err)
		}
		sp.Total += size
	}
	return sp, nil
}

// compactPostgres has PostgreSQL note which room can be used again, and cut
// what is free at the end of each table: what its autovacuum does by itself,
// now. Nobody waits for it.
func compactPostgres(ctx context.Context, s *Store, tell func(string)) error {
	for _, table := range keptTables() {
		if _, err := s.write.ExecContext(ctx, "VACUUM (ANALYZE) "+table); err != nil {
			return fmt.Errorf("vacuum table %s: %w", table, err)
		}
		tell("table " + table)
	}
	return nil
}
