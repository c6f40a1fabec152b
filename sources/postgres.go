package sources

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// How long a step-ca's database may take to be reached, and to answer.
const (
	connectTime = 10 * time.Second
	answerTime  = 30 * time.Second
)

// postgresDatabase is a step-ca's database of the type postgresql. A step-ca may use
// it meanwhile: each page is a statement of its own that locks nothing.
type postgresDatabase struct{ conn *pgx.Conn }

func openPostgres(ctx context.Context, url string) (Database, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("the step-ca's database: %w", err) // without the password, says pgx
	}
	config.ConnectTimeout = connectTime
	config.RuntimeParams["default_transaction_read_only"] = "on"
	config.RuntimeParams["application_name"] = "certstate"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("the step-ca's database cannot be reached: %w", err)
	}
	return &postgresDatabase{conn}, nil
}

func (d *postgresDatabase) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return d.conn.Close(ctx)
}

func (d *postgresDatabase) now(ctx context.Context) (at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	err = d.conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&at)
	return at, err
}

func (d *postgresDatabase) keys(ctx context.Context, table, after string, limit int) (list []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	rows, err := d.conn.Query(ctx, "SELECT nkey FROM "+table+" WHERE nkey > $1 ORDER BY nkey LIMIT $2", []byte(after), limit)
	if err == nil {
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
			var key []byte
			err := row.Scan(&key)
			return string(key), err
		})
	}
	return list, notStepCA(table, err)
}

func (d *postgresDatabase) values(ctx context.Context, table string, keys []string) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	wanted := make([][]byte, len(keys))
	for i := range keys {
		wanted[i] = []byte(keys[i])
	}
	rows, err := d.conn.Query(ctx, "SELECT nkey, nvalue FROM "+table+" WHERE nkey = ANY($1)", wanted)
	if err != nil {
		return nil, notStepCA(table, err)
	}
	found := map[string][]byte{}
	var key, value []byte
	_, err = pgx.ForEachRow(rows, []any{&key, &value}, func() error {
		found[string(key)] = append([]byte(nil), value...)
		return nil
	})
	return found, notStepCA(table, err)
}

// notStepCA explains an error of the database's.
func notStepCA(table string, err error) error {
	const undefinedTable, denied = "42P01", "42501"
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		switch pg.Code {
		case undefinedTable:
			return fmt.Errorf("the database has no table %s, so that it is not a step-ca's: %w", table, err)
		case denied:
			return fmt.Errorf("grant the user SELECT on %s, %s and %s: %w", certsTable, dataTable, revokedTable, err)
		}
	}
	return err
}
