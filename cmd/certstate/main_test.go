package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"certstate/store/storetest"
)

func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){
		"certstate": func() {
			os.Exit(run(context.Background(), os.Args[1:], environ(os.Environ()), os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// tests runs the tests and stops what they started.
type tests struct{ *testing.M }

func (t tests) Run() int { return storetest.Main(t.M) }

// TestScriptsOnPostgres runs testdata/postgres/*.txtar with a database of that
// engine: the settings an operator gives are the only difference.
func TestScriptsOnPostgres(t *testing.T) {
	url := storetest.Postgres(t)
	testscript.Run(t, testscript.Params{Dir: "testdata/postgres", Setup: func(e *testscript.Env) error {
		e.Setenv("CERTSTATE_DATABASE", url)
		return nil
	}, Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": status}})
}

// TestScripts runs testdata/script/*.txtar: the product as an operator uses it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": status}})
}

// status CODE COMMAND ARG… runs a command that must end with the exit code.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status CODE COMMAND ARG...")
	}
	code := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}
