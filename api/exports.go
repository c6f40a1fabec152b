package api

import (
	"archive/zip"
	"compress/flate"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"certstate"
	"certstate/ingest"
	"certstate/odata"
	"certstate/store"
)

// Export jobs are Intune's deviceManagementExportJob. Nothing is made in advance: a
// job says which change it tells the register after, and whoever follows its URL
// reads that. So a job is done as soon as it is there, costs a row, and is the same
// from every server and after a restart.

// exportRequest is what a client asks for.
type exportRequest struct {
	Report   string   `json:"reportName"`
	Filter   string   `json:"filter"`
	Search   string   `json:"search"`
	Select   []string `json:"select"`
	Format   string   `json:"format"`
	Localize string   `json:"localizationType"`
	Query    string   `json:"query"` // what is asked of the register
}

// exportView is a job as it is told.
type exportView struct {
	exportRequest
	job      *store.Job
	status   string
	url      string // "": not yet
	expires  string
	snapshot string // only to refuse it
}

// exportMembers are those of deviceManagementExportJob.
var exportMembers = []member[exportView]{
	told("id", textType, "The job's name: that of the report, and a GUID.", func(v *exportView) any { return v.job.ID }),
	needed(one(given("reportName", textType, "The report.", func(v *exportView) any { return &v.Report }), reportNames()...)),
	given("filter", nullable(textType), "Which rows: a filter over the report's columns.", func(v *exportView) any { return &v.Filter }),
	given("search", nullable(textType), "Which rows: words that they have.", func(v *exportView) any { return &v.Search }),
	given("select", textsType, "Which columns, in which order; none: all.", func(v *exportView) any { return &v.Select }),
	one(given("format", enumType(reportFormat), "The form of the file in the archive.", func(v *exportView) any { return &v.Format }), reportForms()...),
	given("snapshotId", nullable(textType), "There are no snapshots: a job tells the register as it was when the job was created.", func(v *exportView) any { return &v.snapshot }),
	given("localizationType", enumType(reportWords), "Whether words for people stand beside the values, or in their place.", func(v *exportView) any { return &v.Localize }),
	told("status", enumType(reportStatus), "How far the job is.", func(v *exportView) any { return v.status }),
	told("url", nullable(textType), "Where the file is, for who has the URL, until the job expires.", func(v *exportView) any { return textOrNull(v.url) }),
	told("requestDateTime", timeType, "When the job was created.", func(v *exportView) any { return timeText(v.job.Made) }),
	told("expirationDateTime", timeType, "Until when the file can be read; the year 1 as long as there is none.", func(v *exportView) any { return v.expires }),
}

// reportForms are the formats that there are, of Intune's.
func reportForms() (names []string) {
	for _, form := range odata.ReportForms {
		names = append(names, form.Name)
	}
	return names
}

// Members of Intune's enumerations.
const (
	asColumn   = "localizedValuesAsAdditionalColumn"
	inPlace    = "replaceLocalizableValues"
	notStarted = "notStarted"
	inProgress = "inProgress"
	completed  = "completed"
	failed     = "failed"
)

var localizations = []string{asColumn, inPlace}

// neverBefore is what Intune writes for a time that is not known.
const neverBefore = "0001-01-01T00:00:00Z"

func decodeExport(data []byte) (*exportRequest, error) {
	in := exportView{exportRequest: exportRequest{Format: odata.ReportForms[0].Name, Localize: asColumn}}
	if err := odata.DecodeObject(data, "An export job", targets(exportMembers, &in)); err != nil {
		return nil, err
	}
	if in.snapshot != "" {
		return nil, certstate.Errorf(certstate.Invalid, "snapshotId", "There are no snapshots of reports here: leave snapshotId out, and the job tells the register as it is now.")
	}
	return &in.exportRequest, in.check()
}

// check finds what is wrong, and puts names into the spelling that they have.
func (in *exportRequest) check() error {
	report := ingest.ReportOf(in.Report)
	if report == nil {
		return certstate.Errorf(certstate.Invalid, "reportName", "There is no report '%s': there are %s.", in.Report, strings.Join(reportNames(), ", "))
	}
	in.Report = report.Name
	form := in.form()
	if form == nil {
		return certstate.Errorf(certstate.Invalid, "format", "The format '%s' is not one of %s.", in.Format, strings.Join(reportForms(), ", "))
	}
	in.Format = form.Name
	place := slices.IndexFunc(localizations, func(known string) bool { return strings.EqualFold(known, in.Localize) })
	if place < 0 {
		return certstate.Errorf(certstate.Invalid, "localizationType", "The localizationType '%s' is not one of %s.", in.Localize, strings.Join(localizations, ", "))
	}
	in.Localize = localizations[place]
	for i, name := range in.Select {
		c := report.Column(name)
		switch {
		case c == nil:
			return certstate.Errorf(certstate.Invalid, "select", "The report '%s' has no column '%s'.", report.Name, name)
		case slices.Contains(in.Select[:i], c.Name):
			return certstate.Errorf(certstate.Invalid, "select", "The column '%s' is selected twice.", c.Name)
		}
		in.Select[i] = c.Name
	}
	return in.ask(report)
}

func reportNames() (names []string) {
	for i := range ingest.Reports {
		names = append(names, ingest.Reports[i].Name)
	}
	return names
}

func (in *exportRequest) form() *odata.TableForm {
	for _, form := range odata.ReportForms {
		if strings.EqualFold(form.Name, in.Format) {
			return form
		}
	}
	return nil
}

// ask makes the query of it that the register is asked.
func (in *exportRequest) ask(report *ingest.Report) (err error) {
	var q odata.Query
	for _, c := range in.columns(report) {
		if i, ok := certstate.Lookup(c.Property); ok && !q.Select.Has(i) {
			q.Select |= certstate.KeySet << i
			q.Selected = append(q.Selected, c.Property)
		}
	}
	if q.Select == 0 {
		q.Select, q.Selected = certstate.KeySet, []string{certstate.Properties[0].Name}
	}
	if in.Filter != "" {
		if q.Filter, err = odata.ParseReportFilter(in.Filter, report.Filtered); err != nil {
			return err
		}
	}
	if in.Search != "" {
		if q.Search, err = odata.ParseSearch(in.Search); err != nil {
			return err
		}
	}
	in.Query = q.String()
	return nil
}

// columns are those that are asked for, in the order of select, or all.
func (in *exportRequest) columns(report *ingest.Report) (list []*ingest.Column) {
	for _, name := range in.Select {
		list = append(list, report.Column(name))
	}
	if len(in.Select) == 0 {
		for i := range report.Columns {
			list = append(list, &report.Columns[i])
		}
	}
	return list
}

// table is how the file is written.
func (in *exportRequest) table() *odata.Table {
	t := &odata.Table{Form: in.form()}
	for _, c := range in.columns(ingest.ReportOf(in.Report)) {
		switch {
		case !c.Localizable():
			t.Columns = append(t.Columns, odata.TableColumn{Name: c.Name, Text: c.Value})
		case in.Localize == inPlace:
			t.Columns = append(t.Columns, odata.TableColumn{Name: c.Name, Text: c.Localized})
		default:
			t.Columns = append(t.Columns, odata.TableColumn{Name: c.Name, Text: c.Value}, odata.TableColumn{Name: c.Name + "_loc", Text: c.Localized})
		}
	}
	return t
}

func (x *exchange) createExport() error {
	if _, err := odata.ParseQuery(x.r.URL.RawQuery, odata.FormatOption); err != nil {
		return err
	}
	in, err := decoded(x, decodeExport)
	if err != nil {
		return err
	}
	asked, err := json.Marshal(in)
	if err != nil {
		return err
	}
	j := &store.Job{ID: in.Report + "_" + uuid.NewString(), Kind: store.Export, Actor: x.principal.Actor(), Asked: string(asked)}
	if err := x.s.cfg.Store.AddJob(x.r.Context(), x.tenant, j); err != nil {
		return err
	}
	x.w.Header().Set("Location", x.root()+"/"+odata.JobPath(odata.ExportJobs, j.ID))
	return x.job(http.StatusCreated, exportJobs, bodyOf(x, exportMembers, &exportView{exportRequest: *in, job: j, status: notStarted, expires: neverBefore}))
}

// export is the job with its URL, or failed, if the history it would be told from is
// no longer kept.
func (x *exchange) export(j *store.Job) (map[string]any, error) {
	in, err := askedOf[exportRequest](j)
	if err != nil {
		return nil, err
	}
	view := exportView{exportRequest: *in, job: j, status: completed, expires: timeText(j.Until)}
	switch err := x.s.cfg.Store.Kept(x.r.Context(), x.tenant, j.N); {
	case certstate.ErrorCode(err) == certstate.Invalid: // it says since when
		view.status, view.expires = failed, neverBefore
	case err != nil:
		return nil, err
	default:
		view.url = x.signedURL(odata.ExportJobs, exportFile, odata.DownloadToken, j.ID)
	}
	return bodyOf(x, exportMembers, &view), nil
}

// askedOf is what was asked for when the job was made.
func askedOf[T any](j *store.Job) (*T, error) {
	in := new(T)
	if err := json.Unmarshal([]byte(j.Asked), in); err != nil {
		return nil, fmt.Errorf("job %s: %w", j.ID, err)
	}
	return in, nil
}

func (x *exchange) listExports() error { return x.listJobs(store.Export, exportJobs, x.export) }

func (x *exchange) getExport() error {
	if _, err := odata.ParseQuery(x.r.URL.RawQuery, odata.FormatOption); err != nil {
		return err
	}
	j, err := x.s.cfg.Store.Job(x.r.Context(), x.tenant, store.Export, x.key)
	if err != nil {
		return err
	}
	body, err := x.export(j)
	if err != nil {
		return err
	}
	return x.job(http.StatusOK, exportJobs, body)
}

func (x *exchange) deleteExport() error { return x.deleteJob(store.Export) }

// exportFile answers with the report: a file in a zip archive.
func (x *exchange) exportFile() error {
	if err := x.alone(); err != nil {
		return err
	}
	j, err := x.signedJob(store.Export)
	if err != nil {
		return err
	}
	in, err := askedOf[exportRequest](j)
	if err != nil {
		return err
	}
	q, err := odata.ParseQuery(in.Query, odata.TableOptions)
	if err == nil {
		err = x.s.cfg.Store.Kept(x.r.Context(), x.tenant, j.N)
	}
	if err == nil {
		err = x.stream(&q, in.table(), j.Made, j.N, func() (io.Writer, func() error, error) { return x.beginZip(j, in.Format) })
	}
	if e, ok := errors.AsType[*certstate.Error](err); ok && e.Target == "certstate.asOf" {
		err = certstate.Errorf(certstate.Expired, "", "What the job would tell is no longer known: %s Create another.", err)
	}
	return err
}

// beginZip begins an archive with one file, which has the job's name.
func (x *exchange) beginZip(j *store.Job, form string) (io.Writer, func() error, error) {
	x.sendAs("application/zip", j.ID+".zip")
	if x.r.Method == http.MethodHead {
		return nil, nil, nil
	}
	zw := zip.NewWriter(x.w)
	zw.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	out, err := zw.CreateHeader(&zip.FileHeader{Name: j.ID + "." + form, Method: zip.Deflate, Modified: j.Made.Time()})
	return out, zw.Close, err
}
