package odata

import (
	"mime"
	"strings"
	"unicode"

	"certstate"
)

// TableForm is a form in which records are written one a line, without an
// envelope and without an end.
type TableForm struct {
	Name      string // as $format and flags have it, and at the end of a file's name
	MediaType string
	charset   string // and other parameters
	tail      string
	head      func(b []byte, t *Table) []byte
	line      func(b []byte, t *Table, s *certstate.State) []byte
}

// ContentType is the media type with its parameters.
func (f *TableForm) ContentType() string { return f.MediaType + f.charset }

// TableForms are the forms there are.
var TableForms = []*TableForm{
	{"csv", "text/csv", ";charset=utf-8;header=present", "", appendNames, appendCells},
	{"ndjson", "application/x-ndjson", ";charset=utf-8", "", func(b []byte, _ *Table) []byte { return b }, appendObject},
}

// TableFormOf finds a form by its name or its media type, nil if there is none.
func TableFormOf(name string) *TableForm {
	mediaType, _, err := mime.ParseMediaType(name)
	for _, f := range TableForms {
		if strings.EqualFold(name, f.Name) || err == nil && mediaType == f.MediaType {
			return f
		}
	}
	return nil
}

// AcceptTable is the form that an Accept header asks for, nil if what it asks for
// first is something else.
func AcceptTable(header string) *TableForm {
	if header == jsonType || header == "" { // as nearly all say
		return nil
	}
	for item := range strings.SplitSeq(header, ",") {
		mediaType, params, err := mime.ParseMediaType(strings.TrimSpace(item))
		if err != nil || params["q"] == "0" {
			continue
		}
		return TableFormOf(mediaType)
	}
	return nil
}

// Table writes records as lines.
type Table struct {
	Form    *TableForm
	Columns []TableColumn // of CSV; NDJSON has the properties in the order of their table
	shape   Shape
	rows    int
}

// TableColumn is a column: what stands in the first line, and in those of records.
type TableColumn struct {
	Name string
	Text func(*certstate.State) string
}

// NewTable makes the table that a query asks for: of what $select names, in its
// order.
func NewTable(form *TableForm, q *Query) *Table {
	t := &Table{Form: form, shape: Shape{Select: q.Select, Level: None}}
	var have certstate.Set
	add := func(i int) {
		if q.Select.Has(i) && !have.Has(i) {
			have |= 1 << i
			p := &certstate.Properties[i]
			t.Columns = append(t.Columns, TableColumn{p.Name, func(s *certstate.State) string { return p.Field(s).Text() }})
		}
	}
	for _, name := range q.Selected {
		if i, ok := certstate.Lookup(name); ok { // or it is *
			add(i)
			continue
		}
		for i := range certstate.Properties {
			if certstate.Defaults.Has(i) {
				add(i)
			}
		}
	}
	for i := range certstate.Properties {
		add(i)
	}
	return t
}

// AppendHead appends what stands before the first record.
func (t *Table) AppendHead(b []byte) []byte { return t.Form.head(b, t) }

// Append appends a record.
func (t *Table) Append(b []byte, s *certstate.State) []byte { return t.Form.line(b, t, s) }

// AppendTail appends what stands after the last record.
func (t *Table) AppendTail(b []byte) []byte { return append(b, t.Form.tail...) }

func appendObject(b []byte, t *Table, s *certstate.State) []byte {
	return append(t.shape.AppendItem(b, s), '\n')
}

// CSV is RFC 4180's: lines end in CRLF, and a cell has quotes around it if it
// holds a comma, a quote, or the end of a line. A null is an empty cell, and so is
// an empty text.

func appendNames(b []byte, t *Table) []byte {
	for i := range t.Columns {
		b = append(appendCell(b, t.Columns[i].Name), ',')
	}
	return endLine(b)
}

func appendCells(b []byte, t *Table, s *certstate.State) []byte {
	for i := range t.Columns {
		b = append(appendCell(b, GuardCell(t.Columns[i].Text(s))), ',')
	}
	return endLine(b)
}

// endLine puts the end of a line in the place of the last comma.
func endLine(b []byte) []byte { return append(b[:len(b)-1], '\r', '\n') }

func appendCell(b []byte, text string) []byte {
	if !strings.ContainsAny(text, "\",\r\n") && strings.TrimSpace(text) == text {
		return append(b, text...)
	}
	b = append(b, '"')
	for {
		quote := strings.IndexByte(text, '"')
		if quote < 0 {
			return append(append(b, text...), '"')
		}
		b = append(append(b, text[:quote]...), `""`...)
		text = text[quote+1:]
	}
}

// GuardCell puts an apostrophe before a text that a spreadsheet would not leave
// as it is: a formula, which it would run (OWASP, CSV Injection), or digits, of
// which it would make a number, a time or a date. UnguardCell takes it off again.
func GuardCell(text string) string {
	if unsafeCell(text) {
		return "'" + text
	}
	return text
}

// UnguardCell undoes GuardCell: what it gives for a cell is the text that the
// cell was made of.
func UnguardCell(cell string) string {
	if rest, guarded := strings.CutPrefix(cell, "'"); guarded && unsafeCell(rest) {
		return rest
	}
	return cell
}

// unsafeCell reports whether a text needs an apostrophe. Apostrophes at its
// beginning make no difference, or the one that was put there could not be told
// from them.
func unsafeCell(text string) bool {
	text = strings.TrimLeft(text, "'")
	if text == "" {
		return false
	}
	return isFormula(text) || isNumeric(text)
}

// formulaStarts are what begins a formula, in the wide forms of East Asian
// keyboards too, which some spreadsheets take for the same.
const formulaStarts = "=+-@＝＋－＠"

// isFormula looks behind white space, control characters and what cannot be seen,
// of which spreadsheets pass over some.
func isFormula(text string) bool {
	if strings.ContainsRune("\t\r\n", rune(text[0])) {
		return true
	}
	text = strings.TrimLeftFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
	})
	for _, r := range text {
		return strings.ContainsRune(formulaStarts, r)
	}
	return false
}

// safeDigits is how many digits a spreadsheet shows as they are: Excel writes
// numbers of more with an exponent, and forgets all after the fifteenth.
const safeDigits = 11

// isNumeric reports whether a text is made of digits and what stands between
// digits in numbers, times and dates, but for numbers that are shown as they are.
func isNumeric(text string) bool {
	digits := strings.Trim(text, "0123456789") == ""
	if digits && len(text) <= safeDigits && (text[0] != '0' || text == "0") {
		return false
	}
	return digits || strings.ContainsAny(text, "0123456789") && strings.Trim(text, "0123456789.,:/-+ eE%") == ""
}
