package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"certstate/ingest"
	"certstate/intake"
	"certstate/sources"
)

// bringer brings in what comes from somewhere.
type bringer func(context.Context, *intake.Intake) (intake.Totals, error)

// otherInputFlags are those of inputs other than files that are read once.
func (set *importSettings) otherInputFlags(f *pflag.FlagSet) {
	f.StringVar(&set.fromStepCA, "from-step-ca", "", "`place` of a step-ca's database to read instead of files: "+sources.DatabaseForms+"; the dataSource of its ca.json will do")
	f.BoolVar(&set.watch, "watch", false, "go on until stopped, and bring in files that are new or change")
	f.DurationVar(&set.watchEvery, "watch-every", 5*time.Second, "`time` between two looks with --watch")
}

// arguments finds what is wrong with which inputs are named.
func (set *importSettings) arguments(files []string) error {
	elsewhere := set.fromStepCA != "" || set.pull.from != ""
	switch {
	case set.fromStepCA != "" && set.pull.from != "":
		return errors.New("--from-step-ca and --from-graph are two imports")
	case elsewhere && (len(files) > 0 || set.watch):
		return errors.New("--from-graph and --from-step-ca take the place of FILE and --watch")
	case !elsewhere && len(files) == 0:
		return errors.New("name a FILE, or give --from-graph or --from-step-ca")
	case set.watch && (set.Dry || slices.Contains(files, "-")):
		return errors.New("--watch is for files and folders, and not for --dry-run")
	case set.watchEvery <= 0:
		return errors.New("--watch-every needs a time such as 5s")
	}
	return nil
}

// origin is what is brought in.
type origin struct {
	bring bringer
	pull  *pull // nil: nothing is pulled
	close func() error
}

func (set *importSettings) origin(a *app, cmd *cobra.Command, files []string) (from origin, err error) {
	from.close = func() error { return nil }
	switch {
	case set.pull.from != "":
		from.pull, err = set.pull.open(cmd.Context(), set.database, set.tenant, a)
		from.bring = func(ctx context.Context, i *intake.Intake) (intake.Totals, error) {
			return i.Pieces(ctx, from.pull.pieces(ctx))
		}
	case set.fromStepCA != "":
		var db sources.Database
		if db, err = sources.OpenDatabase(cmd.Context(), set.fromStepCA); err != nil {
			return from, err
		}
		from.close = db.Close
		from.bring = func(ctx context.Context, i *intake.Intake) (intake.Totals, error) {
			totals, err := i.Rows(ctx, sources.Rows(ctx, db, set.Naming))
			totals.Certificates = true
			return totals, err
		}
	default:
		var in *ingest.Input
		in, err = ingest.NewInput(cmd.InOrStdin(), files)
		from.bring = func(ctx context.Context, i *intake.Intake) (intake.Totals, error) { return i.Files(ctx, in) }
	}
	return from, err
}
