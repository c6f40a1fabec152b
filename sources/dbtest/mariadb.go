// Package dbtest gives tests a MariaDB server of their own.
package dbtest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Debian's mariadb-server-core has these programs.
const (
	server  = "/usr/sbin/mariadbd"
	install = "/usr/bin/mariadb-install-db"
)

// MariaDB is a server of the test's own. It listens on a socket, and on a port of
// localhost. It does not sync: it outlives its processes, not the machine.
type MariaDB struct {
	Socket string // path
	Port   int

	dir     string
	process *os.Process
	ended   chan struct{}
}

// Start starts a server, which ends with the test, and skips the test if the machine
// has none. options are more of mariadbd's.
func Start(t *testing.T, options ...string) *MariaDB {
	t.Helper()
	if _, err := os.Stat(server); err != nil {
		t.Skip("SKIPPED: install mariadb-server-core for the tests on MariaDB")
	}
	dir, err := os.MkdirTemp("", "certstate-my") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &MariaDB{dir: dir, Socket: filepath.Join(dir, "socket")}
	if err := errors.Join(m.fill(), m.start(options)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = m.process.Kill()
		<-m.ended
	})
	if err := m.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

// fill makes the server's data.
func (m *MariaDB) fill() error {
	owner, err := unprivileged()
	if err != nil {
		return err
	}
	if owner != nil {
		if err := os.Chown(m.dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	//nolint:gosec // a program of Debian's, a folder of our own
	cmd := exec.Command(install, "--no-defaults", "--datadir="+m.data(), "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	cmd.Dir, cmd.SysProcAttr = m.dir, &syscall.SysProcAttr{Credential: owner}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", install, err, out)
	}
	return nil
}

func (m *MariaDB) data() string { return filepath.Join(m.dir, "data") }

// unprivileged is who runs the server if the tests run as root, which MariaDB refuses
// to.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // the tests' own user
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

func (m *MariaDB) start(options []string) error {
	owner, err := unprivileged()
	if err != nil {
		return err
	}
	if m.Port, err = freePort(); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(m.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	//nolint:gosec // a program of Debian's, a folder of our own
	cmd := exec.Command(server, append([]string{"--no-defaults", "--datadir=" + m.data(), "--socket=" + m.Socket,
		"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(m.Port), "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0"}, options...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = m.dir, log, log
	// It ends with the tests, even those that are killed: the kernel sees to it
	// when the thread that started it ends, which is why that is kept.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	m.ended = make(chan struct{})
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		m.process = cmd.Process
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(m.ended)
		}
	}()
	return <-started
}

// freePort is one of localhost that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// wait returns once the server answers.
func (m *MariaDB) wait(ctx context.Context) error {
	for deadline := time.Now().Add(30 * time.Second); ; {
		err := m.Exec(ctx, "SELECT 1")
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-m.ended:
			text, _ := os.ReadFile(filepath.Join(m.dir, "log"))
			return fmt.Errorf("mariadbd ended: %s", text)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// DataSource is how a step-ca's configuration names a database of the server, with
// all rights.
func (m *MariaDB) DataSource(database string) string {
	return "root@unix(" + m.Socket + ")/" + database
}

// Open opens a database of the server, with all rights.
func (m *MariaDB) Open(database string) (*sql.DB, error) {
	config, err := mysql.ParseDSN(m.DataSource(database))
	if err != nil {
		return nil, err
	}
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// Exec carries out statements, with all rights.
func (m *MariaDB) Exec(ctx context.Context, texts ...string) error {
	db, err := m.Open("")
	if err != nil {
		return err
	}
	for _, text := range texts {
		if _, err = db.ExecContext(ctx, text); err != nil {
			break
		}
	}
	return errors.Join(err, db.Close())
}

// Pause stops the server where it is: connections stay, and nothing is answered.
func (m *MariaDB) Pause() error {
	if err := m.process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for begin := time.Now(); ; time.Sleep(time.Millisecond) { // its threads go on until they see it
		stopped, err := m.stopped()
		if err == nil && !stopped && time.Since(begin) > 10*time.Second {
			err = errors.New("the server does not stop")
		}
		if err != nil || stopped {
			return err
		}
	}
}

// stopped reports whether no thread of the server runs (proc_pid_stat(5): its
// state is after its name in parentheses).
func (m *MariaDB) stopped() (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", m.process.Pid))
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) { // it has ended
			continue
		}
		if err != nil || !strings.HasPrefix(string(text[bytes.LastIndexByte(text, ')')+1:]), " T") {
			return false, err
		}
	}
	return len(threads) > 0, err
}

// Resume has it go on.
func (m *MariaDB) Resume() error { return m.process.Signal(syscall.SIGCONT) }
