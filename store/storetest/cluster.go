package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// binaries is where Debian's postgresql-15 has its programs.
const binaries = "/usr/lib/postgresql/15/bin"

// Cluster is a PostgreSQL server of the test's own, which listens on a socket.
type Cluster struct {
	dir     string
	process *os.Process
	ended   chan struct{}

	standbys atomic.Int64 // that were made of it
}

// Start makes a cluster and starts it. Its own collation is a linguistic one,
// so that an order that is left to the database is found out. It does not sync:
// it outlives its processes, not the machine.
func Start() (*Cluster, error) {
	if _, err := os.Stat(filepath.Join(binaries, "initdb")); err != nil {
		return nil, fmt.Errorf("set %s, or install postgresql-15: %w", ServerVariable, err)
	}
	return fill("initdb", "-U", "postgres", "-A", "trust",
		"-E", "UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US", "--no-sync", "--no-instructions")
}

// fill makes a server whose data a program of PostgreSQL's makes.
func fill(program string, args ...string) (*Cluster, error) {
	dir, err := os.MkdirTemp("", "certstate-pg")
	if err != nil {
		return nil, err
	}
	owner, err := unprivileged()
	if owner != nil && err == nil {
		err = os.Chown(dir, int(owner.Uid), int(owner.Gid))
	}
	c := &Cluster{dir: dir}
	if err == nil {
		err = c.fill(program, args...)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return c, nil
}

// fill has a program make the server's data anew, and starts it.
func (c *Cluster) fill(program string, args ...string) error {
	owner, err := unprivileged()
	if err != nil {
		return err
	}
	data := filepath.Join(c.dir, "data")
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	//nolint:gosec // a program of Debian's, a folder of our own
	cmd := exec.Command(filepath.Join(binaries, program), append([]string{"-D", data}, args...)...)
	cmd.Dir, cmd.SysProcAttr = c.dir, &syscall.SysProcAttr{Credential: owner}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return c.start()
}

// unprivileged is who runs the server if the tests run as root, which
// PostgreSQL refuses to.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // the tests' own user
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

func (c *Cluster) start() error {
	owner, err := unprivileged()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(c.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	//nolint:gosec // a program of Debian's, a folder of our own
	cmd := exec.Command(filepath.Join(binaries, "postgres"), "-D", filepath.Join(c.dir, "data"), "-k", c.dir, "-h", "",
		"-c", "fsync=off", "-c", "shared_buffers=64MB", "-c", "max_connections=200", "-c", "log_min_messages=fatal")
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, log, log
	// It ends with the tests, even those that are killed: the kernel sees to it
	// when the thread that started it ends, which is why that is kept.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner, Pdeathsig: syscall.SIGQUIT}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	c.process, c.ended = cmd.Process, ended
	return c.wait()
}

// wait returns once the server answers.
func (c *Cluster) wait() (err error) {
	for range 1500 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		var conn *pgx.Conn
		if conn, err = pgx.Connect(ctx, c.URL("postgres")); err == nil {
			err = conn.Close(ctx)
			cancel()
			return err
		}
		cancel()
		select {
		case <-c.ended:
			text, _ := os.ReadFile(filepath.Join(c.dir, "log"))
			return fmt.Errorf("postgres ended: %s", text)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return err
}

// URL is that of a database of the cluster.
func (c *Cluster) URL(database string) string {
	return "postgres://postgres@/" + database + "?host=" + url.QueryEscape(c.dir)
}

// Create makes a database and returns its URL.
func (c *Cluster) Create(ctx context.Context, name string) (string, error) {
	return createDatabase(ctx, c.URL("postgres"), name)
}

// Crash ends all processes of the server without a word, as pg_ctl stop -m
// immediate does.
func (c *Cluster) Crash() {
	_ = c.process.Signal(syscall.SIGQUIT)
	<-c.ended
}

// Restart starts the server that crashed.
func (c *Cluster) Restart() error { return c.start() }

// Stop ends the server and removes what it has.
func (c *Cluster) Stop() {
	c.Crash()
	_ = os.RemoveAll(c.dir)
}

func createDatabase(ctx context.Context, server, name string) (string, error) {
	if err := execute(ctx, server, "CREATE DATABASE "+name+" ENCODING 'UTF8' TEMPLATE template0"); err != nil {
		return "", err
	}
	u, err := url.Parse(server)
	if err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}

func dropDatabase(server, name string) error {
	return execute(context.Background(), server, "DROP DATABASE "+name+" WITH (FORCE)")
}

func execute(ctx context.Context, server, text string) error {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, text)
	return errors.Join(err, conn.Close(ctx))
}
