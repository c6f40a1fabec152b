package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"sync"
	"time"
)

//go:embed migrations
var migrationFiles embed.FS

// The frozen DDL files of each engine in order; file i takes the schema from
// version i to i+1.
var (
	sqliteMigrations   = sync.OnceValue(func() []string { return migrationsIn("migrations/sqlite") })
	postgresMigrations = sync.OnceValue(func() []string { return migrationsIn("migrations/postgres") })
)

func migrationsIn(folder string) (texts []string) {
	names, err := fs.Glob(migrationFiles, folder+"/*.sql")
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
}

func newerError(path string, version, known int) error {
	return fmt.Errorf("%s has schema %d, made by a newer certstate; this one knows %d: use the newer program", path, version, known)
}

// migrate brings the schema up to date. Programs that start together may meet
// in it: one does it, and the others find it done.
func migrate(ctx context.Context, d *dialect, db *sql.DB, path string) (err error) {
	for try := 1; ; try++ {
		err = migrateOnce(ctx, d, db, path)
		if f := d.fault(err); err == nil || f == nil || !f.again || try == writeTries {
			return err
		}
		time.Sleep(pause(try))
	}
}

// migrateOnce does it in one transaction, so that a crash leaves the schema as
// it was. The lock makes a second program wait.
func migrateOnce(ctx context.Context, d *dialect, db *sql.DB, path string) (err error) {
	last := len(d.migrations())
	v, err := d.version(ctx, db)
	switch {
	case err != nil || v == last:
		return err
	case v > last:
		return newerError(path, v, last)
	}
	if d.prepare != "" {
		if _, err := db.ExecContext(ctx, d.prepare); err != nil {
			return err
		}
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // a no-op after Commit
	if d.lock != "" {
		if _, err := tx.ExecContext(ctx, d.lock); err != nil {
			return err
		}
	}
	if v, err = d.version(ctx, tx); err != nil {
		return err
	}
	if v > last {
		return newerError(path, v, last)
	}
	stale := v < d.derivedSince
	for ; v < last; v++ {
		if _, err := tx.ExecContext(ctx, d.migrations()[v]); err != nil {
			return fmt.Errorf("migration %d: %w", v+1, err)
		}
	}
	if stale { // after the last migration: the code knows that schema alone
		if err := fillDerived(ctx, d, tx); err != nil {
			return fmt.Errorf("fill derived columns: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, d.mark(v)); err != nil {
		return err
	}
	return tx.Commit()
}
