package faults

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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
	// A program with the race detector would wait a second before it ends.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(parallel)); err != nil {
		panic(err)
	}
	return storetest.Main(m)
}

// parallel is how many tests run at once: most of them wait for what they broke.
const parallel = 8

// program is the path of certstate, which it builds first.
var program = sync.OnceValues(func() (string, error) { return build("certstate") })

func build(name string, flags ...string) (path string, err error) {
	path = filepath.Join(binaries, name)
	flags = slices.Concat([]string{"build", "-buildvcs=false", "-o", path}, buildFlags, flags, []string{"certstate/cmd/certstate"})
	out, err := exec.Command("go", flags...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build %s: %w: %s", name, err, out)
	}
	return path, err
}

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
