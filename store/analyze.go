package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"time"
)

// PostgreSQL keeps the plans of a connection's statements, made by what it knew of
// the tables when they were first run. In a register that was empty then all indexes
// that begin with the tenant cost the same, so a record may be looked for among all of
// its tenant's, from then on, until the tables are analyzed: by autovacuum some
// minutes later. A load of many records gets slower and slower until then, and in the
// end takes longer than a transaction may. So a store that writes much has the tables
// analyzed that have grown, which has every connection of every server plan anew.

const (
	analyzeAfter = 1000                   // changes, after which it is looked which tables have grown
	analyzeCheck = 250 * time.Millisecond // between two looks at how many changes there were
)

// grownTables asks which tables are four times what they were when they were last
// analyzed or vacuumed, by whomever. An empty one must not be analyzed: it would be
// taken for empty when it is not any more.
var grownTables = sync.OnceValue(func() string {
	return "SELECT CAST(CAST(c.oid AS regclass) AS text) FROM pg_class AS c WHERE c.relkind = 'r' AND coalesce(pg_partition_root(c.oid), c.oid) IN (CAST('" +
		strings.Join(keptTables(), "' AS regclass), CAST('") + "' AS regclass)) AND " +
		"pg_relation_size(c.oid) > 4 * CAST(current_setting('block_size') AS bigint) * greatest(c.relpages, 8) ORDER BY 1 -- of every tenant"
})

// analyzeGrown has tables analyzed as the register grows, until the store is closed.
func (s *Store) analyzeGrown() {
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-s.stop; cancel() }()
	tick := time.NewTicker(analyzeCheck)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		if s.grown.Load() < analyzeAfter {
			continue
		}
		s.grown.Store(0)
		err := s.beside(ctx, func(c *sql.Conn) error { return s.analyze(ctx, c) })
		if err != nil && ctx.Err() == nil {
			s.log.Debug("tables that have grown were not analyzed", "error", err)
		}
	}
}

// analyze analyzes the tables that have grown. Nobody waits for it.
func (s *Store) analyze(ctx context.Context, c *sql.Conn) error {
	tables, err := listOf(ctx, c, grownTables())
	if err != nil || len(tables) == 0 {
		return err
	}
	s.d.warned(c) // of something else
	if err := execute(ctx, c, "ANALYZE "+strings.Join(tables, ", ")); err != nil {
		return err
	}
	if s.d.warned(c) {
		s.foreign.Do(func() {
			s.log.Warn("tables that have grown are not analyzed, since the server's database user does not own them: until PostgreSQL's autovacuum does it, changes get slower", "tables", tables)
		})
	}
	return nil
}

// listOf is the one column of a query's rows.
func listOf(ctx context.Context, c *sql.Conn, text string) (list []string, err error) {
	rows, err := c.QueryContext(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	defer rows.Close()
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, rows.Err()
}
