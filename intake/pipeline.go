package intake

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"runtime/debug"

	"certstate/edm"
	"certstate/ingest"
	"certstate/store"
)

// task is a piece of a source on its way to rows, or why a file has none.
type task struct {
	name  string // of the file
	file  string // as Place has it
	piece ingest.Piece
	fault error
}

// result is what a task has become. An entry stands for each row without a fault.
type result struct {
	task
	rows    []ingest.Row
	entries []store.Entry

	panicked string // what went wrong, with where; "": nothing
}

// results are those of the tasks, in their order, while Jobs of them are worked on.
// The tasks are made by a goroutine of their own, which ends after the next one if
// the results are not read to their end.
func (i *Intake) results(ctx context.Context, tasks iter.Seq[task]) iter.Seq[result] {
	return func(yield func(result) bool) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		queue := make(chan chan result, 2*i.jobs())
		go i.work(ctx, tasks, queue)
		for next := range queue {
			select {
			case r := <-next:
				if r.panicked != "" {
					panic(r.panicked) // for whoever runs the intake, who may know what to do
				}
				if !yield(r) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// work queues where the result of each task will be.
func (i *Intake) work(ctx context.Context, tasks iter.Seq[task], queue chan<- chan result) {
	defer close(queue)
	free := make(chan struct{}, i.jobs())
	for t := range tasks {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return
		}
		place := make(chan result, 1)
		go func() {
			place <- i.result(t)
			<-free
		}()
		select {
		case queue <- place:
		case <-ctx.Done():
			return
		}
	}
}

func (i *Intake) jobs() int {
	if i.Settings.Jobs > 0 {
		return i.Settings.Jobs
	}
	return runtime.GOMAXPROCS(0)
}

// result does what needs no database.
func (i *Intake) result(t task) (r result) {
	defer func() {
		if p := recover(); p != nil {
			r.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
	}()
	r = result{task: t}
	if t.fault != nil {
		return r
	}
	r.rows = t.piece()
	r.entries = make([]store.Entry, 0, len(r.rows))
	for n := range r.rows {
		if r.rows[n].Err == nil {
			r.entries = append(r.entries, i.entry(&r.rows[n]))
			r.entries[len(r.entries)-1].Prepare()
		}
	}
	return r
}

// entry is a row with what is to become of it if its record is there already.
func (i *Intake) entry(row *ingest.Row) store.Entry {
	e := store.Entry{Registration: store.Registration{State: *row.State, Set: row.Set, Facts: row.Facts}}
	switch {
	case e.State.ID.Valid && i.Settings.Update:
		e.Way = store.Merge
	case e.State.ID.Valid:
	case e.State.Certificate.Valid:
		e.Way = store.Report
	default:
		id, named := ingest.Identify(row.State)
		if e.State.ID = edm.Str(id); named {
			e.Way = store.Merge
		}
	}
	return e
}
