package sources

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// mysqlDatabase is a step-ca's database of the type mysql, in MySQL or MariaDB. A
// step-ca may use it meanwhile: each page is a statement of its own that locks
// nothing and reads one snapshot. One snapshot of all would be wrong: whether a
// certificate is gone is asked last, and it may have been issued since.
type mysqlDatabase struct {
	pool *sql.DB
	conn *sql.Conn
}

func openMySQL(ctx context.Context, where string) (Database, error) {
	config, err := mysqlConfig(where)
	if err != nil {
		return nil, err
	}
	config.ParseTime, config.Loc = true, time.UTC
	config.AllowAllFiles = false       // the server could ask for any file
	config.Logger = &mysql.NopLogger{} // what it says is in the errors
	if config.ReadTimeout == 0 {
		config.ReadTimeout = answerTime
	}
	if config.WriteTimeout == 0 {
		config.WriteTimeout = answerTime
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("the step-ca's database: %w", err)
	}
	d := &mysqlDatabase{pool: sql.OpenDB(connector)}
	if err := d.connect(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("the step-ca's database cannot be reached: %w", explain(err)), d.Close())
	}
	return d, nil
}

// mysqlSession are the settings of a connection: what the server's own are is not
// left to chance.
var mysqlSession = []string{
	"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY",
	"SET SESSION autocommit = 1",
}

func (d *mysqlDatabase) connect(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	if d.conn, err = d.pool.Conn(ctx); err != nil {
		return err
	}
	for _, text := range mysqlSession {
		if _, err := d.conn.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

func (d *mysqlDatabase) Close() error {
	if d.conn != nil {
		_ = d.conn.Close() // back to the pool, which is closed
	}
	return d.pool.Close()
}

func (d *mysqlDatabase) now(ctx context.Context) (at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	err = d.conn.QueryRowContext(ctx, "SELECT UTC_TIMESTAMP(6)").Scan(&at)
	return at, err
}

func (d *mysqlDatabase) keys(ctx context.Context, table, after string, limit int) (list []string, err error) {
	err = d.each(ctx, func(rows *sql.Rows) error {
		var key string
		err := rows.Scan(&key)
		list = append(list, key)
		return err
	}, "SELECT nkey FROM "+table+" WHERE nkey > ? ORDER BY nkey LIMIT ?", []byte(after), limit)
	return list, err
}

func (d *mysqlDatabase) values(ctx context.Context, table string, keys []string) (map[string][]byte, error) {
	found := make(map[string][]byte, len(keys))
	if len(keys) == 0 {
		return found, nil
	}
	wanted := make([]any, len(keys))
	for i := range keys {
		wanted[i] = []byte(keys[i])
	}
	err := d.each(ctx, func(rows *sql.Rows) error {
		var key string
		var value []byte
		err := rows.Scan(&key, &value)
		found[key] = value
		return err
	}, "SELECT nkey, nvalue FROM "+table+" WHERE nkey IN (?"+strings.Repeat(", ?", len(keys)-1)+")", wanted...)
	return found, err
}

// each calls fn for each row of what a statement selects.
func (d *mysqlDatabase) each(ctx context.Context, fn func(*sql.Rows) error, text string, args ...any) (err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	rows, err := d.conn.QueryContext(ctx, text, args...)
	if err != nil {
		return explain(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return explain(rows.Err())
}

// mysqlCures say what to do about errors of MySQL's, by their number.
var mysqlCures = map[uint16]string{
	1044: grantMySQL, 1142: grantMySQL, 1143: grantMySQL,
	1049: "there is no such database: name the one of the step-ca's ca.json",
	1146: "the database lacks a table, so that it is not a step-ca's",
}

const grantMySQL = "grant the user SELECT on " + certsTable + ", " + dataTable + " and " + revokedTable

// explain adds the cure to an error of the database's.
func explain(err error) error {
	if fault := (*mysql.MySQLError)(nil); errors.As(err, &fault) && mysqlCures[fault.Number] != "" {
		return fmt.Errorf("%s: %w", mysqlCures[fault.Number], err)
	}
	return err
}
