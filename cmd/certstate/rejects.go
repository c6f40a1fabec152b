package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"certstate"
	"certstate/ingest"
	"certstate/odata"
)

// place is where in the input something was found.
type place struct {
	file string // "": there is one only
	line int    // from 1; 0: there are no lines
	part string // "": the line says it
}

func (p place) String() string {
	where := p.part
	if where == "" && p.line > 0 {
		where = fmt.Sprintf("line %d", p.line)
	}
	if p.file == "" {
		return where
	}
	return strings.TrimSuffix(p.file+": "+where, ": ")
}

// rejects names what is left out, on standard error and in a report.
type rejects struct {
	err   io.Writer
	file  *os.File // nil: no report is wanted
	write func(rejected) error
	fault error // of writing
	count int
}

// rejected is a line of the report.
type rejected struct {
	File   string `json:"file,omitzero"`
	Line   int    `json:"line,omitzero"`
	Place  string `json:"place,omitzero"`
	Column string `json:"column,omitzero"`
	Reason string `json:"reason"`
	Cure   string `json:"cure,omitzero"`
}

func openRejects(stderr io.Writer, name string) (*rejects, error) {
	r := &rejects{err: stderr}
	if name == "" {
		return r, nil
	}
	form := strings.ToLower(name)
	if !strings.HasSuffix(form, ".csv") && !strings.HasSuffix(form, ".ndjson") {
		return nil, usageError{fmt.Errorf("--report %s: its name must end in .csv or .ndjson", name)}
	}
	var err error
	if r.file, err = os.Create(name); err != nil {
		return nil, err
	}
	if strings.HasSuffix(form, ".ndjson") {
		to := json.NewEncoder(r.file)
		r.write = func(x rejected) error { return to.Encode(x) }
		return r, nil
	}
	to := csv.NewWriter(r.file)
	r.write = func(x rejected) error {
		line := ""
		if x.Line > 0 {
			line = strconv.Itoa(x.Line)
		}
		row := []string{x.File, line, x.Place, x.Column, x.Reason, x.Cure}
		for i := range row {
			row[i] = odata.GuardCell(row[i])
		}
		_ = to.Write(row) // Error says it too
		to.Flush()
		return to.Error()
	}
	_, err = fmt.Fprintln(r.file, "file,line,place,column,reason,cure")
	return r, err
}

func (r *rejects) add(at place, why error) {
	r.count++
	fmt.Fprintf(r.err, "%s: %s\n", at, why)
	if r.file == nil || r.fault != nil {
		return
	}
	x := rejected{File: at.file, Line: at.line, Place: place{"", at.line, at.part}.String(), Reason: why.Error()}
	if f := (*ingest.Fault)(nil); errors.As(why, &f) {
		x.Column, x.Reason, x.Cure = f.Column, f.Reason, f.Cure
	} else if e := (*certstate.Error)(nil); errors.As(why, &e) {
		x.Column = e.Target
	}
	r.fault = r.write(x)
}

func (r *rejects) close() error {
	if r.file == nil {
		return nil
	}
	return errors.Join(r.fault, r.file.Close())
}
