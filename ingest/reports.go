package ingest

import (
	"strings"

	"certstate"
	"certstate/odata"
)

// Report is a table of records under a name of its own, with columns of its own.
type Report struct {
	Name    string
	Columns []Column
}

// Reports are those that export jobs make: Intune's, of which the first has no
// CaConfiguration, and the register's own, of all properties under their names.
var Reports = []Report{
	{"AllDeviceCertificates", Columns[1:]},
	{"CertificatesByRAPolicy", Columns},
	{"CertificateStates", ownColumns()},
}

func ownColumns() (list []Column) {
	for i := range certstate.Properties {
		list = append(list, Column{certstate.Properties[i].Name, certstate.Properties[i].Name})
	}
	return list
}

// ReportOf finds a report by its name, in any case; nil if there is none.
func ReportOf(name string) *Report {
	for i := range Reports {
		if strings.EqualFold(Reports[i].Name, name) {
			return &Reports[i]
		}
	}
	return nil
}

// Column finds a column of the report by its name, in any case; nil if there is none.
func (r *Report) Column(name string) *Column {
	for i := range r.Columns {
		if strings.EqualFold(r.Columns[i].Name, name) {
			return &r.Columns[i]
		}
	}
	return nil
}

// Filtered is the column as a filter of the report knows it, by its name.
func (r *Report) Filtered(name string) (odata.ReportColumn, bool) {
	c := r.Column(name)
	if c == nil {
		return odata.ReportColumn{}, false
	}
	f := odata.ReportColumn{Property: -1}
	if i, ok := certstate.Lookup(c.Property); ok {
		f.Property = i
	}
	if c.Name != statusColumn {
		return f, true
	}
	said := map[certstate.RevokeStatus]bool{}
	for _, status := range certificateStatuses {
		if !said[status.Is] {
			said[status.Is] = true
			f.Words = append(f.Words, [2]string{status.Text, status.Is.Text()})
		}
	}
	return f, true
}

// Localizable reports whether Intune writes the column in words for people too, as a
// column of its own or in this one's place.
func (c *Column) Localizable() bool { return c.Name == statusColumn }

// Localized is what a column that is Localizable says in English.
func (c *Column) Localized(s *certstate.State) string {
	var b strings.Builder
	for i, r := range c.Value(s) {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte(' ')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
