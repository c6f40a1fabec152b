package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"certstate"
	"certstate/edm"
	"certstate/ingest"
	"certstate/odata"
	"certstate/store"
)

// exportSettings are the flags of export.
type exportSettings struct {
	database, tenant, format, columns, output string
	bom                                       bool
	options                                   map[string]*string // of the query, by their names
}

// exportOptions are the query options that export takes, by flag.
var exportOptions = []struct{ flag, option, help string }{
	{"filter", "$filter", "`condition` that records must satisfy, as the API's $filter"},
	{"search", "$search", "`words` that records must have, as the API's $search"},
	{"select", "$select", "`properties` to write, with commas between; * for all there are (default: those that the API returns without $select)"},
	{"orderby", "$orderby", "`properties` to sort by, as the API's $orderby (default: the order of creation)"},
	{"as-of", "certstate.asOf", "`time` as of which to answer, such as 2026-03-01T00:00:00Z (default: now)"},
}

func (a *app) export() *cobra.Command {
	set := exportSettings{options: map[string]*string{}}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the records that a filter selects to a file",
		Long: `Write records as CSV or as NDJSON: all that the filter selects, however many, as
they are when the export begins. It works beside a running server, which goes on
meanwhile. A file has its name when it is whole and on disk.

NDJSON is exact: "certstate import" makes the same records of it, if all
properties are selected with --select '*'. CSV is for spreadsheets: a text that
one would take for a formula or a number, such as a serial number of digits, has
an apostrophe before it; null and empty text are both an empty cell.

Exit codes: 0 done, 1 failed, 2 wrong flags, a wrong filter among them.`,
		Example: `  certstate export --tenant 8d9f61b2-0f1e-4c6d-9a51-3f5b1c1e7a10 \
    --database sqlite:/var/lib/certstate/register.db \
    --filter "certificateExpirationDateTime lt now() add duration'P30D'" -o expiring.csv`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runExport(cmd, &set) },
	}
	f := cmd.Flags()
	databaseFlag(f, &set.database)
	f.StringVar(&set.tenant, "tenant", "", "`GUID` of the enrolled tenant whose records to write")
	for _, o := range exportOptions {
		set.options[o.option] = f.String(o.flag, "", o.help)
	}
	f.StringVar(&set.format, "format", "csv", "`form` of the file: csv or ndjson")
	f.StringVar(&set.columns, "columns", "", "`report` whose columns to write: "+strings.Join(reportNames(), ", ")+", or intune for all that Intune's have (csv)")
	f.BoolVar(&set.bom, "bom", false, "begin with a byte order mark, by which Excel knows UTF-8 (csv)")
	f.StringVarP(&set.output, "output", "o", "-", "`file` to write, - for standard output")
	return cmd
}

// check turns the flags into what to ask for and how to write it.
func (set *exportSettings) check() (tenant string, q odata.Query, table *odata.Table, err error) {
	form := odata.TableFormOf(set.format)
	tenant, faulty := store.ParseTenantID(set.tenant)
	switch {
	case set.database == "":
		err = errors.New("--database is required: " + store.URLForms)
	case set.tenant == "":
		err = errors.New("--tenant is required: the GUID of an enrolled tenant")
	case faulty != nil:
		err = faulty
	case form == nil:
		err = fmt.Errorf("--format %q is not one of csv, ndjson", set.format)
	case form.Name != "csv" && (set.bom || set.columns != ""):
		err = errors.New("--bom and --columns are for --format csv")
	case set.columns != "" && set.report() == nil:
		err = fmt.Errorf("--columns %q is not one of intune, %s", set.columns, strings.Join(reportNames(), ", "))
	case set.columns != "" && *set.options["$select"] != "":
		err = errors.New("--columns and --select both say which columns there are: give one of them")
	}
	if err == nil {
		q, err = set.query()
	}
	if err != nil {
		return "", q, nil, usageError{err}
	}
	table = odata.NewTable(form, &q)
	if set.columns != "" {
		table.Columns = reportColumns(set.report())
	}
	return tenant, q, table, nil
}

// query reads the options as the API reads them.
func (set *exportSettings) query() (odata.Query, error) {
	values := url.Values{}
	for option, value := range set.options {
		if *value != "" {
			values.Set(option, *value)
		}
	}
	switch {
	case set.columns != "":
		values.Set("$select", strings.Join(reportProperties(set.report()), ","))
	case strings.TrimSpace(values.Get("$select")) == "*":
		values.Set("$select", strings.Join(allProperties(), ","))
	}
	q, err := odata.ParseQuery(values.Encode(), odata.ListOptions)
	if e, ok := errors.AsType[*certstate.Error](err); ok {
		for _, o := range exportOptions {
			if o.option == e.Target {
				return q, fmt.Errorf("--%s: %s", o.flag, e.Message)
			}
		}
	}
	return q, err
}

func allProperties() (names []string) {
	for i := range certstate.Properties {
		names = append(names, certstate.Properties[i].Name)
	}
	return names
}

// report is the one whose columns are asked for, nil if there is none.
func (set *exportSettings) report() *ingest.Report {
	if set.columns == "intune" {
		return ingest.ReportOf("CertificatesByRAPolicy") // which has the other's columns too
	}
	return ingest.ReportOf(set.columns)
}

func reportNames() (names []string) {
	for i := range ingest.Reports {
		names = append(names, ingest.Reports[i].Name)
	}
	return names
}

// reportProperties are those that a report has a column for.
func reportProperties(r *ingest.Report) (names []string) {
	for i := range r.Columns {
		if name := r.Columns[i].Property; name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func reportColumns(r *ingest.Report) (columns []odata.TableColumn) {
	for i := range r.Columns {
		columns = append(columns, odata.TableColumn{Name: r.Columns[i].Name, Text: r.Columns[i].Value})
	}
	return columns
}

func (a *app) runExport(cmd *cobra.Command, set *exportSettings) (err error) {
	id, q, table, err := set.check()
	if err != nil {
		return err
	}
	s, err := store.Open(cmd.Context(), set.database, store.Options{Patient: true, Log: slog.New(slog.NewTextHandler(a.err, nil))})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	t, err := s.Tenant(cmd.Context(), id)
	if err != nil {
		return fmt.Errorf("%w Enrol it with: certstate tenant add %s", err, id)
	}
	e := &exporter{s: s, t: t, q: &q, table: table, tell: a.said(), began: time.Now()}
	if set.bom {
		e.page = append(e.page, "\ufeff"...)
	}
	rows, err := writeWhole(set.output, a.stdout, func(w io.Writer) (int64, error) { return e.run(cmd.Context(), w) })
	if err == nil {
		took := time.Since(e.began)
		fmt.Fprintf(a.err, "%d records written in %s (%.0f a second)\n", rows, took.Round(time.Millisecond), float64(rows)/took.Seconds())
	}
	return err
}

// exportPage is how many bytes are read before they are written, when nothing is
// held open in the database.
const exportPage = 4 << 20

// exporter writes what a query selects.
type exporter struct {
	s           *store.Store
	t           store.Tenant
	q           *odata.Query
	table       *odata.Table
	tell        func(string)
	page        []byte
	began       time.Time
	rows, total int64
}

func (e *exporter) run(ctx context.Context, w io.Writer) (int64, error) {
	now := edm.Time(time.Now().UTC())
	asOf, err := e.s.Moment(ctx, e.t, e.q)
	if err != nil {
		return 0, err
	}
	if e.total, err = e.s.Count(ctx, e.t, e.q, now, &asOf); err != nil {
		return 0, err
	}
	flush := func() error {
		_, err := w.Write(e.page)
		e.page = e.page[:0]
		e.report()
		return err
	}
	e.page = e.table.AppendHead(e.page)
	err = e.s.Walk(ctx, e.t, e.q, now, asOf, func(s *certstate.State) error {
		e.page = e.table.Append(e.page, s)
		e.rows++
		if len(e.page) >= exportPage {
			return store.ErrEndPage
		}
		return ctx.Err()
	}, flush)
	return e.rows, err
}

// report says how far it is, and when it will be done at this rate.
func (e *exporter) report() {
	rate := float64(e.rows) / max(time.Since(e.began).Seconds(), 1e-3)
	left := time.Duration(float64(e.total-e.rows) / max(rate, 1e-3) * float64(time.Second))
	e.tell(fmt.Sprintf("%d of %d records written, %.0f a second, %s left", e.rows, e.total, rate, left.Round(time.Second)))
}
