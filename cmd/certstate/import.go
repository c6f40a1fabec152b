package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"certstate"
	"certstate/ingest"
	"certstate/store"
)

// formats are what import reads, by the value of --format.
var formats = map[string]func(io.Reader) func(func(ingest.Row) bool){
	"ndjson": func(r io.Reader) func(func(ingest.Row) bool) { return ingest.NDJSON(r) },
}

// importSettings are the flags of import.
type importSettings struct {
	database, tenant, format, reason string
}

func (a *app) importRecords() *cobra.Command {
	var set importSettings
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Create many records from a file",
		Long: `Create a record for each line of a file, or of standard input if FILE is -.

With --format ndjson a line is a JSON object as the API takes it to create a
record. A record whose id is taken, or that is none, is left out and named with
its line and the reason; the others are created. Each thousand or so is durable
at once, so an import that was ended can be run again: what is there already is
left out.

Import works beside a running server. Into an empty database that no server
holds it is several times faster.

Exit codes: 0 all created, 1 failed, 2 wrong flags, 3 some lines were left out.`,
		Example: `  certstate import --format ndjson --tenant 8d9f61b2-0f1e-4c6d-9a51-3f5b1c1e7a10 \
    --database sqlite:/var/lib/certstate/register.db certificates.ndjson`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runImport(cmd, &set, args[0]) },
	}
	databaseFlag(cmd.Flags(), &set.database)
	cmd.Flags().StringVar(&set.tenant, "tenant", "", "`GUID` of the enrolled tenant the records belong to")
	cmd.Flags().StringVar(&set.format, "format", "ndjson", "`form` of the file: ndjson")
	cmd.Flags().StringVar(&set.reason, "reason", "", "`why`, for the records' history")
	return cmd
}

func (a *app) runImport(cmd *cobra.Command, set *importSettings, file string) (err error) {
	read := formats[set.format]
	id, faulty := store.ParseTenantID(set.tenant)
	switch {
	case set.database == "":
		return usageError{errors.New("--database is required: " + store.URLForms)}
	case set.tenant == "":
		return usageError{errors.New("--tenant is required: the GUID of an enrolled tenant")}
	case faulty != nil:
		return usageError{faulty}
	case read == nil:
		return usageError{fmt.Errorf("--format %q is not one of: ndjson", set.format)}
	}
	source, err := input(cmd, file)
	if err != nil {
		return err
	}
	defer source.Close() // only read
	s, err := a.openAlone(cmd.Context(), set.database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	t, err := s.Tenant(cmd.Context(), id)
	if err != nil {
		return fmt.Errorf("%w Enrol it with: certstate tenant add %s", err, id)
	}
	i := &importer{a: a, s: s, t: t, by: certstate.Cause{Actor: "certstate import", Reason: set.reason}, began: time.Now(), said: time.Now()}
	err = s.WithoutIndexes(cmd.Context(), func() error { return i.run(cmd.Context(), read(source)) })
	i.report(true)
	if err == nil && i.left > 0 {
		return exitError{fmt.Errorf("%d lines were left out", i.left), exitPartly}
	}
	return err
}

// openAlone opens the database with the lock of its server, or beside the
// server that has it.
func (a *app) openAlone(ctx context.Context, url string) (*store.Store, error) {
	log := slog.New(slog.NewTextHandler(a.err, nil))
	s, err := store.Open(ctx, url, store.Options{Serve: true, Log: log})
	if errors.Is(err, store.ErrServed) {
		return store.Open(ctx, url, store.Options{Log: log})
	}
	return s, err
}

// chunk is how many records share a transaction.
const chunk = 2000

// importer creates records, a chunk at a time.
type importer struct {
	a     *app
	s     *store.Store
	t     store.Tenant
	by    certstate.Cause
	lines []int
	batch []certstate.State

	began, said time.Time
	made, left  int
}

func (i *importer) run(ctx context.Context, rows func(func(ingest.Row) bool)) error {
	for row := range rows {
		if errors.Is(row.Err, ingest.ErrRead) {
			return errors.Join(row.Err, i.flush(ctx))
		}
		if row.Err != nil {
			i.leaveOut(row.Line, row.Err)
			continue
		}
		i.lines, i.batch = append(i.lines, row.Line), append(i.batch, *row.State)
		if len(i.batch) == chunk {
			if err := i.flush(ctx); err != nil {
				return err
			}
		}
	}
	return i.flush(ctx)
}

// flush creates the batch.
func (i *importer) flush(ctx context.Context) error {
	if len(i.batch) == 0 {
		return nil
	}
	faults, err := i.s.Load(ctx, i.t, i.batch, i.by)
	if err != nil {
		return fmt.Errorf("lines %d to %d: %w", i.lines[0], i.lines[len(i.lines)-1], err)
	}
	for n, fault := range faults {
		if fault != nil {
			i.leaveOut(i.lines[n], fault)
		} else {
			i.made++
		}
	}
	i.lines, i.batch = i.lines[:0], i.batch[:0]
	i.report(false)
	return ctx.Err()
}

func (i *importer) leaveOut(line int, why error) {
	i.left++
	fmt.Fprintf(i.a.err, "line %d: %s\n", line, why)
}

// report says how far it is, at most once in two seconds until the end.
func (i *importer) report(end bool) {
	if !end && time.Since(i.said) < 2*time.Second {
		return
	}
	i.said = time.Now()
	rate := float64(i.made) / max(time.Since(i.began).Seconds(), 1e-3)
	if !end {
		fmt.Fprintf(i.a.err, "%d records created, %.0f a second\n", i.made, rate)
		return
	}
	fmt.Fprintf(i.a.stdout, "%d records created, %d lines left out, in %s (%.0f a second)\n",
		i.made, i.left, time.Since(i.began).Round(time.Millisecond), rate)
}
