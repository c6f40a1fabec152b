package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/stdlib"

	"certstate/odata"
)

// postgres is PostgreSQL and what speaks its protocol and SQL.
var postgres = dialect{
	name: "PostgreSQL", schemes: []string{"postgres", "postgresql"}, open: openPostgresStore, openReplica: openPostgresReplica, background: (*Store).analyzeGrown, fault: postgresFault,
	rebind:    func(text string) string { return text },
	argument:  postgresArgument,
	integer:   func(n int64) string { return "CAST(" + strconv.FormatInt(n, 10) + " AS bigint)" },
	constants: caseArguments, templates: postgresTemplates, without: postgresWithout,
	total: func(x string, t odata.Type) string {
		if t == odata.DoubleType {
			return "CAST(sum(" + x + ") AS double precision)"
		}
		return "CAST(sum(" + x + ") AS bigint)" // of bigint it is numeric
	},
	average:        func(x string) string { return "CAST(avg(" + x + ") AS double precision)" },
	driverPrepares: true,
	mergesUnions:   true,

	// The heads of the logs are locked, row by row, and with them all that is in
	// a part: nothing stricter is needed.
	// Partitioned, or distributed by Citus.
	distributed: "SELECT relkind = 'p' OR to_regclass('pg_dist_partition') IS NOT NULL FROM pg_class WHERE oid = to_regclass('state') -- of every tenant",
	warned:      postgresWarned,
	begin:       "BEGIN ISOLATION LEVEL READ COMMITTED", forUpdate: " FOR UPDATE", txTime: 10 * time.Second, nodes: true, clock: databaseNow,
	snapshot: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0",

	migrations: postgresMigrations, derivedSince: 1, version: postgresVersion,
	// IF NOT EXISTS fails if two make the table at once: an advisory lock, whose
	// number is of no meaning, lets them do it one after another.
	prepare: "SELECT pg_advisory_xact_lock(7233180); CREATE TABLE IF NOT EXISTS schema_version (one bigint NOT NULL PRIMARY KEY, version bigint NOT NULL); " +
		"INSERT INTO schema_version (one, version) VALUES (1, 0) ON CONFLICT (one) DO NOTHING",
	// Filling an index may take longer than a change waits for a lock.
	lock:    "SET LOCAL lock_timeout = 0; UPDATE schema_version SET version = version WHERE one = 1",
	mark:    func(version int) string { return "UPDATE schema_version SET version = " + strconv.Itoa(version) },
	indexes: postgresIndexes,
	haveIndexes: "SELECT CAST(c.relname AS text), d.description FROM pg_class c JOIN pg_description d ON d.objoid = c.oid AND d.objsubid = 0 " +
		"WHERE c.relkind IN ('i', 'I') AND d.description LIKE 'CREATE INDEX %' AND pg_table_is_visible(c.oid)",
	makeIndex: func(name, text string) string {
		return text + "; COMMENT ON INDEX " + name + " IS '" + strings.ReplaceAll(text, "'", "''") + "'"
	},
	space: postgresSpace, compact: compactPostgres,
}

// postgresArgument says the argument's type, and that texts are compared by
// their bytes: in "$1 + $2" or "$1 < $2" nothing else does.
func postgresArgument(place string, v any) string {
	switch v.(type) {
	case string:
		return "(CAST(" + place + ` AS text) COLLATE "C")`
	case float64:
		return "CAST(" + place + " AS double precision)"
	}
	return "CAST(" + place + " AS bigint)"
}

// postgresIndexes are those of indexes.sql with the row's key, which SQLite adds
// to each by itself.
var postgresIndexes = sync.OnceValue(func() map[string]string {
	m := map[string]string{}
	for name, text := range sqliteIndexes() {
		if list, where, _ := strings.Cut(text, " WHERE "); strings.Contains(list, " ON state ") {
			text = strings.TrimSuffix(list, ")") + ", k)"
			if where != "" {
				text += " WHERE " + where
			}
		}
		m[name] = text
	}
	return m
})

// Session settings of the two kinds of connection, in milliseconds. Nobody
// waits for ever: for a lock, or for a server that went away in the middle of a
// transaction.
var (
	writeSession   = map[string]string{"lock_timeout": "5000", "idle_in_transaction_session_timeout": "10000"}
	patientSession = map[string]string{"statement_timeout": "0", readOnly: "on"}
	readSession    = map[string]string{"statement_timeout": strconv.FormatInt((statementTime + 2*time.Second).Milliseconds(), 10), readOnly: "on"}
)

// readOnly is set once a connection is made: to target_session_attrs=read-write
// its server would be one that takes no changes.
const readOnly = "default_transaction_read_only"

const (
	postgresReaders = 16              // connections that read at once
	postgresIdle    = 5 * time.Minute // after which an unused connection is closed
	connectTime     = 3 * time.Second // to make a connection, unless the URL says otherwise
	// answerTime is how long a reader waits for the server to say anything. A server
	// that lives ends every statement of a reader's sooner.
	answerTime = statementTime + 5*time.Second
)

func openPostgresStore(s *Store, url string, o Options) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("database: %w", err) // pgx hides the password
	}
	s.path = fmt.Sprintf("postgres://%s@%s/%s", config.User, net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))), config.Database)
	s.write = openPostgres(config, writeSession, 2, 0) // the writer's, and one for other work
	session, answer := readSession, answerTime
	if o.Patient {
		session, answer = patientSession, 0
	}
	s.read = openPostgres(config, session, postgresReaders, answer)
	return nil
}

func openPostgresReplica(url string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read database: %w", err) // pgx hides the password
	}
	return openPostgres(config, readSession, postgresReaders, answerTime), nil
}

func openPostgres(config *pgx.ConnConfig, session map[string]string, conns int, answer time.Duration) *sql.DB {
	config = config.Copy()
	if answer > 0 {
		dial := config.DialFunc
		config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &impatientConn{conn, answer}, nil
		}
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTime
	}
	// Behind a pooler that hands connections out by the transaction, nothing may
	// be kept in a session; the URL's default_query_exec_mode says so.
	if m := config.DefaultQueryExecMode; m != pgx.QueryExecModeExec && m != pgx.QueryExecModeSimpleProtocol {
		for name, value := range session {
			if name == readOnly {
				config.AfterConnect = func(ctx context.Context, c *pgconn.PgConn) error {
					return c.Exec(ctx, "SET "+readOnly+" = "+value).Close()
				}
				continue
			}
			config.RuntimeParams[name] = value
		}
	}
	config.OnNotice = func(c *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" {
			c.CustomData()[warning] = true
		}
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "certstate"
	}
	// A query that is given up is cancelled in the server too.
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: time.Second}
	}
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(postgresIdle)
	return db
}

// warning is the key of a connection's data that says it was warned.
const warning = "certstate.warning"

// postgresWarned reports whether the server has sent a warning: a COMMIT whose
// wait for a synchronous standby was cancelled succeeds with one.
func postgresWarned(conn *sql.Conn) (warned bool) {
	_ = conn.Raw(func(c any) error {
		data := c.(*stdlib.Conn).Conn().PgConn().CustomData()
		_, warned = data[warning]
		delete(data, warning)
		return nil
	})
	return warned
}

// impatientConn fails if nothing arrives for a time. Reads have no deadline of their own
// (state.go), and a machine that is gone never says so.
type impatientConn struct {
	net.Conn
	limit time.Duration
}

func (c *impatientConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// postgresVersion is the schema's version, 0 if there is none yet.
func postgresVersion(ctx context.Context, q querier) (v int, err error) {
	var encoding string
	var there bool
	const look = "SELECT current_setting('server_encoding'), to_regclass('schema_version') IS NOT NULL"
	if err := q.QueryRowContext(ctx, look).Scan(&encoding, &there); err != nil {
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "08P01" {
			err = fmt.Errorf("if this is a pooler, add default_query_exec_mode=exec to the URL: %w", err)
		}
		return 0, err
	}
	if encoding != "UTF8" {
		return 0, fmt.Errorf("its encoding is %s: create the database with ENCODING 'UTF8' TEMPLATE template0", encoding)
	}
	if there {
		err = q.QueryRowContext(ctx, "SELECT version FROM schema_version").Scan(&v)
		if errors.Is(err, sql.ErrNoRows) { // another program is about to write it
			err = nil
		}
	}
	return v, err
}

// postgresFaults are the error codes that are no fault of a statement's,
// https://www.postgresql.org/docs/15/errcodes-appendix.html: whole codes, or
// their classes.
var postgresFaults = map[string]*fault{
	"40001": faultContended, "40P01": faultContended, "55P03": faultContended, // serialization, deadlock, lock not available
	"23505": faultContended,                                                                            // no constraint is violated but by somebody who was faster
	"42P07": faultContended,                                                                            // nor does a table exist but for that
	"57P01": faultLost, "57P02": faultLost, "57P03": faultLost, "57P05": faultLost, "25P03": faultLost, // shutdowns, and idle for too long
	"08P01": nil,                           // a protocol violation, such as a setting that a pooler refuses
	"08":    faultLost, "53300": faultLost, // connections, and too many of them
	"25006": faultStandby,
	"53":    faultFull,                                               // insufficient resources
	"58":    faultBroken, "XX001": faultBroken, "XX002": faultBroken, // I/O errors, corrupted data and indexes
	"57014": faultSlow,
	"22021": faultUnwritten, "22P05": faultUnwritten, // characters
}

func postgresFault(err error) *fault {
	var temporary net.Error
	pg, reported := errors.AsType[*pgconn.PgError](err)
	_, connect := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errUnknown):
		return faultUnknown
	case errors.Is(err, errLeaseLost):
		return faultContended
	case errors.Is(err, errEarly):
		return faultLost
	case reported && (!connect || pg.Code == "08P01"):
		if f, ok := postgresFaults[pg.Code]; ok {
			return f
		}
		return postgresFaults[pg.Code[:2]]
	case connect, errors.As(err, &temporary), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), pgconn.SafeToRetry(err), pgconn.Timeout(err):
		return faultLost
	}
	return nil
}
