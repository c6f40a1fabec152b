package intake

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"certstate"
	"certstate/ingest"
	"certstate/odata"
)

// Place is where in the input something was found.
type Place struct {
	File string // "": there is one only
	Line int    // from 1; 0: there are no lines
	Part string // "": the line says it
}

func (p Place) String() string {
	where := p.within()
	if p.File == "" {
		return where
	}
	return strings.TrimSuffix(p.File+": "+where, ": ")
}

// within is the place in its file.
func (p Place) within() string {
	if p.Part == "" && p.Line > 0 {
		return fmt.Sprintf("line %d", p.Line)
	}
	return p.Part
}

// Rejected is what was left out, and why: a line of a report.
type Rejected struct {
	File   string `json:"file,omitzero"`
	Line   int    `json:"line,omitzero"`
	Place  string `json:"place,omitzero"`  // within the file, for people
	Column string `json:"column,omitzero"` // or property
	Reason string `json:"reason"`
	Cure   string `json:"cure,omitzero"`

	text string
}

// String is all of it in one line.
func (r Rejected) String() string { return r.text }

func rejected(at Place, why error) Rejected {
	r := Rejected{File: at.File, Line: at.Line, Place: at.within(), Reason: why.Error(), text: fmt.Sprintf("%s: %s", at, why)}
	if f := (*ingest.Fault)(nil); errors.As(why, &f) {
		r.Column, r.Reason, r.Cure = f.Column, f.Reason, f.Cure
	} else if e := (*certstate.Error)(nil); errors.As(why, &e) {
		r.Column = e.Target
	}
	return r
}

// NewReport begins a report of what is left out, as "csv" or as "ndjson", and
// returns what adds a line to it.
func NewReport(w io.Writer, form string) (add func(Rejected) error, err error) {
	if form == "ndjson" {
		to := json.NewEncoder(w)
		return func(r Rejected) error { return to.Encode(r) }, nil
	}
	to := csv.NewWriter(w)
	write := func(row ...string) error {
		for i := range row {
			row[i] = odata.GuardCell(row[i])
		}
		_ = to.Write(row) // Error says it too
		to.Flush()
		return to.Error()
	}
	return func(r Rejected) error {
		line := ""
		if r.Line > 0 {
			line = strconv.Itoa(r.Line)
		}
		return write(r.File, line, r.Place, r.Column, r.Reason, r.Cure)
	}, write("file", "line", "place", "column", "reason", "cure")
}
