package sources

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"certstate/edm"
	"certstate/store"
)

// Runner reads every source of every tenant when it is due; of several servers one
// reads each.
type Runner struct {
	Store *store.Store
	Log   *slog.Logger

	readings sync.WaitGroup
	mu       sync.Mutex
	busy     map[string]bool   // the sources that are being read, by tenant and name
	faults   map[string]string // of each source, as it was logged
}

const (
	lookEvery  = 2 * time.Second  // for what is due
	retryAfter = 30 * time.Second // a reading failed, or less if the source is read more often
	maxBusy    = 4                // sources read at once, so that one that hangs keeps no other waiting
)

// Run reads sources until ctx ends.
func (r *Runner) Run(ctx context.Context) {
	r.busy, r.faults = map[string]bool{}, map[string]string{}
	defer r.readings.Wait()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := r.round(ctx); err != nil && ctx.Err() == nil {
			r.said("", err.Error(), "the sources cannot be listed")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *Runner) round(ctx context.Context) error {
	tenants, err := r.Store.Tenants(ctx)
	if err != nil {
		return err
	}
	for _, t := range tenants {
		if t.Suspended {
			continue
		}
		list, err := r.Store.Sources(ctx, t)
		if err != nil {
			return err
		}
		for i := range list {
			if due(&list[i], time.Now()) && ctx.Err() == nil {
				r.start(ctx, t, list[i].Name)
			}
		}
	}
	return nil
}

// due reports whether it is time to read a source.
func due(src *store.Source, now time.Time) bool {
	set, err := Settings(src)
	if err == nil && set.Database == "" {
		return false
	}
	wait := time.Duration(set.Every) * time.Second
	if err != nil || src.Fault != "" {
		wait = min(max(wait, time.Second), retryAfter)
	}
	return src.Tried.Ticks == 0 || edm.Time(now.UTC().Add(-wait)).Ticks >= src.Tried.Ticks
}

// start reads a source beside others, unless it is being read or too many are.
func (r *Runner) start(ctx context.Context, t store.Tenant, name string) {
	key := t.ID + "/" + name
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[key] || len(r.busy) >= maxBusy {
		return
	}
	r.busy[key] = true
	r.readings.Go(func() {
		r.read(ctx, t, name)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.busy, key)
	})
}

func (r *Runner) read(ctx context.Context, t store.Tenant, name string) {
	began := time.Now()
	found, err := Reconcile(ctx, r.Store, t, name, r.Log)
	switch {
	case ctx.Err() != nil, errors.Is(err, ErrHeld):
		return
	case err != nil:
		r.said(t.ID+"/"+name, err.Error(), "a source cannot be read", "tenant", t.ID, "source", name)
		return
	}
	r.said(t.ID+"/"+name, "", "")
	level := slog.LevelDebug
	if found != (Result{Read: found.Read}) {
		level = slog.LevelInfo
	}
	r.Log.Log(ctx, level, "source read", "tenant", t.ID, "source", name, "certificates", found.Read, "new", found.New, "gone", found.Gone,
		"revoked", found.Revoked, "unfit", found.Unfit, "took", time.Since(began))
}

// said logs what is wrong once until it is otherwise.
func (r *Runner) said(key, fault, text string, attrs ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.faults[key]
	if r.faults[key] = fault; fault == before {
		return
	}
	if fault == "" {
		r.Log.Info("a source can be read again", "key", key)
		return
	}
	r.Log.Warn(text, append(attrs, "error", fault)...)
}
