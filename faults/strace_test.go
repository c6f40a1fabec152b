package faults

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tampered has the kernel answer system calls of the server otherwise than it would,
// until it is mended. first is when it first did.
func tampered(t testing.TB, s *server, inject string) (o outage, first func() (time.Time, error)) {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace: ", err)
	}
	calls, _, _ := strings.Cut(inject, ":")
	log := filepath.Join(t.TempDir(), "strace")
	var cmd *exec.Cmd
	mend := func() error {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait() // with the signal
		return nil
	}
	return outage{
		cause: func() error {
			cmd = exec.Command(path, "-f", "-ttt", "-o", log, "-e", "trace="+calls, "-e", "inject="+inject, "-p", fmt.Sprint(s.command.Process.Pid))
			said, err := cmd.StderrPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = mend() })
			lines := bufio.NewScanner(said)
			for lines.Scan() && !strings.Contains(lines.Text(), "attached") {
			}
			if err := lines.Err(); err != nil || !strings.Contains(lines.Text(), "attached") {
				return errors.Join(fmt.Errorf("strace: %q", lines.Text()), err)
			}
			go func() { _, _ = io.Copy(io.Discard, said) }()
			return nil
		},
		mend: mend,
	}, func() (time.Time, error) { return firstInjected(log) }
}

// firstInjected is when strace first tampered with a call.
func firstInjected(log string) (time.Time, error) {
	text, err := os.ReadFile(log)
	if err != nil {
		return time.Time{}, err
	}
	m := regexp.MustCompile(`(?m)^\d+ +(\d+)\.(\d{6}) .*\(INJECTED\)`).FindSubmatch(text)
	if m == nil {
		return time.Time{}, errors.New("strace tampered with nothing")
	}
	seconds, _ := strconv.ParseInt(string(m[1]), 10, 64)
	micros, _ := strconv.ParseInt(string(m[2]), 10, 64)
	return time.Unix(seconds, micros*1000), nil
}
