package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/ingest"
	"certstate/store"
)

// Records share a transaction: at most chunk of them, fewer once their
// certificates together have chunkOctets.
const (
	chunk       = 1000
	chunkOctets = 4 << 20
)

// importer brings records in, a chunk at a time: one is read while another is written.
type importer struct {
	a       *app
	s       *store.Store
	t       store.Tenant
	set     *importSettings
	in      *ingest.Input
	rejects *rejects

	batch, spare load
	sent         chan error // answers for spare, while it is on its way; else nil

	began, said  time.Time
	made         [store.Present + 1]int // by outcome
	authorities  int
	certificates bool // some input was no table of lines
}

// load is what shares a transaction.
type load struct {
	list     []store.Entry
	places   []place // of the list
	octets   int     // of its certificates
	outcomes []store.Outcome
	faults   []error
}

func newImporter(a *app, s *store.Store, t store.Tenant, set *importSettings, in *ingest.Input, r *rejects) *importer {
	now := time.Now()
	return &importer{a: a, s: s, t: t, set: set, in: in, rejects: r, began: now, said: now}
}

// run brings all files in. One that cannot be read to its end does not keep the
// others out.
func (i *importer) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, i.settle()) }()
	var unread []error
	for f, err := range i.in.Files() {
		var cannot error
		if err == nil {
			cannot, err = i.file(ctx, f)
		} else if fault := (*ingest.Fault)(nil); errors.As(err, &fault) {
			i.rejects.add(place{file: f.Name}, err)
			continue
		} else {
			cannot, err = err, nil
		}
		if err != nil {
			return err
		}
		if cannot != nil {
			unread = append(unread, fmt.Errorf("%s: %w", f.Name, cannot))
		}
	}
	return errors.Join(i.send(ctx), errors.Join(unread...))
}

// file brings the rows of a file in. cannot says why it could not be read to its
// end; err ends the import.
func (i *importer) file(ctx context.Context, f *ingest.File) (cannot, err error) {
	format := i.set.format
	if format == formatAuto {
		format = f.Kind()
	}
	i.certificates = i.certificates || format == ingest.KindCertificates
	name := f.Name
	if i.in.Single() && !f.Member {
		name = ""
	}
	for row := range formats[format](f, i.set) {
		at := place{name, row.Line, row.Place}
		switch {
		case errors.Is(row.Err, ingest.ErrRead):
			return row.Err, nil
		case errors.Is(row.Err, ingest.ErrAuthority):
			i.authorities++
		case row.Err != nil:
			i.rejects.add(at, row.Err)
		default:
			if err := i.add(ctx, at, row); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

func (i *importer) add(ctx context.Context, at place, row ingest.Row) error {
	e := store.Entry{Registration: store.Registration{State: *row.State, Set: row.Set}}
	switch {
	case e.State.ID.Valid && i.set.update:
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
	b := &i.batch
	b.list, b.places, b.octets = append(b.list, e), append(b.places, at), b.octets+len(e.State.Certificate.Octets)
	if len(b.list) < chunk && b.octets < chunkOctets {
		return nil
	}
	return i.send(ctx)
}

// send has the batch brought in while the next is read.
func (i *importer) send(ctx context.Context) error {
	if err := i.settle(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil || len(i.batch.list) == 0 {
		return err
	}
	i.batch, i.spare = i.spare, i.batch
	i.sent = make(chan error, 1)
	go func(l *load, sent chan<- error) {
		var err error
		l.outcomes, l.faults, err = i.s.Bring(ctx, i.t, l.list, i.set.dry, i.set.by)
		sent <- err
	}(&i.spare, i.sent)
	return nil
}

// settle waits for what was sent, and counts what became of it.
func (i *importer) settle() error {
	if i.sent == nil {
		return nil
	}
	err := <-i.sent
	i.sent = nil
	l := &i.spare
	if err != nil {
		return fmt.Errorf("%s to %s: %w", l.places[0], l.places[len(l.places)-1], err)
	}
	for n, fault := range l.faults {
		if fault != nil {
			i.rejects.add(l.places[n], withCure(fault))
		} else {
			i.made[l.outcomes[n]]++
		}
	}
	clear(l.list) // of what the garbage collector would keep
	l.list, l.places, l.octets = l.list[:0], l.places[:0], 0
	i.progress()
	return nil
}

// withCure says what import can do about a fault of the store's.
func withCure(fault error) error {
	if certstate.ErrorCode(fault) != certstate.Conflict {
		return fault
	}
	return &ingest.Fault{Column: "id", Reason: strings.TrimSuffix(fault.Error(), "."), Cure: "--update has it take what the file says"}
}

// progress says how far it is, at most once in two seconds.
func (i *importer) progress() {
	if time.Since(i.said) < 2*time.Second {
		return
	}
	i.said = time.Now()
	text := fmt.Sprintf("%s, %.0f a second", i.counts(), i.rate())
	if read, took := i.in.Read(), time.Since(i.began); i.in.Total > 0 && read > 0 {
		left := time.Duration(float64(took) * float64(i.in.Total-read) / float64(read))
		text += fmt.Sprintf(", %d %%, %s left", 100*read/i.in.Total, left.Round(time.Second))
	}
	fmt.Fprintln(i.a.err, text)
}

// total says what became of everything.
func (i *importer) total() {
	text := fmt.Sprintf("%s, %d%s left out", i.counts(), i.rejects.count, i.noun())
	if i.authorities > 0 {
		text += fmt.Sprintf(", %d certificates of authorities passed over (--authorities brings them in)", i.authorities)
	}
	if i.set.dry {
		text = "dry run: " + text
	}
	fmt.Fprintf(i.a.stdout, "%s, in %s (%.0f a second)\n", text, time.Since(i.began).Round(time.Millisecond), i.rate())
}

// counts is what was brought in, without what there is none of.
func (i *importer) counts() string {
	text := fmt.Sprintf("%d records created", i.made[store.Created])
	if n := i.made[store.Updated]; n > 0 {
		text += fmt.Sprintf(", %d updated", n)
	}
	if n := i.made[store.Present]; n > 0 {
		text += fmt.Sprintf(", %d there already", n)
	}
	return text
}

func (i *importer) rate() float64 {
	done := i.made[store.Created] + i.made[store.Updated] + i.made[store.Present]
	return float64(done) / max(time.Since(i.began).Seconds(), 1e-3)
}

// noun is what is counted as left out: lines, where everything has them.
func (i *importer) noun() string {
	if i.certificates {
		return ""
	}
	return " lines"
}
