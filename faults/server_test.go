package faults

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"certstate/auth/authtest"
)

// server is a process of certstate serve, which can be ended and started again
// at the same address.
type server struct {
	address string // HOST:PORT
	url     string
	log     string // a file
	args    []string
	program func() (string, error) // builds it
	flaws   []string               // that the program with seams has
	command *exec.Cmd
	ended   chan struct{} // closed when the process is gone
}

// serve starts a server of the register and waits until it is ready. flags come
// after those that every server needs, and win over them.
func (r *register) serve(t testing.TB, flags ...string) *server {
	t.Helper()
	s := r.server(t, flags...)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// server makes a server that is not started yet.
func (r *register) server(t testing.TB, flags ...string) *server {
	t.Helper()
	address := freeAddress(t)
	s := &server{program: program, address: address, url: "http://" + address, log: filepath.Join(r.dir, "server-"+strings.ReplaceAll(address, ":", "-")+".log")}
	s.args = append([]string{"serve", "--database", r.database, "--listen", address, "--base-url", s.url,
		"--issuer", r.issuer.Template(), "--audience", authtest.Audience}, flags...)
	t.Cleanup(func() {
		if s.running() {
			if err := s.stop(); err != nil {
				t.Error(err)
			}
		}
		s.checkLog(t)
	})
	return s
}

// start starts the process and returns once it is ready.
func (s *server) start(environment ...string) error {
	if err := s.launch(environment...); err != nil {
		return err
	}
	return s.awaitReady()
}

// launch starts the process.
func (s *server) launch(environment ...string) error {
	path, err := s.program()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.command = exec.Command(path, s.args...)
	s.command.Stdout, s.command.Stderr = log, log
	s.command.Env = append(append(os.Environ(), "SEAM_FLAWS="+strings.Join(s.flaws, ",")), environment...)
	s.ended, err = spawn(s.command)
	return err
}

// spawn starts a process that ends with the tests, even if they are killed: the kernel
// sees to it when the thread that started it ends, which is why that is kept.
func spawn(cmd *exec.Cmd) (ended chan struct{}, err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
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
	return ended, <-started
}

// patience is how long a test waits for what must happen before it gives up.
const patience = 30 * time.Second

func (s *server) awaitReady() error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		res, err := http.Get(s.url + "/readyz")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.ended:
			return fmt.Errorf("the server ended at its start: %s", s.lastLines())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("the server is not ready after %s: %s", patience, s.lastLines())
}

func (s *server) running() bool {
	select {
	case <-s.ended:
		return false
	default:
		return s.ended != nil
	}
}

// kill ends the process as kill -9 does.
func (s *server) kill() error {
	if !s.running() {
		return fmt.Errorf("the server ended by itself: %s", s.lastLines())
	}
	err := s.command.Process.Kill()
	<-s.ended
	return err
}

// restart kills the process and starts another.
func (s *server) restart() error { return errors.Join(s.kill(), s.start()) }

// stop ends the process as operators do, who want exit code 0.
func (s *server) stop() error {
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.ended:
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("the server runs on after SIGTERM: %s", s.lastLines()), s.kill())
	}
	if code := s.command.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the server ended with exit code %d: %s", code, s.lastLines())
	}
	return nil
}

// checkLog looks for what no server may ever say.
func (s *server) checkLog(t testing.TB) {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return // it was never started
	}
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if bytes.Contains(text, []byte(bad)) {
			t.Errorf("%q is in %s", bad, s.log)
		}
	}
}

// lastLines is the end of the log.
func (s *server) lastLines() string {
	text, _ := os.ReadFile(s.log)
	return string(text[max(0, len(text)-2000):])
}

var nextPort atomic.Int64

// freeAddress is a loopback address with a port that nobody has. It is below those
// that Linux gives to outgoing connections, which could take it while its
// server is down.
func freeAddress(t testing.TB) string {
	t.Helper()
	nextPort.CompareAndSwap(0, 12000+rand.Int64N(10000))
	for range 1000 {
		address := fmt.Sprint("127.0.0.1:", nextPort.Add(1))
		l, err := net.Listen("tcp", address)
		if err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}
