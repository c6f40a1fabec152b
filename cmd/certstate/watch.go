package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"certstate/ingest"
	"certstate/intake"
	"certstate/store"
)

// watcher looks again and again which files are new or have changed. It asks the
// file system rather than have it tell: of what another machine writes to a network
// drive nothing is told, and whoever is told must look through the folder anyway after
// a start, or once too much happened at a time.
type watcher struct {
	names   []string
	every   time.Duration
	done    map[string]stamp // files, as they were brought in
	growing map[string]stamp // files, as they were seen last, that may be written to at the moment
}

// stamp tells whether a file has changed.
type stamp struct {
	size     int64
	modified time.Time
}

func newWatcher(names []string, every time.Duration) *watcher {
	return &watcher{names: names, every: every, done: map[string]stamp{}, growing: map[string]stamp{}}
}

// ready are the files that are not brought in as they are, and that nobody writes to:
// they have not changed since the last look, or for as long.
func (w *watcher) ready(now time.Time) (map[string]stamp, error) {
	in, err := ingest.NewInput(nil, w.names)
	if err != nil {
		return nil, err
	}
	ready, growing := map[string]stamp{}, map[string]stamp{}
	for _, path := range in.Paths() {
		st, err := os.Stat(path)
		if err != nil { // it is gone since
			continue
		}
		is := stamp{st.Size(), st.ModTime()}
		switch {
		case w.done[path] == is:
		case w.growing[path] == is, now.Sub(is.modified) > max(w.every, minQuiet):
			ready[path] = is
		default:
			growing[path] = is
		}
	}
	w.growing = growing
	return ready, nil
}

// minQuiet is for how long a file has not changed that is taken at first sight.
const minQuiet = 2 * time.Second

// watch brings in what is new and changed until a signal comes. What cannot be brought
// in now, for the database or the folder is away, is tried again.
func (a *app) watch(ctx context.Context, set *importSettings, names []string, rejected func(intake.Rejected)) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s, err := store.Open(ctx, set.database, store.Options{Log: slog.New(slog.NewTextHandler(a.err, nil))}) // beside any server
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	t, err := enrolled(ctx, s, set.tenant)
	if err != nil {
		return err
	}
	w := newWatcher(names, set.watchEvery)
	if _, err := w.ready(time.Now()); err != nil {
		return err
	}
	fmt.Fprintf(a.err, "watching, every %s\n", set.watchEvery)
	said := ""
	for {
		err := a.look(ctx, w, set, s, t, rejected)
		if ctx.Err() != nil {
			return nil
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != said && text != "" {
			fmt.Fprintln(a.err, "it is tried again:", text)
		}
		said = text
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(set.watchEvery):
		}
	}
}

// maxUnread is how many files may fail before the rest waits for the next look.
const maxUnread = 10

// look brings in what is ready, once: all together or, if that fails, as much of it as
// can be.
func (a *app) look(ctx context.Context, w *watcher, set *importSettings, s *store.Store, t store.Tenant, rejected func(intake.Rejected)) error {
	ready, err := w.ready(time.Now())
	if err != nil || len(ready) == 0 {
		return err
	}
	bring := func(paths ...string) error {
		in, err := ingest.NewInput(nil, paths)
		if err != nil {
			return err
		}
		i := importer{stdout: a.stdout, stderr: a.err, Intake: intake.Intake{Store: s, Tenant: t, Settings: set.Settings, Rejected: rejected}}
		i.begin()
		if i.totals, err = i.Files(ctx, in); err != nil {
			return err
		}
		for _, path := range paths {
			w.done[path] = ready[path]
		}
		i.total()
		return nil
	}
	paths := slices.Sorted(maps.Keys(ready))
	if err = bring(paths...); err == nil || len(paths) == 1 {
		return err
	}
	var unread []error
	for _, path := range paths {
		if err := bring(path); err != nil {
			unread = append(unread, err)
		}
		if ctx.Err() != nil || len(unread) == maxUnread {
			break
		}
	}
	return errors.Join(unread...)
}
