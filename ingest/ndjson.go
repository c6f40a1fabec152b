// Package ingest turns what other systems keep about certificates into states
// of the register.
package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"certstate"
	"certstate/odata"
)

// Row is a record of a source: a state, or why it is none.
type Row struct {
	Line  int    // of the source, from 1; 0: it has none
	Place string // within the source, for people; "": the line says it
	State *certstate.State
	Set   certstate.Set // the properties of State that the source gives
	Err   error
}

// ErrRead is wrapped by the fault of a source that cannot be read to its end.
var ErrRead = errors.New("the source cannot be read to its end")

// maxLine bounds a line of NDJSON, in bytes.
const maxLine = 1 << 20

// NDJSON reads a record a line, each a JSON object as the API takes it. Empty
// lines are passed over. A line that is no record becomes a Row with its fault;
// an error of the reader ends the sequence with one.
func NDJSON(r io.Reader) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		lines := bufio.NewReaderSize(r, maxLine)
		for n := 1; ; n++ {
			line, err := lines.ReadSlice('\n')
			row := Row{Line: n}
			switch {
			case errors.Is(err, bufio.ErrBufferFull):
				row.Err = fmt.Errorf("the line is longer than %d bytes", maxLine)
				err = skipLine(lines)
			case len(bytes.TrimSpace(line)) == 0:
				if err == nil {
					continue
				}
				if errors.Is(err, io.EOF) {
					return
				}
			default:
				row.State, row.Set, row.Err = decodeRow(line)
			}
			if err != nil && !errors.Is(err, io.EOF) {
				row.State, row.Err = nil, errors.Join(ErrRead, err)
				yield(row)
				return
			}
			if !yield(row) || err != nil {
				return
			}
		}
	}
}

func decodeRow(line []byte) (*certstate.State, certstate.Set, error) {
	body, err := odata.DecodeBody(line)
	if err != nil {
		return nil, 0, err
	}
	return &body.State, body.Sent, nil
}

func skipLine(lines *bufio.Reader) error {
	for {
		if _, err := lines.ReadSlice('\n'); !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}
