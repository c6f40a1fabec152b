package store

import (
	"context"
	"database/sql"
	"errors"
)

// ErrServed says that a database is served by another program.
var ErrServed = errors.New("is served already")

// WithoutIndexes runs fn on a database that holds no records and that this
// program serves, and fills its secondary indexes when fn is done: that is
// several times faster than filling them record by record. On any other
// database it just runs fn.
func (s *Store) WithoutIndexes(ctx context.Context, fn func() error) (err error) {
	if s.lock == nil {
		return fn()
	}
	var one int
	switch err := s.read.QueryRowContext(ctx, "SELECT 1 FROM state -- of any tenant\nLIMIT 1").Scan(&one); {
	case err == nil:
		return fn()
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	if err := s.beside(ctx, func(c *sql.Conn) error { return dropIndexes(ctx, s.d, c) }); err != nil {
		return err
	}
	s.fresh.Store(newFresh())
	ctx = context.WithoutCancel(ctx)
	err = errors.Join(fn(), s.fillIndexes(ctx))
	s.fresh.Store(nil)
	return errors.Join(err, s.linkLoaded(ctx))
}

// beside calls fn with the connection that the checkpointer has, too: it must not be
// kept for long, or the write-ahead log grows by all that is written meanwhile.
func (s *Store) beside(ctx context.Context, fn func(*sql.Conn) error) (err error) {
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return fn(conn)
}

// fillIndexes makes the secondary indexes after a load. It sorts with little memory
// and files, so that a large load takes no more of it than a small one; where there is
// no room for files, in memory.
func (s *Store) fillIndexes(ctx context.Context) error {
	return s.beside(ctx, func(c *sql.Conn) error {
		err := execute(ctx, c, "PRAGMA temp_store=FILE; PRAGMA cache_size=-65536")
		if err == nil {
			err = ensureIndexes(ctx, s.d, c)
		}
		if e := execute(ctx, c, writePragmas); e != nil || err == nil {
			return e
		}
		s.log.Warn("the indexes are made again, in memory", "error", err)
		return ensureIndexes(ctx, s.d, c)
	})
}

// linkLoaded links what was loaded without indexes.
func (s *Store) linkLoaded(ctx context.Context) error {
	tenants, err := s.Tenants(ctx)
	if err != nil {
		return err
	}
	return s.linkAll(ctx, tenants)
}
