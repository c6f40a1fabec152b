package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Standby copies the running server to one that follows it by streaming
// replication and answers reads.
func (c *Cluster) Standby() (*Cluster, error) { return fill("pg_basebackup", c.follow()...) }

// Follow has a server that has crashed forget all it had and become a standby
// of another, at the address it had.
func (c *Cluster) Follow(primary *Cluster) error { return c.fill("pg_basebackup", primary.follow()...) }

func (c *Cluster) follow() []string {
	return []string{"--write-recovery-conf", "--checkpoint=fast", "--no-sync",
		"-d", fmt.Sprintf("host=%s user=postgres dbname=postgres application_name=standby_%d", c.dir, c.standbys.Add(1))}
}

// Unfollow has a standby hear nothing more of its primary.
func (c *Cluster) Unfollow(ctx context.Context) error {
	err := errors.Join(c.Execute(ctx, "ALTER SYSTEM SET primary_conninfo = 'host=/nowhere'"), c.Execute(ctx, "SELECT pg_reload_conf()"))
	if err != nil {
		return err
	}
	return c.Ask(ctx, "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_wal_receiver)")
}

// Standbys that commits wait for, https://www.postgresql.org/docs/15/runtime-config-replication.html.
const (
	AnyStandby = "ANY 1 (*)"
	NoStandby  = ""
	NobodyYet  = "nobody" // has a name that no standby has
)

// Synchronous has commits wait until standbys have them on disk, from when it
// returns on. A server takes up its settings some time after it was told to.
func (c *Cluster) Synchronous(ctx context.Context, names string) error {
	if names != NoStandby {
		if err := errors.Join(c.awaited(ctx, NobodyYet), c.commitsWait(ctx)); err != nil {
			return err
		}
	}
	return c.awaited(ctx, names)
}

func (c *Cluster) awaited(ctx context.Context, names string) error {
	return errors.Join(c.Execute(ctx, "ALTER SYSTEM SET synchronous_standby_names = '"+names+"'"),
		c.Execute(ctx, "SELECT pg_reload_conf()"))
}

// commitsWait returns once a commit waits for a standby that is not there: then
// its wait can be cut short, which the server warns of.
func (c *Cluster) commitsWait(ctx context.Context) (err error) {
	config, err := pgx.ParseConfig(c.URL("postgres"))
	if err != nil {
		return err
	}
	waits := false
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { waits = waits || n.SeverityUnlocalized == "WARNING" }
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	for !waits {
		cancel := time.AfterFunc(50*time.Millisecond, func() { _ = conn.PgConn().CancelRequest(ctx) })
		_, err := conn.Exec(ctx, "SELECT txid_current()")
		cancel.Stop()
		if pg, ok := errors.AsType[*pgconn.PgError](err); err != nil && (!ok || pg.Code != "57014") {
			return err
		}
	}
	return nil
}

// Promote makes a standby a primary and returns once it is one.
func (c *Cluster) Promote(ctx context.Context) error {
	return c.Execute(ctx, "SELECT pg_promote()")
}

// Execute runs a statement on the server.
func (c *Cluster) Execute(ctx context.Context, text string) error {
	return execute(ctx, c.URL("postgres"), text)
}

// Ask runs a statement on the server until it answers true, which it must
// before the context ends.
func (c *Cluster) Ask(ctx context.Context, text string) (err error) {
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	for yes := false; !yes && err == nil; {
		err = conn.QueryRow(ctx, text).Scan(&yes)
	}
	return err
}

// URLOf is that of a database of whichever of the clusters takes changes.
func URLOf(database string, clusters ...*Cluster) string {
	hosts := make([]string, len(clusters))
	for i, c := range clusters {
		hosts[i] = c.dir
	}
	return "postgres://postgres@/" + database + "?target_session_attrs=read-write&host=" + url.QueryEscape(strings.Join(hosts, ","))
}

// Attach has a database of the server's reach one of the same name on another, by
// postgres_fdw under a name.
func (c *Cluster) Attach(ctx context.Context, database, name string, other *Cluster) error {
	conn, err := pgx.Connect(ctx, c.URL(database))
	if err != nil {
		return err
	}
	for _, text := range []string{
		"CREATE EXTENSION IF NOT EXISTS postgres_fdw",
		"CREATE SERVER " + name + " FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '" + other.dir + "', dbname '" + database + "', fetch_size '1000')",
		"CREATE USER MAPPING FOR CURRENT_USER SERVER " + name + " OPTIONS (user 'postgres')",
	} {
		if _, err = conn.Exec(ctx, text); err != nil {
			break
		}
	}
	return errors.Join(err, conn.Close(ctx))
}

// Log is what the server has logged.
func (c *Cluster) Log() ([]byte, error) { return os.ReadFile(filepath.Join(c.dir, "log")) }
