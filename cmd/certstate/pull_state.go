package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
	"os"
	"sync"

	"certstate/graph"
	"certstate/ingest"
	"certstate/intake"
)

// pull reads records from a service, and keeps how far it got.
type pull struct {
	source *graph.Source
	state  *pullState // nil: it is not kept
	tell   func(string)
	before int64 // records that an earlier pull has brought

	mu    sync.Mutex
	begun bool  // a page was read
	count int64 // of all records; -1: not known
	read  int64 // records
	marks []mark
}

// mark is where a page ends that is not durable yet.
type mark struct {
	rows int64 // up to its end
	next string
}

// pieces are those of all pages, from where an earlier pull was ended. If the service
// does not know that place any more, all is read again: nothing is doubled.
func (p *pull) pieces(ctx context.Context) iter.Seq[ingest.Piece] {
	return func(yield func(ingest.Piece) bool) {
		from := ""
		if p.state != nil {
			from, p.before = p.state.Next, p.state.Rows
		}
		err := p.pages(ctx, from, yield)
		if refused := (*graph.StatusError)(nil); from != "" && !p.begun && errors.As(err, &refused) && notKnown[refused.Status] {
			p.tell(fmt.Sprintf("the place where the last pull ended is not known any more (%v): beginning anew", err))
			p.before = 0
			err = p.pages(ctx, "", yield)
		}
		if err != nil {
			yield(func() []ingest.Row { return []ingest.Row{{Err: errors.Join(ingest.ErrRead, err)}} })
		}
	}
}

// notKnown are the statuses of a link that has become too old.
var notKnown = map[int]bool{http.StatusBadRequest: true, http.StatusNotFound: true, http.StatusGone: true}

func (p *pull) pages(ctx context.Context, from string, yield func(ingest.Piece) bool) error {
	for page, err := range p.source.Pages(ctx, from, p.before) {
		if err != nil {
			return err
		}
		p.note(page)
		for _, piece := range page.Pieces {
			if !yield(piece) {
				return nil
			}
		}
	}
	return nil
}

func (p *pull) note(page *graph.Page) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = true
	p.read += int64(page.Rows)
	p.marks = append(p.marks, mark{p.read, page.Next})
	if page.Count >= 0 {
		p.count = page.Count
	}
}

// share is how many of all records are durable.
func (p *pull) share(t *intake.Totals) (done, all int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.before + t.Rows, p.count
}

// durable keeps how far it got.
func (p *pull) durable(t *intake.Totals) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := -1
	for last+1 < len(p.marks) && p.marks[last+1].rows <= t.Rows {
		last++
	}
	if last < 0 {
		return nil
	}
	m := p.marks[last]
	p.marks = p.marks[last+1:]
	if p.state == nil {
		return nil
	}
	p.state.Next, p.state.Rows = m.next, p.before+m.rows
	return p.state.write()
}

// pullState is what --resume keeps.
type pullState struct {
	file     string
	List     string `json:"list"`
	Database string `json:"database"`
	Tenant   string `json:"tenant"`
	Next     string `json:"next"` // the link to the first page that is not durable
	Rows     int64  `json:"rows"` // before it
}

// readPullState reads where a pull was ended, if there is its file; one of another
// pull is a fault.
func readPullState(want pullState) (*pullState, error) {
	text, err := os.ReadFile(want.file)
	if errors.Is(err, fs.ErrNotExist) {
		return &want, nil
	}
	if err != nil {
		return nil, fmt.Errorf("--resume: %w", err)
	}
	s := pullState{file: want.file}
	if err := json.Unmarshal(text, &s); err != nil || s.Next == "" {
		return nil, usageError{fmt.Errorf("--resume %s is no file of a pull: remove it, or name another", want.file)}
	}
	if s.List != want.List || s.Database != want.Database || s.Tenant != want.Tenant {
		return nil, usageError{fmt.Errorf("--resume %s is of another pull, of %s into tenant %s of %s: remove it, or name another", want.file, s.List, s.Tenant, s.Database)}
	}
	return &s, nil
}

// write keeps the state in its file, and removes it once there is nothing more to
// pull.
func (s *pullState) write() error {
	if s.Next == "" {
		if err := os.Remove(s.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	text, err := json.Marshal(s)
	if err == nil {
		err = writePrivate(s.file, text)
	}
	return err
}
