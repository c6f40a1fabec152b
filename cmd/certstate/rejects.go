package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"certstate/intake"
)

// rejects names what is left out, on standard error and in a report.
type rejects struct {
	err   io.Writer
	file  *os.File // nil: no report is wanted
	write func(intake.Rejected) error
	fault error // of writing
}

func openRejects(stderr io.Writer, name string) (*rejects, error) {
	r := &rejects{err: stderr}
	if name == "" {
		return r, nil
	}
	form := strings.TrimPrefix(strings.ToLower(filepath.Ext(name)), ".")
	if form != "csv" && form != "ndjson" {
		return nil, usageError{fmt.Errorf("--report %s: its name must end in .csv or .ndjson", name)}
	}
	var err error
	if r.file, err = os.Create(name); err != nil {
		return nil, err
	}
	r.write, err = intake.NewReport(r.file, form)
	return r, err
}

func (r *rejects) add(x intake.Rejected) {
	fmt.Fprintln(r.err, x)
	if r.file != nil && r.fault == nil {
		r.fault = r.write(x)
	}
}

func (r *rejects) close() error {
	if r.file == nil {
		return nil
	}
	return errors.Join(r.fault, r.file.Close())
}
