package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"certstate/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// binaries is the folder of programs that are built for the tests.
var binaries string

func run(m *testing.M) int {
	var err error
	if binaries, err = os.MkdirTemp("", "certstate-binaries"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(binaries)
	return storetest.Main(m)
}

// program is the path of certstate, which it builds first.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaries, "certstate")
	out, err := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-o", path}, buildFlags...), "certstate/cmd/certstate")...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build certstate: %w: %s", err, out)
	}
	return path, err
})

// command runs a command of the program to its end, which must be a good
// one, and returns what it said.
func command(t testing.TB, args ...string) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Errorf("certstate %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
