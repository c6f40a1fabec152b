package ingest

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"certstate"
	"certstate/edm"
	"certstate/odata"
)

// maxRow bounds a row of CSV with its line breaks, in bytes: a quote that is not
// closed would take all that follows.
const maxRow = 1 << 20

// CSV reads a record a row. The first row names the columns: by a property's name,
// by the name in Intune's reports ([Columns]), or as columns says, header →
// property, where "" leaves a column out. Names are compared without case.
//
// Commas, semicolons and tabs separate cells, whichever the header has most of, or
// what a first line such as "sep=;" says. Text is UTF-8, or UTF-16 with its mark.
// An empty cell is null. What [odata.GuardCell] did is undone.
func CSV(r io.Reader, columns map[string]string) iter.Seq[Row] { return rows(CSVPieces(r, columns)) }

// CSVPieces is CSV in pieces.
func CSVPieces(r io.Reader, columns map[string]string) iter.Seq[Piece] {
	return func(yield func(Piece) bool) {
		t, err := openTable(r, columns)
		if err != nil {
			yield(made(Row{Line: 1, Err: errors.Join(ErrRead, err)}))
			return
		}
		p := tablePiece{table: t}
		for {
			row, err := t.next()
			if errors.Is(err, io.EOF) {
				yield(p.rows)
				return
			}
			p.list = append(p.list, row)
			p.bytes += maxRow - t.limit.left
			if full := len(p.list) >= pieceRows || p.bytes >= pieceBytes; !full && err == nil {
				continue
			}
			if !yield(p.rows) || err != nil {
				return
			}
			p = tablePiece{table: t}
		}
	}
}

// tablePiece is some rows of a table.
type tablePiece struct {
	table *table
	list  []tableRow
	bytes int
}

func (p tablePiece) rows() []Row {
	list := make([]Row, len(p.list))
	for i := range p.list {
		list[i] = p.list[i].Row
		if row := &list[i]; row.Err == nil {
			row.State, row.Set, row.Err = p.table.record(p.list[i].fields)
		}
	}
	return list
}

// tableRow is a row whose cells have not been looked at yet.
type tableRow struct {
	Row
	fields []string
}

// table reads the rows under a header.
type table struct {
	csv    *csv.Reader
	limit  *limited
	before int // lines before the header
	last   int // where the last row that could be read began
	cells  []cell
}

// cell is what a column's cells are.
type cell struct {
	name     string
	property int     // -1: left out
	report   *Column // it is of a report
}

func openTable(r io.Reader, columns map[string]string) (*table, error) {
	lines := bufio.NewReaderSize(transform.NewReader(r, unicode.BOMOverride(transform.Nop)), 1<<16)
	head, err := lines.Peek(1 << 16)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	t := &table{}
	comma := delimiter(head)
	if own, ok := declaredDelimiter(head); ok {
		comma, t.before = own, 1
		if _, err := lines.ReadSlice('\n'); err != nil {
			return nil, err
		}
	}
	t.limit = &limited{lines, maxRow}
	t.csv = csv.NewReader(t.limit)
	t.csv.Comma, t.csv.FieldsPerRecord, t.csv.ReuseRecord = comma, -1, false
	names, err := t.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("there is no header: the first row must name the columns")
	}
	if err != nil {
		return nil, err
	}
	t.last, _ = t.csv.FieldPos(0)
	t.cells, err = header(names, columns)
	return t, err
}

// declaredDelimiter is what Excel takes from a first line "sep=;".
func declaredDelimiter(head []byte) (rune, bool) {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	rest, ok := bytes.CutPrefix(bytes.TrimRight(line, "\r"), []byte("sep="))
	if !ok || len(rest) != 1 || bytes.ContainsAny(rest, "\"\r\n") {
		return 0, false
	}
	return rune(rest[0]), true
}

// delimiter is the one that the first line has most of, outside quotes.
func delimiter(head []byte) rune {
	var counts [utf8.RuneSelf]int
	quoted := false
	for _, c := range head {
		if c == '"' {
			quoted = !quoted
		} else if !quoted && c == '\n' {
			break
		} else if !quoted && c < utf8.RuneSelf {
			counts[c]++
		}
	}
	best := ','
	for _, c := range []rune{';', '\t'} {
		if counts[c] > counts[best] {
			best = c
		}
	}
	return best
}

// header finds out what each column is. One that is unknown is a fault, and not
// passed over: what it holds would be missed too late.
func header(names []string, columns map[string]string) ([]cell, error) {
	cells := make([]cell, len(names))
	var seen certstate.Set
	for i, name := range names {
		name = strings.TrimSpace(odata.UnguardCell(name))
		c := cell{name, -1, nil}
		property, report, known := meaning(name, columns)
		if !known {
			return nil, unknownColumn(name)
		}
		if n, ok := certstate.Lookup(property); ok && !certstate.Properties[n].Is(certstate.Computed) {
			if seen.Has(n) {
				return nil, fmt.Errorf("two columns are %s: leave one out with --column %q", property, name+"=")
			}
			seen |= certstate.KeySet << n
			c.property, c.report = n, report
		}
		cells[i] = c
	}
	if seen == 0 {
		return nil, errors.New("no column of the first row is a property: name them with --column HEADER=property (certstate fields lists the properties)")
	}
	return cells, nil
}

// meaning is the property that a column's name stands for, "" for none.
func meaning(name string, columns map[string]string) (property string, report *Column, known bool) {
	for given, property := range columns {
		if strings.EqualFold(given, name) {
			for i := range Columns { // whose values are written as in the report
				if Columns[i].Property == property && strings.EqualFold(Columns[i].Name, name) {
					report = &Columns[i]
				}
			}
			return property, report, true
		}
	}
	for i := range certstate.Properties {
		if p := certstate.Properties[i].Name; strings.EqualFold(p, name) {
			return p, nil, true
		}
	}
	for i := range Columns {
		if c := &Columns[i]; strings.EqualFold(c.Name, name) {
			return c.Property, c, true
		} else if strings.EqualFold(c.Name+"_loc", name) { // the same in the reader's language
			return "", nil, true
		}
	}
	return "", nil, false
}

func unknownColumn(name string) error {
	cure := fmt.Sprintf("name its property with --column %q, or leave it out with --column %q", name+"=property", name+"=")
	if like := certstate.Suggest(name); like != "" {
		cure = fmt.Sprintf("is it %s? --column %q says so; --column %q leaves it out", like, name+"="+like, name+"=")
	}
	return &Fault{Column: fmt.Sprintf("%q", name), Reason: "it is no property, and none of Intune's reports has it", Cure: cure}
}

// next reads a row. An error ends the table; the row says it, unless it is io.EOF.
func (t *table) next() (row tableRow, err error) {
	t.limit.left = maxRow
	row.fields, err = t.csv.Read()
	if fault := (*csv.ParseError)(nil); errors.As(err, &fault) {
		row.Row = Row{Line: t.before + fault.StartLine, Err: &Fault{
			Reason: fmt.Sprintf("line %d, byte %d: %s", t.before+fault.Line, fault.Column, fault.Err),
			Cure:   `put a cell with quotes in it in quotes, and write them twice: "say ""hello"""`,
		}}
		return row, nil
	}
	if err != nil {
		row.Row = Row{Line: t.before + t.last + 1, Err: errors.Join(ErrRead, err)}
		return row, err
	}
	t.last, _ = t.csv.FieldPos(0)
	row.Line = t.before + t.last
	if len(row.fields) != len(t.cells) {
		row.Err = &Fault{Reason: fmt.Sprintf("%d cells where the header has %d", len(row.fields), len(t.cells)), Cure: "a cell that has the separator in it must be in quotes"}
	}
	return row, nil
}

func (t *table) record(fields []string) (*certstate.State, certstate.Set, error) {
	s := &certstate.State{}
	var given certstate.Set
	for i, text := range fields {
		c := &t.cells[i]
		if c.property < 0 {
			continue
		}
		if !utf8.ValidString(text) {
			return nil, 0, &Fault{c.name, "it is not UTF-8", `save the file as "CSV UTF-8"`}
		}
		if err := set(s, c.property, c.report, odata.UnguardCell(text)); err != nil {
			return nil, 0, inColumn(c.name, err)
		}
		if c.report == nil || c.report.Name != statusColumn || s.RevokeStatus != certstate.None { // which does not end a revocation
			given |= certstate.KeySet << c.property
		}
		if c.report != nil && !s.Source.Valid {
			s.Source = edm.Str(ReportSource)
		}
	}
	if !s.ID.Valid {
		given &^= certstate.KeySet
	}
	return s, given, nil
}

// ReportSource is the source of a record that comes from one of Intune's reports.
const ReportSource = "intune-report"

func inColumn(name string, err error) error {
	f := &Fault{Reason: err.Error()}
	errors.As(err, &f)
	f.Column = name
	return f
}

// limited bounds how much is read for one row.
type limited struct {
	r    io.Reader
	left int
}

var errLongRow = fmt.Errorf("a row is longer than %d bytes: is a quote not closed?", maxRow)

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errLongRow
	}
	n, err := l.r.Read(p)
	l.left -= n
	return n, err
}
