package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"certstate/store"
)

// compactSettings are the flags of compact.
type compactSettings struct {
	database string
	days     int // of history to keep, 0: all of it
	dry      bool
	form     string
}

func (a *app) compact() *cobra.Command {
	var set compactSettings
	cmd := &cobra.Command{
		Use:   "compact",
		Short: "Give room that is free in a database back to the file system",
		Long: `Give room that is free in a database back to the file system: after much was
deleted, or history was pruned. No record is touched. With --history-days, older
history is pruned first; --dry-run says how much that would be and changes nothing.

It works beside a running server, in steps of some milliseconds, and can be ended
and run again at any time. Only a SQLite file that was made before there was this
verb is rewritten whole, once: stop its server for that, and have twice its size
free. In PostgreSQL it runs VACUUM (ANALYZE): room becomes free for new rows, and
goes back to the file system where it is at the end of a table.`,
		Example: `  certstate compact --database sqlite:/var/lib/certstate/register.db --history-days 90 --dry-run`,
		Args:    arguments(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runCompact(cmd.Context(), &set) },
	}
	databaseFlag(cmd.Flags(), &set.database)
	cmd.Flags().IntVar(&set.days, "history-days", 0, "prune history older than so many `days` first, 0 for none of it")
	cmd.Flags().BoolVar(&set.dry, "dry-run", false, "change nothing: say what there is, and how much history would go")
	outputFlag(cmd.Flags(), &set.form)
	return cmd
}

func (a *app) runCompact(ctx context.Context, set *compactSettings) (err error) {
	switch {
	case set.database == "":
		return usageError{errors.New("--database is required: " + store.URLForms)}
	case set.days < 0 || set.days > maxHistoryDays:
		return usageError{fmt.Errorf("--history-days %d: give a number of days up to %d, or 0 to prune nothing", set.days, maxHistoryDays)}
	case outputs[set.form] == nil:
		return a.print(set.form, nil, nil)
	}
	s, err := a.openAlone(ctx, set.database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	r, err := a.compacted(ctx, s, set)
	if err != nil {
		return err
	}
	row := []string{fmt.Sprint(r.rows), fmt.Sprint(r.bytes), fmt.Sprint(r.before.Total), fmt.Sprint(r.before.Free), fmt.Sprint(r.after.Total)}
	return a.print(set.form, []string{"history_rows", "history_bytes", "bytes_before", "bytes_free", "bytes_after"}, [][]string{row})
}

// compaction is what compact did, or found.
type compaction struct {
	rows, bytes   int64 // of history that was pruned, or would be
	before, after store.Space
}

func (a *app) compacted(ctx context.Context, s *store.Store, set *compactSettings) (r compaction, err error) {
	if r.before, err = s.Space(ctx); err != nil {
		return r, err
	}
	r.after = r.before
	old := time.Now().AddDate(0, 0, -set.days)
	if set.days > 0 {
		if r.rows, r.bytes, err = s.Prunable(ctx, old); err != nil {
			return r, err
		}
	}
	if set.dry {
		return r, nil
	}
	if set.days > 0 {
		if err := s.Prune(ctx, old, a.progress("changes pruned")); err != nil {
			return r, err
		}
	}
	if err := s.Compact(ctx, a.said()); err != nil {
		return r, err
	}
	r.after, err = s.Space(ctx)
	return r, err
}
