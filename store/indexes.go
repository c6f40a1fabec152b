package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
)

//go:embed indexes.sql
var indexesFile string

// sqliteIndexes are the secondary indexes there should be: name → statement, as
// SQLite keeps it in its schema.
var sqliteIndexes = sync.OnceValue(func() map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(indexesFile) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--") {
			m[strings.Fields(line)[2]] = line
		}
	}
	return m
})

// leadingColumns are the columns with which an index of state begins, after the
// tenant, each with what the index asks of it: "" of one of all records, " <> ”" of
// one that leaves out what is empty.
var leadingColumns = sync.OnceValue(func() map[string]string {
	m := map[string]string{}
	for _, text := range sqliteIndexes() {
		if _, list, ok := strings.Cut(text, "ON state (tenant, "); ok {
			column := list[:strings.IndexAny(list, ",)")]
			_, condition, _ := strings.Cut(list, " WHERE "+column)
			m[column] = condition
		}
	}
	return m
})

// walkable reports whether an index has all records in the order of a column.
func walkable(column string) bool {
	condition, ok := leadingColumns()[column]
	return ok && condition == ""
}

// ensureIndexes makes the secondary indexes what indexes.sql says. If they are
// so already, it writes nothing.
func ensureIndexes(ctx context.Context, d *dialect, c *sql.Conn) (err error) {
	have, err := secondaryIndexes(ctx, d, c)
	if err != nil || maps.Equal(have, d.indexes()) {
		return err
	}
	if d.lock != "" {
		if err := execute(ctx, c, "BEGIN; "+d.lock); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, execute(ctx, c, "COMMIT")) }() // rolls back what failed
		if have, err = secondaryIndexes(ctx, d, c); err != nil {
			return err
		}
	}
	for name, text := range have {
		if d.indexes()[name] != text {
			if err := execute(ctx, c, "DROP INDEX "+name); err != nil {
				return err
			}
			delete(have, name)
		}
	}
	for name, text := range d.indexes() {
		if have[name] == "" {
			if err := execute(ctx, c, d.makeIndex(name, text)); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropIndexes takes the secondary indexes away for a bulk load, which
// ensureIndexes ends: filling a table and then its indexes is several times
// faster than filling them row by row. Until then reads are slow, not wrong.
func dropIndexes(ctx context.Context, d *dialect, c *sql.Conn) error {
	have, err := secondaryIndexes(ctx, d, c)
	if err != nil {
		return err
	}
	for name := range have {
		if err := execute(ctx, c, "DROP INDEX IF EXISTS "+name); err != nil {
			return err
		}
	}
	return nil
}

func execute(ctx context.Context, c *sql.Conn, text string) error {
	if _, err := c.ExecContext(ctx, text); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	return nil
}

// secondaryIndexes are the indexes there are, but for those that are part of
// a table's definition.
func secondaryIndexes(ctx context.Context, d *dialect, c *sql.Conn) (map[string]string, error) {
	rows, err := c.QueryContext(ctx, d.haveIndexes)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	m := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, err
		}
		m[name] = text
	}
	return m, rows.Err()
}
