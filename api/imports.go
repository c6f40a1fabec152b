package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"certstate"
	"certstate/auth"
	"certstate/intake"
	"certstate/odata"
	"certstate/store"
)

// Import jobs bring a file in as the command does. The file is uploaded as to Graph's
// upload sessions (upload.go); a server works on it then (intake.Worker).

// importContext is where $metadata has import jobs: a name with a dot, as Graph's part
// of the path needs it, is no navigation property's (CSDL §15.2).
const importContext = own + "/" + odata.OwnImportJobs

// importView is a job as it is told.
type importView struct {
	intake.Request
	sessionView
	far intake.Told
}

// importMembers are those of certstate.importJob.
var importMembers = slices.Concat([]member[importView]{
	told("id", textType, "The job's GUID.", func(v *importView) any { return v.job.ID }),
	given("fileName", textType, "The file's name, by which a certificate's device may be named.", func(v *importView) any { return &v.FileName }),
	one(given("format", textType, "The file's form.", func(v *importView) any { return &v.Format }), intake.Formats()...),
	given("columns", textsType, "What columns of a CSV file are: HEADER=property; HEADER= leaves one out.", func(v *importView) any { return &v.Columns }),
	given("update", flagType, "Records whose id is there take what the file says.", func(v *importView) any { return &v.Update }),
	given("dryRun", flagType, "Nothing is written, and all is counted that would be.", func(v *importView) any { return &v.DryRun }),
	given("device", nullable(textType), "The device that all certificates are on.", func(v *importView) any { return &v.Device }),
	one(given("deviceFrom", textType, "Where a certificate's device is named.", func(v *importView) any { return &v.DeviceFrom }), intake.DeviceSources...),
	one(given("upnFrom", textType, "Where a certificate's user principal name is.", func(v *importView) any { return &v.UPNFrom }), intake.UPNSources...),
	given("authorities", flagType, "The certificates of authorities are brought in too.", func(v *importView) any { return &v.Authorities }),
	secretly("password", nullable(textType), "The password of PKCS#12 files. It is never told, and forgotten when the job ends.", func(v *importView) any { return &v.Password }),
	given("reason", nullable(textType), "Why, for the records' history.", func(v *importView) any { return &v.Reason }),
	told("status", enumType(reportStatus), "How far the job is.", func(v *importView) any { return statuses[v.job.Status] }),
	told("error", nullable(textType), "Why the job failed.", func(v *importView) any { return textOrNull(v.far.Error) }),
	told("createdDateTime", timeType, "When the job was created.", func(v *importView) any { return timeText(v.job.Made) }),
	told("fileSize", nullable(numberType), "Octets of the file, once it is known.", func(v *importView) any { return numberOrNull(v.job.Size) }),
	told("receivedBytes", numberType, "Octets of the file that are there.", func(v *importView) any { return v.job.Octets }),
	told("readBytes", numberType, "Octets of the file that were read.", func(v *importView) any { return v.far.Read }),
	told("rowCount", numberType, "Rows that were read.", func(v *importView) any { return v.far.Rows }),
	told("createdCount", numberType, "Records that were created.", func(v *importView) any { return int64(v.far.Created) }),
	told("updatedCount", numberType, "Records that were changed.", func(v *importView) any { return int64(v.far.Updated) }),
	told("presentCount", numberType, "Rows whose record was there and says the same.", func(v *importView) any { return int64(v.far.Present) }),
	told("rejectedCount", numberType, "Rows that were left out.", func(v *importView) any { return int64(v.far.Rejected) }),
	told("authorityCount", numberType, "Certificates of authorities that were passed over.", func(v *importView) any { return int64(v.far.Authorities) }),
}, within(sessionMembers, func(v *importView) *sessionView { return &v.sessionView }))

// rejectMembers are those of certstate.reject.
var rejectMembers = []member[intake.Rejected]{
	told("file", nullable(textType), "The file in an archive.", func(r *intake.Rejected) any { return textOrNull(r.File) }),
	told("line", nullable(numberType), "The line, from 1, if the file has lines.", func(r *intake.Rejected) any { return lineOrNull(r.Line) }),
	told("place", nullable(textType), "Where in the file, for people.", func(r *intake.Rejected) any { return textOrNull(r.Place) }),
	told("column", nullable(textType), "The column or property at fault.", func(r *intake.Rejected) any { return textOrNull(r.Column) }),
	told("reason", textType, "Why the row was left out.", func(r *intake.Rejected) any { return r.Reason }),
	told("cure", nullable(textType), "What would be right.", func(r *intake.Rejected) any { return textOrNull(r.Cure) }),
}

// lineOrNull is null where there are no lines.
func lineOrNull(line int) any {
	if line == 0 {
		return nil
	}
	return int64(line)
}

func decodeImport(data []byte) (*intake.Request, error) {
	in := importView{Request: *intake.NewRequest()}
	if err := odata.DecodeObject(data, "An import job", targets(importMembers, &in)); err != nil {
		return nil, err
	}
	return &in.Request, in.Check()
}

func (x *exchange) createImport() error {
	if _, err := odata.ParseQuery(x.r.URL.RawQuery, odata.FormatOption); err != nil {
		return err
	}
	by, err := x.cause()
	if err != nil {
		return err
	}
	in, err := decoded(x, decodeImport)
	if err != nil {
		return err
	}
	if in.Reason == "" {
		in.Reason = by.Reason
	}
	if len(in.Reason) > maxReason {
		return certstate.Errorf(certstate.Invalid, "reason", "reason must be at most %d bytes.", maxReason)
	}
	asked, err := json.Marshal(in)
	if err != nil {
		return err
	}
	j := &store.Job{ID: uuid.NewString(), Kind: store.Import, Actor: by.Actor, Asked: string(asked), Secret: in.Password}
	if err := x.s.cfg.Store.AddJob(x.r.Context(), x.tenant, j); err != nil {
		return err
	}
	body, err := x.imported(j)
	if err != nil {
		return err
	}
	x.w.Header().Set("Location", x.root()+"/"+odata.JobPath(odata.ImportJobs, j.ID))
	return x.job(http.StatusCreated, importContext, body)
}

// statuses are what a job is to clients, in Intune's words.
var statuses = map[store.JobStatus]string{
	store.JobWaits: notStarted, store.JobReady: notStarted, store.JobRuns: inProgress, store.JobDone: completed, store.JobFailed: failed,
}

// imported is the job with how far it is.
func (x *exchange) imported(j *store.Job) (map[string]any, error) {
	in, err := askedOf[intake.Request](j)
	if err != nil {
		return nil, err
	}
	view := importView{*in, sessionView{j, ""}, intake.ParseTold(j.Told)}
	if j.Status == store.JobWaits && x.principal != nil && x.principal.May(auth.ReadWriteAll) {
		view.url = x.uploadURL(j)
	}
	return bodyOf(x, importMembers, &view), nil
}

func (x *exchange) listImports() error { return x.listJobs(store.Import, importContext, x.imported) }

func (x *exchange) getImport() error {
	if _, err := odata.ParseQuery(x.r.URL.RawQuery, odata.FormatOption); err != nil {
		return err
	}
	j, err := x.s.cfg.Store.Job(x.r.Context(), x.tenant, store.Import, x.key)
	if err != nil {
		return err
	}
	body, err := x.imported(j)
	if err != nil {
		return err
	}
	return x.job(http.StatusOK, importContext, body)
}

func (x *exchange) deleteImport() error { return x.deleteJob(store.Import) }

// rejected answers with what the job left out: a page of it, or all as lines.
func (x *exchange) rejected() error {
	q, err := odata.ParseQuery(x.r.URL.RawQuery, odata.RejectOptions)
	if err != nil {
		return err
	}
	if _, err := x.s.cfg.Store.Job(x.r.Context(), x.tenant, store.Import, x.key); err != nil {
		return err
	}
	if x.table != nil {
		return x.rejectedLines()
	}
	after := 0
	if q.SkipToken != "" {
		position, err := x.s.sealer.Open(odata.RejectPageToken, x.tenant.ID, &q, q.SkipToken)
		if err == nil {
			after, err = strconv.Atoi(string(position))
		}
		if err != nil {
			return err
		}
	}
	size := q.PageSize(0)
	list, last := []map[string]any{}, after
	err = x.rejects(after, size+1, func(no int, r *intake.Rejected) error {
		if list = append(list, bodyOf(x, rejectMembers, r)); len(list) <= size {
			last = no
		}
		return nil
	})
	if err != nil {
		return err
	}
	body := map[string]any{"value": list[:min(len(list), size)]}
	if len(list) > size {
		body["@odata.nextLink"] = x.link(odata.JobPath(odata.ImportJobs, x.key)+"/rejected", &q, odata.RejectPageToken, []byte(strconv.Itoa(last)))
	}
	return x.jobAs(http.StatusOK, x.root()+"/$metadata#Collection("+rejectType+")", body)
}

// rejects calls fn for what is kept of what the job left out, from the one after no on.
func (x *exchange) rejects(no, limit int, fn func(no int, r *intake.Rejected) error) error {
	return x.s.cfg.Store.Rejects(x.r.Context(), x.tenant, x.key, no, limit, func(no int, told string) error {
		var r intake.Rejected
		if err := json.Unmarshal([]byte(told), &r); err != nil {
			return err
		}
		return fn(no, &r)
	})
}

// rejectedLines answers with all that is kept of what was left out.
func (x *exchange) rejectedLines() error {
	x.contentType(x.table.ContentType())
	x.w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="rejected-%s.%s"`, x.key, x.table.Name))
	var buf bytes.Buffer
	add, err := intake.NewReport(&buf, x.table.Name)
	if err != nil {
		return err
	}
	err = x.rejects(0, store.JobRejects, func(_ int, r *intake.Rejected) error { return add(*r) })
	if err != nil {
		x.w.Header().Del("Content-Disposition")
		return err
	}
	x.write(http.StatusOK, buf.Bytes())
	return nil
}
