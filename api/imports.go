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

// importCounts are the members that say how far a job is.
var importCounts = []string{"fileSize", "receivedBytes", "readBytes", "rowCount", "createdCount", "updatedCount", "presentCount", "rejectedCount", "authorityCount"}

func decodeImport(data []byte) (*intake.Request, error) {
	in := intake.NewRequest()
	if err := odata.DecodeObject(data, "An import job", in.Members()); err != nil {
		return nil, err
	}
	return in, in.Check()
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
	j := &store.Job{ID: uuid.NewString(), Kind: store.Import, Actor: by.Actor, Asked: string(asked)}
	if err := x.s.cfg.Store.AddJob(x.r.Context(), x.tenant, j); err != nil {
		return err
	}
	body, err := x.imported(j)
	if err != nil {
		return err
	}
	x.w.Header().Set("Location", x.root()+"/"+odata.JobPath(odata.ImportJobs, j.ID))
	return x.job(http.StatusCreated, importJobs, body)
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
	told := intake.ParseTold(j.Told)
	body := uploadSession(j)
	for name, from := range in.Members() {
		switch from := from.(type) {
		case *string:
			body[name] = textOrNull(*from)
		case *bool:
			body[name] = *from
		case *[]string:
			body[name] = slices.Concat([]string{}, *from)
		}
	}
	counts := []int64{j.Size, j.Octets, told.Read, told.Rows, int64(told.Created), int64(told.Updated), int64(told.Present), int64(told.Rejected), int64(told.Authorities)}
	for i, name := range importCounts {
		body[name] = counts[i]
	}
	if j.Size < 0 {
		body[importCounts[0]] = nil
	}
	body["id"], body["status"], body["error"], body["createdDateTime"] = j.ID, statuses[j.Status], textOrNull(told.Error), timeText(j.Made)
	body["uploadUrl"] = nil
	if j.Status == store.JobWaits && x.principal != nil && x.principal.May(auth.ReadWriteAll) {
		body["uploadUrl"] = x.signedURL(odata.ImportJobs, importUpload, odata.UploadToken, j.ID)
	}
	return body, nil
}

func (x *exchange) listImports() error { return x.listJobs(store.Import, importJobs, x.imported) }

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
	return x.job(http.StatusOK, importJobs, body)
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
	list, last := []json.RawMessage{}, after
	err = x.s.cfg.Store.Rejects(x.r.Context(), x.tenant, x.key, after, size+1, func(no int, told string) error {
		if list = append(list, json.RawMessage(told)); len(list) <= size {
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
	return x.jobAs(http.StatusOK, x.root()+"/$metadata#"+odata.JobPath(odata.ImportJobs, x.key)+"/rejected", body)
}

// rejectedLines answers with all that is kept of what was left out.
func (x *exchange) rejectedLines() error {
	x.w.Header()["Content-Type"] = []string{x.table.ContentType()}
	x.w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="rejected-%s.%s"`, x.key, x.table.Name))
	var buf bytes.Buffer
	add, err := intake.NewReport(&buf, x.table.Name)
	if err != nil {
		return err
	}
	err = x.s.cfg.Store.Rejects(x.r.Context(), x.tenant, x.key, 0, store.JobRejects, func(_ int, told string) error {
		var r intake.Rejected
		if err := json.Unmarshal([]byte(told), &r); err != nil {
			return err
		}
		return add(r)
	})
	if err != nil {
		x.w.Header().Del("Content-Disposition")
		return err
	}
	x.write(http.StatusOK, buf.Bytes())
	return nil
}
