package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"certstate"
	"certstate/odata"
)

var sqlite = dialect{
	name: "SQLite", schemes: []string{"sqlite"}, open: openSQLiteStore, background: (*Store).checkpoint, fault: sqliteFault,
	rebind: rebind, argument: func(place string, _ any) string { return place },
	integer:   func(n int64) string { return strconv.FormatInt(n, 10) },
	constants: func() map[string]string { return nil },
	templates: sqliteTemplates,
	total:     func(x string, _ odata.Type) string { return "sum(" + x + ")" },
	average:   func(x string) string { return "avg(" + x + ")" },
	unindexed: "+",
	// SQLite waits for a lock in ever longer sleeps, which can miss every moment
	// between another program's transactions: the writer asks each millisecond.
	session: "PRAGMA busy_timeout=1",
	begin:   "BEGIN IMMEDIATE", snapshot: "BEGIN",
	clock: "CAST((julianday('now') - 2440587.5) * 86400000 AS integer)",

	migrations: sqliteMigrations, derivedSince: 2,
	version: func(ctx context.Context, q querier) (v int, err error) {
		err = q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&v)
		return v, err
	},
	mark: func(version int) string {
		return fmt.Sprintf("PRAGMA user_version=%d; PRAGMA application_id=%d", version, applicationID)
	},
	indexes:     sqliteIndexes,
	integrity:   "PRAGMA integrity_check(1)",
	haveIndexes: "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL",
	// Another program that opens the file may be faster.
	makeIndex: func(_, text string) string { return strings.Replace(text, "INDEX", "INDEX IF NOT EXISTS", 1) },
	space:     sqliteSpace, compact: compactSQLite,
}

var compared = regexp.MustCompile(`(=|LIMIT) \$(\d+)`)

// rebind turns PostgreSQL's $1 into SQLite's ?1: to SQLite $1 is a name. SQLite looks
// at the value of a parameter that a term or a limit is, and for the next value it
// prepares the statement anew; it does not look through a function, and likely is one
// that costs nothing.
func rebind(text string) string {
	return strings.ReplaceAll(compared.ReplaceAllString(text, "$1 likely(?$2)"), "$", "?")
}

func openSQLiteStore(s *Store, url string, o Options) (err error) {
	fewArenas()
	s.path = strings.TrimPrefix(url, "sqlite:")
	empty, err := checkSQLiteFile(s.path)
	if err == nil && empty {
		err = newSQLite(s.path)
	}
	if err != nil {
		return err
	}
	if o.Serve {
		if s.lock, err = lockFile(s.path); err != nil {
			return err
		}
	}
	if err := checkLog(s.path, o.Serve); err != nil {
		return errors.Join(err, s.unlock())
	}
	s.write = openSQLite(s.path, writePragmas, 2) // the writer's and the checkpointer's
	s.read = openSQLite(s.path, readPragmas, readConns())
	s.points = newPoints(connectorOf(s.path, readPragmas), s.d.rebind(selectState(certstate.Defaults, byID)), readConns())
	return nil
}

// Pragmas of the two kinds of connection. WAL with synchronous=FULL makes a
// commit durable before it returns; checkpoints are the checkpointer's
// (checkpoint.go), so that no commit pays for one.
const (
	commonPragmas = "PRAGMA busy_timeout=5000; PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=ON; "
	writePragmas  = commonPragmas + "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-262144;"
	readPragmas   = commonPragmas + "PRAGMA query_only=ON; PRAGMA cache_size=-65536; PRAGMA mmap_size=4294967296;"
)

// sqliteConnector opens connections and runs the pragmas on each, whichever
// the driver.
type sqliteConnector struct{ dsn, pragmas string }

func (c *sqliteConnector) Driver() driver.Driver { return sqliteDriver }

func (c *sqliteConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := sqliteDriver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	if _, err := conn.(driver.ExecerContext).ExecContext(ctx, c.pragmas, nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func connectorOf(path, pragmas string) *sqliteConnector {
	return &sqliteConnector{"file:" + (&url.URL{Path: path}).EscapedPath() + "?" + sqliteOptions, pragmas}
}

func openSQLite(path, pragmas string, conns int) *sql.DB {
	db := sql.OpenDB(connectorOf(path, pragmas))
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db
}

// readConns is how many connections read at once: two a core.
func readConns() int { return 2 * runtime.GOMAXPROCS(0) }

// applicationID is "CrtS", in the header of every database file of ours.
const applicationID = 0x43727453

// checkSQLiteFile looks at the file's header without opening it as a database,
// so that a file of somebody else's, or of a newer release, is refused
// untouched. It creates a missing file with mode 0600; SQLite gives the WAL
// the same mode.
func checkSQLiteFile(path string) (empty bool, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		return false, unwritable(path, err)
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return false, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		if err := f.Chmod(0o600); err != nil {
			return false, fmt.Errorf("%s can be read by others and cannot be made private: %w", path, err)
		}
	}
	header := make([]byte, 100) // SQLite database header, https://www.sqlite.org/fileformat.html §1.3
	n, err := io.ReadFull(f, header)
	if n == 0 {
		return true, nil
	}
	id := binary.BigEndian.Uint32(header[68:])
	if err != nil || !strings.HasPrefix(string(header), "SQLite format 3\x00") || id != applicationID && id != 0 {
		return false, fmt.Errorf("%s is not a database of certstate", path)
	}
	if v := binary.BigEndian.Uint32(header[60:]); int(v) > len(sqliteMigrations()) {
		return false, newerError(path, int(v), len(sqliteMigrations()))
	}
	return false, nil
}

// lockFile takes the lock that one server holds for a database file. The error
// names the holder.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	take := func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
	err = take()
	for n := 0; err != nil && n < 20; n++ { // another command may only be looking (heldByServer)
		time.Sleep(5 * time.Millisecond)
		err = take()
	}
	if err != nil {
		who, _ := io.ReadAll(io.LimitReader(f, 200))
		return nil, errors.Join(fmt.Errorf("%s %w, by %s", path, ErrServed, strings.TrimSpace(string(who))), f.Close())
	}
	host, _ := os.Hostname()
	who := fmt.Sprintf("process %d on %s since %s\n", os.Getpid(), host, time.Now().UTC().Format(time.RFC3339))
	if err := errors.Join(f.Truncate(0), writeAt(f, who)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// unlockFile gives a lock back and closes its file. Closing alone would not do: a
// process that is being started has all files open until it runs its program.
func unlockFile(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// sqliteFaults are the primary result codes that are no fault of a statement's,
// https://www.sqlite.org/rescode.html.
var sqliteFaults = map[int]*fault{
	sqliteBusy: faultBusy, 6: faultBusy, // SQLITE_LOCKED
	13: faultFull,                        // SQLITE_FULL
	8:  faultReadOnly, 14: faultReadOnly, // SQLITE_READONLY, SQLITE_CANTOPEN
	10: faultDamaged, 11: faultDamaged, 26: faultDamaged, // SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_NOTADB
}

const sqliteBusy = 5

func sqliteFault(err error) *fault { return sqliteFaults[sqliteCode(err)&0xFF] }
