package faults

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"certstate/store/storetest"
)

var rolls = flag.Int("rolls", 1, "how often TestRollingRestart restarts every server")

// Servers are stopped and started one by one, as for a new release: no request
// fails, although nobody repeats any.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	for _, kind := range balancers {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			r := newRegister(t, storetest.Postgres(t))
			b, running := r.serveBehind(t, kind, 2, "--drain-seconds", "2")
			transport := b.transport()
			transport.DisableKeepAlives = kind.reloads // nginx closes idle connections when it is reloaded
			l := newLoad(newClient(r, transport), []string{b.url}, 0)
			l.ownDuring(t, func() error {
				for n := range *rolls * len(running) {
					if err := b.roll(running[n%len(running)]); err != nil {
						return err
					}
				}
				return nil
			})
			l.judge(t, r)
		})
	}
}

// roll stops a server and starts it again, as the document says.
func (b *balancer) roll(s *server) error {
	if !b.kind.reloads {
		return errors.Join(s.stop(), s.start(), b.awaitUp(s.address))
	}
	return errors.Join(b.reload(s.address), s.stop(), s.start(), b.reload(""))
}

// awaitUp waits until HAProxy has seen that a server is back.
func (b *balancer) awaitUp(address string) error {
	server := "certstate," + names[slices.Index(b.servers, address)] + ","
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("unix", filepath.Join(b.dir, "stats"))
		if err != nil {
			return err
		}
		_, _ = io.WriteString(conn, "show stat\n")
		text, err := io.ReadAll(conn)
		_ = conn.Close()
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, server) && strings.Split(line, ",")[17] == "UP" {
				return nil
			}
		}
	}
	return fmt.Errorf("HAProxy does not see that %s is back", address)
}

// reload takes a server out of use and returns when nothing more is sent to it.
func (b *balancer) reload(down string) error {
	old := b.workers()
	if err := b.configure(down); err != nil {
		return err
	}
	if err := b.command.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if now := b.workers(); len(now) > 0 && !slices.ContainsFunc(old, func(pid string) bool { return slices.Contains(now, pid) }) {
			return nil
		}
	}
	return errors.New("the old workers do not end")
}

// workers are the children of the balancer's process.
func (b *balancer) workers() []string {
	pid := b.command.Process.Pid
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	return strings.Fields(string(text))
}
