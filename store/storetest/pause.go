package storetest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Pause stops all processes of the server where they are: connections stay, and
// nothing is answered.
func (c *Cluster) Pause() error { return c.signal(syscall.SIGSTOP) }

// Resume has them go on.
func (c *Cluster) Resume() error { return c.signal(syscall.SIGCONT) }

// signal sends a signal to the server, so that it starts no more processes, and to
// those that it has started.
func (c *Cluster) signal(sig syscall.Signal) error {
	err := c.process.Signal(sig)
	children, e := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", c.process.Pid))
	err = errors.Join(err, e)
	for _, text := range strings.Fields(string(children)) {
		pid, e := strconv.Atoi(text)
		if e == nil {
			e = syscall.Kill(pid, sig)
		}
		if !errors.Is(e, syscall.ESRCH) { // it has ended meanwhile
			err = errors.Join(err, e)
		}
	}
	return err
}
