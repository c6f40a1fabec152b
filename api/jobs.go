package api

import (
	"encoding/json"
	"net/http"
	"strings"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
)

// signedResource is what the token of a URL that asks for no other token is bound to.
func signedResource(pattern, key string) string { return pattern + "\x00" + key }

// signedURL is a URL by which anybody who has it reaches what belongs to a job.
func (x *exchange) signedURL(collection, pattern string, kind odata.Token, id string) string {
	function := pattern[strings.LastIndexByte(pattern, '/')+1:]
	return x.root() + "/" + odata.JobPath(collection, id) + "/" + strings.TrimSuffix(function, "()") +
		"?" + kind.Option() + "=" + x.s.sealer.SealURL(kind, x.tenant.ID, signedResource(pattern, id))
}

// signedJob is the job that a signed URL leads to.
func (x *exchange) signedJob(kind store.JobKind) (*store.Job, error) {
	j, err := x.s.cfg.Store.Job(x.r.Context(), x.tenant, kind, x.key)
	if certstate.ErrorCode(err) == certstate.NotFound {
		return nil, certstate.Errorf(certstate.Expired, "", "The job has expired, or was deleted: create another.")
	}
	return j, err
}

// job answers with a job of a collection, named as $metadata has it.
func (x *exchange) job(status int, collection string, body map[string]any) error {
	return x.jobAs(status, x.root()+"/$metadata#"+collection+"/$entity", body)
}

// jobAs answers with what the context says it is.
func (x *exchange) jobAs(status int, context string, body map[string]any) error {
	if x.rep.Level != odata.None {
		body["@odata.context"] = context
	}
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return x.json(status, b)
}

// listJobs answers with the tenant's jobs of a kind.
func (x *exchange) listJobs(kind store.JobKind, collection string, body func(*store.Job) (map[string]any, error)) error {
	if _, err := odata.ParseQuery(x.r.URL.RawQuery, odata.FormatOption); err != nil {
		return err
	}
	jobs, err := x.s.cfg.Store.Jobs(x.r.Context(), x.tenant, kind)
	if err != nil {
		return err
	}
	list := make([]map[string]any, len(jobs))
	for i := range jobs {
		if list[i], err = body(jobs[i]); err != nil {
			return err
		}
	}
	return x.document(x.root()+"/$metadata#"+collection, map[string]any{"value": list})
}

// deleteJob deletes the job that the path names.
func (x *exchange) deleteJob(kind store.JobKind) error {
	takes := odata.NoOptions
	if x.route.signed() {
		takes = odata.SignedURL
	}
	if _, err := odata.ParseQuery(x.r.URL.RawQuery, takes); err != nil {
		return err
	}
	if err := x.s.cfg.Store.DeleteJob(x.r.Context(), x.tenant, kind, x.key); err != nil {
		return err
	}
	x.write(http.StatusNoContent, nil)
	return nil
}

// alone refuses what a batch cannot hold.
func (x *exchange) alone() error {
	if x.within != "" {
		return certstate.Errorf(certstate.NotAcceptable, "", "A request of a batch cannot carry a file: send it alone.")
	}
	return nil
}

// textOrNull is null for no text.
func textOrNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// numberOrNull is null for a number that is not known: below 0.
func numberOrNull(n int64) any {
	if n < 0 {
		return nil
	}
	return n
}

func timeText(t edm.DateTimeOffset) string { return t.Text() }
