package storetest

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// Partition puts the tables of a PostgreSQL database that have a column part
// into two partitions by it, without what they hold. PostgreSQL refuses to if a
// key of a table lacks the column.
func Partition(ctx context.Context, url string) (err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	_, err = conn.Exec(ctx, `DO $$
DECLARE name text;
BEGIN
  FOR name IN SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
      WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attname = 'part' LOOP
    EXECUTE format('ALTER TABLE %I RENAME TO whole', name);
    EXECUTE format('CREATE TABLE %I (LIKE whole INCLUDING DEFAULTS INCLUDING INDEXES) PARTITION BY HASH (part)', name);
    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 2, REMAINDER 0)', name || '_0', name);
    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 2, REMAINDER 1)', name || '_1', name);
    DROP TABLE whole;
  END LOOP;
END $$`)
	return err
}
