// Package intake brings what other systems keep about certificates into a tenant's
// register: rows of any source, a chunk at a time, with counts of what became of
// them. The command, jobs over HTTP and live sources share it; it prints nothing.
package intake

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"

	"certstate"
	"certstate/ingest"
	"certstate/store"
)

// Records share a transaction: at most chunk of them, fewer once their
// certificates together have chunkOctets.
const (
	chunk       = 1000
	chunkOctets = 4 << 20
)

// Settings say what is done with what is read.
type Settings struct {
	Format  string            // of all files, of [Formats]
	Naming  ingest.Naming     // of certificates in files
	Columns map[string]string // of CSV, header → property; see [ingest.CSV]
	Update  bool              // have records whose id is there take what the source says
	Dry     bool              // write nothing, and count what would be
	Jobs    int               // how many pieces of the source are made records of at once; 0: one a processor
	By      certstate.Cause

	// UpdateCure tells the person what takes Update's place with them, for the
	// report of a record that says otherwise than one with its id.
	UpdateCure string
}

// Totals are what became of the rows.
type Totals struct {
	Created, Updated, Present int   // records; Present: all of it was there
	Rejected                  int   // rows and whole files left out
	Authorities               int   // certificates of authorities passed over
	Rows                      int64 // all rows up to this one are counted, and what was to be written is durable
	Read, Size                int64 // bytes of the files; Size < 0: not known
	Certificates              bool  // some file had no lines
}

// Done is how many records are in the register.
func (t *Totals) Done() int { return t.Created + t.Updated + t.Present }

// Intake brings rows in, a chunk at a time: one is read while another is written.
// Whatever ends it, it can be run again: what is there already is counted, not
// doubled. It is for one run. Its functions are called one at a time, by the goroutine
// that runs it.
type Intake struct {
	Store    *store.Store
	Tenant   store.Tenant
	Settings Settings
	Progress func(Totals)   // after each chunk; may be nil
	Rejected func(Rejected) // what is left out, in order within a chunk; may be nil

	totals       Totals
	read         int64 // rows
	in           *ingest.Input
	lineless     atomic.Bool // Totals.Certificates
	batch, spare load
	sent         chan error // answers for spare, while it is on its way; else nil
}

// load is what shares a transaction.
type load struct {
	list     []store.Entry
	places   []Place // of the list
	octets   int     // of its certificates
	through  int64   // rows read when it was sent
	outcomes []store.Outcome
	faults   []error
}

// Files brings all files in. One that cannot be read to its end does not keep the
// others out; the error names it. Totals are of what was done until then.
func (i *Intake) Files(ctx context.Context, in *ingest.Input) (Totals, error) {
	if !slices.Contains(Formats(), i.Settings.Format) {
		return i.totals, fmt.Errorf("there is no format %q: there are %s", i.Settings.Format, strings.Join(Formats(), ", "))
	}
	i.totals.Size, i.in = in.Total, in
	return i.run(ctx, i.filesOf(in))
}

// Rows brings rows in. A row whose Err is [ingest.ErrRead] ends it with that error,
// once all before it are in. The rows are asked for by a goroutine of their own.
func (i *Intake) Rows(ctx context.Context, rows iter.Seq[ingest.Row]) (Totals, error) {
	return i.Pieces(ctx, ingest.Pieces(rows))
}

// Pieces brings the rows of pieces in, as Rows.
func (i *Intake) Pieces(ctx context.Context, pieces iter.Seq[ingest.Piece]) (Totals, error) {
	return i.run(ctx, func(yield func(task) bool) {
		for piece := range pieces {
			if !yield(task{piece: piece}) {
				return
			}
		}
	})
}

// filesOf are the pieces of files.
func (i *Intake) filesOf(in *ingest.Input) iter.Seq[task] {
	return func(yield func(task) bool) {
		for f, fault := range in.Files() {
			t := task{name: f.Name, file: f.Name, fault: fault}
			if fault != nil {
				if !yield(t) {
					return
				}
				continue
			}
			form := formatOf(i.Settings.Format, f)
			if form.name == ingest.KindCertificates {
				i.lineless.Store(true)
			}
			if in.Single() && !f.Member {
				t.file = ""
			}
			for t.piece = range form.pieces(f, &i.Settings) {
				if !yield(t) {
					return
				}
			}
		}
	}
}

// run brings the rows of tasks in. What cannot be read to its end does not keep
// others out.
func (i *Intake) run(ctx context.Context, tasks iter.Seq[task]) (Totals, error) {
	var unread []error
	err := func() error {
		for r := range i.results(ctx, tasks) {
			cannot, err := i.take(ctx, &r)
			if err != nil {
				return err
			}
			if cannot != nil {
				unread = append(unread, cannot)
			}
		}
		return i.send(ctx)
	}()
	if err = errors.Join(err, i.settle()); err == nil {
		i.totals.Rows = i.read
	}
	i.tell()
	return i.totals, errors.Join(err, errors.Join(unread...))
}

// take brings what a task has become in. cannot says why its file cannot be read to
// its end; err ends the intake.
func (i *Intake) take(ctx context.Context, r *result) (cannot, err error) {
	if unfit := (*ingest.Fault)(nil); errors.As(r.fault, &unfit) {
		i.reject(Place{File: r.file}, r.fault)
		return nil, nil
	}
	if r.fault != nil {
		return fmt.Errorf("%s: %w", r.name, r.fault), nil
	}
	n := 0
	for k := range r.rows {
		row := &r.rows[k]
		i.read++
		at := Place{r.file, row.Line, row.Place}
		switch {
		case errors.Is(row.Err, ingest.ErrRead) && r.name != "":
			return fmt.Errorf("%s: %w", r.name, row.Err), nil
		case errors.Is(row.Err, ingest.ErrRead):
			return row.Err, nil
		case errors.Is(row.Err, ingest.ErrAuthority):
			i.totals.Authorities++
		case row.Err != nil:
			i.reject(at, row.Err)
		default:
			if err := i.add(ctx, at, &r.entries[n]); err != nil {
				return nil, err
			}
			n++
		}
	}
	return nil, nil
}

func (i *Intake) add(ctx context.Context, at Place, e *store.Entry) error {
	b := &i.batch
	b.list, b.places, b.octets = append(b.list, *e), append(b.places, at), b.octets+len(e.State.Certificate.Octets)
	if len(b.list) < chunk && b.octets < chunkOctets {
		return nil
	}
	return i.send(ctx)
}

// send has the batch brought in while the next is read.
func (i *Intake) send(ctx context.Context) error {
	if err := i.settle(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil || len(i.batch.list) == 0 {
		return err
	}
	i.batch, i.spare = i.spare, i.batch
	i.spare.through = i.read
	i.sent = make(chan error, 1)
	go func(l *load, sent chan<- error) {
		var err error
		l.outcomes, l.faults, err = i.Store.Bring(ctx, i.Tenant, l.list, i.Settings.Dry, i.Settings.By)
		sent <- err
	}(&i.spare, i.sent)
	return nil
}

// settle waits for what was sent, and counts what became of it.
func (i *Intake) settle() error {
	if i.sent == nil {
		return nil
	}
	err := <-i.sent
	i.sent = nil
	l := &i.spare
	if err != nil {
		return fmt.Errorf("%s to %s: %w", l.places[0], l.places[len(l.places)-1], unwritten{err})
	}
	for n, fault := range l.faults {
		if fault != nil {
			i.reject(l.places[n], i.withCure(fault))
		} else {
			i.count(l.outcomes[n])
		}
	}
	i.totals.Rows = l.through
	clear(l.list) // of what the garbage collector would keep
	l.list, l.places, l.octets = l.list[:0], l.places[:0], 0
	i.tell()
	if i.Progress != nil {
		i.Progress(i.totals)
	}
	return nil
}

// tell fills in what the goroutine that reads knows.
func (i *Intake) tell() {
	i.totals.Certificates = i.lineless.Load()
	if i.in != nil {
		i.totals.Read = i.in.Read()
	}
}

// unwritten is why rows could not be written that were read.
type unwritten struct{ error }

func (u unwritten) Unwrap() error { return u.error }

func (i *Intake) count(o store.Outcome) {
	switch o {
	case store.Created:
		i.totals.Created++
	case store.Updated:
		i.totals.Updated++
	case store.Present:
		i.totals.Present++
	}
}

// withCure says what the person can do about a fault of the store's.
func (i *Intake) withCure(fault error) error {
	if certstate.ErrorCode(fault) != certstate.Conflict {
		return fault
	}
	return &ingest.Fault{Column: "id", Reason: strings.TrimSuffix(fault.Error(), "."), Cure: i.Settings.UpdateCure}
}

func (i *Intake) reject(at Place, why error) {
	i.totals.Rejected++
	if i.Rejected != nil {
		i.Rejected(rejected(at, why))
	}
}
