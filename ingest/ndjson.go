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
	"certstate/certificate"
	"certstate/odata"
)

// Row is a record of a source: a state, or why it is none.
type Row struct {
	Line  int    // of the source, from 1; 0: it has none
	Place string // within the source, for people; "": the line says it
	State *certstate.State
	Set   certstate.Set      // the properties of State that the source gives
	Facts *certificate.Facts // what State's certificate says, if it was read; else nil
	Err   error
}

// ErrRead is wrapped by the fault of a source that cannot be read to its end.
var ErrRead = errors.New("the source cannot be read to its end")

// maxLine bounds a line of NDJSON, in bytes.
const maxLine = 1 << 20

// NDJSON reads a record a line, each a JSON object as the API takes it. Empty
// lines are passed over. A line that is no record becomes a Row with its fault;
// an error of the reader ends the sequence with one.
func NDJSON(r io.Reader) iter.Seq[Row] { return rows(NDJSONPieces(r)) }

// NDJSONPieces is NDJSON in pieces.
func NDJSONPieces(r io.Reader) iter.Seq[Piece] {
	return func(yield func(Piece) bool) {
		in := bufio.NewReaderSize(r, maxLine)
		var l lines
		for n := 1; ; n++ {
			line, err := in.ReadSlice('\n')
			if errors.Is(err, bufio.ErrBufferFull) {
				err = skipLine(in)
				l.add(n, nil)
			} else if len(bytes.TrimSpace(line)) > 0 && (err == nil || errors.Is(err, io.EOF)) {
				l.add(n, line)
			}
			switch {
			case errors.Is(err, io.EOF):
				yield(l.rows)
				return
			case err != nil:
				if yield(l.rows) {
					yield(made(Row{Line: n, Err: errors.Join(ErrRead, err)}))
				}
				return
			case l.full():
				if !yield(l.rows) {
					return
				}
				l = lines{}
			}
		}
	}
}

// lines are some, with their numbers.
type lines struct {
	octets  []byte
	numbers []int
	ends    []int // in octets; where the one before ends, if it was too long
}

func (l *lines) add(n int, line []byte) {
	l.octets = append(l.octets, line...)
	l.numbers, l.ends = append(l.numbers, n), append(l.ends, len(l.octets))
}

func (l *lines) full() bool { return len(l.numbers) >= pieceRows || len(l.octets) >= pieceBytes }

func (l lines) rows() []Row {
	list := make([]Row, len(l.numbers))
	from := 0
	for i, end := range l.ends {
		row := &list[i]
		row.Line = l.numbers[i]
		if line := l.octets[from:end]; len(line) > 0 {
			row.State, row.Set, row.Err = decodeRow(line)
		} else {
			row.Err = fmt.Errorf("the line is longer than %d bytes", maxLine)
		}
		from = end
	}
	return list
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
