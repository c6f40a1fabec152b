// Command bench measures this server against a bare floor: net/http, the same
// SQLite driver, settings and table, SQL and JSON written by hand, no tokens,
// no OData, no log (floor.go). Run it with make bench.
//
// With -queries it measures queries against statements written by hand for each
// (question.go): make bench-query. With -backup it measures a backup under load
// and its restore beside a copy of the file (backup.go): make bench-backup. With
// -overload it sends the server ten times what it can do (overload.go): make
// bench-overload. With -soak it looks for what grows under a load that the server
// can bear (soak.go).
//
// Both are processes of their own, start from copies of one database and are
// asked the same things in turn by one client (load.go). The client shares the
// machine with them, so a ratio of rates flatters the slower one; the server's
// own CPU time per request, printed beside it, does not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"certstate/auth/authtest"
)

// floorArg as the first argument makes this program the floor's server.
const floorArg = "floor"

// options are the bench's flags.
type options struct {
	queries bool
	only    string
	backup  bool
	over    bool
	soak    time.Duration
	rows    int
	seconds float64
	rounds  int
	dir     string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) == 4 && os.Args[1] == floorArg {
		err = serveFloor(ctx, os.Args[2], os.Args[3])
	} else if len(os.Args) == 3 && os.Args[1] == probeArg {
		err = probe(ctx, os.Args[2], os.Stdout)
	} else if len(os.Args) == 2 && os.Args[1] == sendArg {
		err = sendStream(ctx, os.Stdin, os.Stdout)
	} else {
		err = run(ctx, os.Args[1:], os.Stdout)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func parseOptions(args []string) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.BoolVar(&o.queries, "queries", false, "measure queries instead of the five operations")
	f.StringVar(&o.only, "only", "", "measure only what has this in its name, such as 'search'")
	f.BoolVar(&o.backup, "backup", false, "measure a backup under load, and its restore")
	f.BoolVar(&o.over, "overload", false, "send ten times what the server can do for that many -seconds instead")
	f.DurationVar(&o.soak, "soak", 0, "send half of what the server can do for that `time` instead, and look for what grows")
	f.IntVar(&o.rows, "rows", 100_000, "records in the table before the first request")
	f.Float64Var(&o.seconds, "seconds", 3, "length of one measurement in seconds")
	f.IntVar(&o.rounds, "rounds", 3, "how often both servers take their turn")
	f.StringVar(&o.dir, "dir", os.TempDir(), "folder for the databases: on the disk to be measured, not on tmpfs")
	if err = f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.rows < 1 || o.seconds <= 0 || o.rounds < 1 {
		return o, errors.New("-rows, -seconds and -rounds must be positive, and there are no arguments")
	}
	return o, nil
}

// run measures and prints. Whatever it started has ended and whatever it wrote
// is gone when it returns.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "csbench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	is, stopIssuer, err := startIssuer()
	if err != nil {
		return err
	}
	defer stopIssuer()
	fmt.Fprintf(os.Stderr, "building the server and preparing %d records\n", o.rows)
	program := filepath.Join(dir, "server")
	if _, err := command(ctx, "go", "build", "-o", program, "certstate/cmd/certstate"); err != nil {
		return err
	}
	set, err := prepare(ctx, dir, program, o.rows)
	if err != nil {
		return err
	}
	switch {
	case o.backup:
		return backups(ctx, out, o, dir, program, set, is)
	case o.over:
		return overload(ctx, out, o, dir, program, set, is)
	case o.soak > 0:
		return soak(ctx, out, o, dir, program, set, is)
	}
	return compare(ctx, out, o, dir, program, set, is)
}

// compare measures the server beside the floor.
func compare(ctx context.Context, out io.Writer, o options, dir, program string, set *dataset, is *authtest.Issuer) error {
	server, err := startServer(ctx, dir, program, set, is)
	if err != nil {
		return err
	}
	defer server.stop()
	work := workloads
	if o.queries {
		work = askAll()
		if server.paths, err = serverPaths(server, o.rows); err != nil {
			return errors.Join(err, server.lastWords())
		}
	}
	// The floor has all that the server has, byte for byte.
	if err := errors.Join(set.checkpoint(ctx, set.server), copyFile(set.floor, set.server)); err != nil {
		return err
	}
	floor, err := startFloor(ctx, dir, set, is)
	if err != nil {
		return err
	}
	defer floor.stop()

	work = slices.DeleteFunc(slices.Clone(work), func(w workload) bool { return !strings.Contains(w.name, o.only) })
	_, before := server.memory()
	results, err := measureAll(ctx, o, set, work, []*target{floor, server})
	if err != nil {
		return errors.Join(err, floor.lastWords(), server.lastWords())
	}
	if err := report(out, o, set, work, results, floor, server); err != nil {
		return err
	}
	fmt.Fprintf(out, "certstate had %d MiB without mapped files before the first measurement; import: %s\n", before, set.imported)
	return nil
}

// measureAll gives both servers their turn at each workload, round after
// round. The results are by workload, then by server.
func measureAll(ctx context.Context, o options, set *dataset, work []workload, targets []*target) ([][]series, error) {
	results := make([][]series, len(work))
	for i := range results {
		results[i] = make([]series, len(targets))
	}
	length := time.Duration(o.seconds * float64(time.Second))
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, o.rounds)
		for i := range work {
			for j, t := range targets {
				// Neither the other's checkpoint nor its own from before may
				// fall into this measurement.
				for _, t := range targets {
					if err := set.checkpoint(ctx, t.database); err != nil {
						return nil, err
					}
				}
				m, err := measure(ctx, t, &work[i], set.ids, length)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", t.name, work[i].name, err)
				}
				results[i][j] = append(results[i][j], m)
			}
		}
	}
	return results, nil
}

// command runs a program to its end and returns what it said.
func command(ctx context.Context, name string, args ...string) (said string, err error) {
	text, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %v: %w\n%s", name, args, err, text)
	}
	return string(text), nil
}
