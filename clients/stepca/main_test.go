package stepca

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

var count = flag.Int("certificates", 40, "how many the step-ca issues")

// The programs that are tested, and with which.
var certstate, stepCA string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "certstate-stepca")
	if err == nil {
		certstate, stepCA = filepath.Join(dir, "certstate"), filepath.Join(dir, "step-ca")
		err = errors.Join(build("../..", nil, certstate, "./cmd/certstate"), build(".", []string{"CGO_ENABLED=0"}, stepCA, "github.com/smallstep/certificates/cmd/step-ca"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func build(dir string, env []string, to, what string) error {
	cmd := exec.Command("go", "build", "-o", to, what)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", what, err, out)
	}
	return nil
}

// program is one that runs.
type program struct {
	name  string
	cmd   *exec.Cmd
	log   *buffer
	ended chan struct{}
}

// buffer is what a program has written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// run starts a program, which ends with the test at the latest.
func run(t *testing.T, name string, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{name: name, cmd: cmd, log: &buffer{}, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() {
		p.end(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("%s said last:\n%s", name, p.tail())
		}
	})
	return p
}

// end sends the program a signal and waits for its end.
func (p *program) end(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig)
	<-p.ended
}

// until waits for a condition.
func (p *program) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		select {
		case <-p.ended:
			t.Fatalf("%s ended before it %s", p.name, what)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after two minutes: %s", p.name, what)
		}
	}
}

// tail is the end of what the program has written.
func (p *program) tail() string {
	const end = 3000
	said := p.log.String()
	return said[max(0, len(said)-end):]
}
