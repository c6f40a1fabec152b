package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"sync"
)

//go:embed migrations
var migrationFiles embed.FS

// migrations are the frozen DDL files in order; file i takes the schema from
// version i to i+1.
var migrations = sync.OnceValue(func() (texts []string) {
	names, err := fs.Glob(migrationFiles, "migrations/sqlite/*.sql")
	if err != nil {
		panic(err)
	}
	for _, name := range names {
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			panic(err)
		}
		texts = append(texts, string(text))
	}
	return texts
})

// migrate brings the schema up to date in one transaction, so that a crash
// leaves it as it was. The writer's lock makes a second program wait.
func migrate(ctx context.Context, db *sql.DB, path string) (err error) {
	version := func(q interface {
		QueryRowContext(context.Context, string, ...any) *sql.Row
	}) (v int, err error) {
		err = q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&v)
		return v, err
	}
	v, err := version(db)
	if err != nil || v == len(migrations()) {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // a no-op after Commit
	if v, err = version(tx); err != nil {
		return err
	}
	if v > len(migrations()) {
		return newerError(path, v)
	}
	stale := v < derivedSince
	for ; v < len(migrations()); v++ {
		if _, err := tx.ExecContext(ctx, migrations()[v]); err != nil {
			return fmt.Errorf("migration %d: %w", v+1, err)
		}
	}
	if stale { // after the last migration: the code knows that schema alone
		if err := fillDerived(ctx, tx); err != nil {
			return fmt.Errorf("fill derived columns: %w", err)
		}
	}
	mark := fmt.Sprintf("PRAGMA user_version=%d; PRAGMA application_id=%d", v, applicationID)
	if _, err := tx.ExecContext(ctx, mark); err != nil {
		return err
	}
	return tx.Commit()
}
