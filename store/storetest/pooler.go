package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// poolerProgram is Debian's PgBouncer.
const poolerProgram = "/usr/sbin/pgbouncer"

// Pooler is a PgBouncer that hands few connections of a cluster out by the
// transaction.
type Pooler struct {
	dir     string
	process *exec.Cmd
}

// Pool starts a pooler before the cluster.
func (c *Cluster) Pool() (*Pooler, error) {
	if _, err := os.Stat(poolerProgram); err != nil {
		return nil, fmt.Errorf("install pgbouncer: %w", err)
	}
	dir, err := os.MkdirTemp("", "certstate-pool")
	if err != nil {
		return nil, err
	}
	settings := fmt.Sprintf(`[databases]
* = host=%s user=postgres
[pgbouncer]
listen_addr =
unix_socket_dir = %s
auth_type = any
pool_mode = transaction
default_pool_size = 5
server_round_robin = 1
`, c.dir, dir)
	file := filepath.Join(dir, "pgbouncer.ini")
	owner, err := unprivileged()
	if err == nil {
		err = os.WriteFile(file, []byte(settings), 0o644) //nolint:gosec // it has no secrets, and is read by another user
	}
	if owner != nil && err == nil {
		err = os.Chown(dir, int(owner.Uid), int(owner.Gid))
	}
	p := &Pooler{dir, exec.Command(poolerProgram, "-q", file)} //nolint:gosec // a program of Debian's, a file of our own
	p.process.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	if err == nil {
		err = p.process.Start()
	}
	if err == nil {
		err = p.wait()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

func (p *Pooler) wait() (err error) {
	for range 500 {
		var conn *pgx.Conn
		if conn, err = pgx.Connect(context.Background(), p.URL("postgres")); err == nil {
			return conn.Close(context.Background())
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// URL is that of a database behind the pooler, for a driver that keeps nothing
// in a session.
func (p *Pooler) URL(database string) string {
	return "postgres://postgres@/" + database + "?port=6432&default_query_exec_mode=exec&host=" + url.QueryEscape(p.dir)
}

// Stop ends the pooler.
func (p *Pooler) Stop() {
	_ = p.process.Process.Kill()
	_ = p.process.Wait()
	_ = os.RemoveAll(p.dir)
}
