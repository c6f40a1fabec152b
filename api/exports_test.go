package api_test

import (
	archive "archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"certstate"
	"certstate/auth/authtest"
	"certstate/edm"
	"certstate/store"
	"certstate/store/storetest"
	"certstate/store/storetest/load"
)

const exportJobsPath = "/beta/deviceManagement/reports/exportJobs"

// askJSON sends a request as somebody and returns the answer's JSON.
func askJSON(t *testing.T, h *harness, who, method, path, body string) (status int, answer map[string]any) {
	t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = h.url + path
	}
	req, err := http.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if who != "" {
		req.Header.Set("Authorization", "Bearer "+h.token(who))
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil && res.StatusCode != http.StatusNoContent {
		t.Fatalf("%s %s: %s, %v", method, path, res.Status, err)
	}
	return res.StatusCode, answer
}

// exported makes a job and returns it once it is done.
func exported(t *testing.T, h *harness, body string) map[string]any {
	t.Helper()
	status, job := askJSON(t, h, "reader", http.MethodPost, exportJobsPath, body)
	if status != http.StatusCreated || job["status"] != "notStarted" || job["url"] != nil {
		t.Fatal(status, job)
	}
	if status, job = askJSON(t, h, "reader", http.MethodGet, fmt.Sprintf("%s('%s')", exportJobsPath, job["id"]), ""); status != http.StatusOK || job["status"] != "completed" {
		t.Fatal(status, job)
	}
	return job
}

// unzipped downloads a job's file without a token.
func unzipped(t *testing.T, job map[string]any, suffix string) string {
	t.Helper()
	res, err := http.Get(job["url"].(string))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v: %s", res.Status, err, b)
	}
	zr, err := archive.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil || len(zr.File) != 1 || zr.File[0].Name != job["id"].(string)+suffix {
		t.Fatal(err, zr)
	}
	f, err := zr.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A job tells what was there when it was made, whatever became of it since, from every
// server on the database.
func TestExportJob(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		h := startOn(t, url)
		tenant, err := h.db.Tenant(t.Context(), authtest.Tenant)
		if err != nil {
			t.Fatal(err)
		}
		list := []certstate.State{
			{ID: edm.Str("a"), DeviceName: edm.Str("=1+1"), Serial: edm.Str("0012"), RevokeStatus: certstate.Pending},
			{ID: edm.Str("b"), DeviceName: edm.Str("b"), RevokeStatus: certstate.Issued},
			{ID: edm.Str("c"), DeviceName: edm.Str("c"), RevokeStatus: certstate.None},
		}
		load.Records(t, h.db, tenant, list)
		jobs := map[string]map[string]any{}
		for name, body := range map[string]string{
			"csv":      `{"reportName":"AllDeviceCertificates","filter":"CertificateStatus ne 'Issued'","select":["DeviceName","SerialNumber","CertificateStatus"]}`,
			"replaced": `{"reportName":"CertificatesByRAPolicy","filter":"CertificateStatus eq 'Issued'","localizationType":"ReplaceLocalizableValues","select":["CaConfiguration","CertificateStatus","DeviceName"]}`,
			"json":     `{"reportName":"CertificateStates","format":"json","filter":"certificateRevokeStatus eq 'issued' or id eq 'a'","select":["id","managedDeviceDisplayName","certificateRevokeStatus"]}`,
			"all":      `{"reportName":"AllDeviceCertificates"}`,
		} {
			jobs[name] = exported(t, h, body)
		}
		if err := h.db.Delete(t.Context(), tenant, "a", nil, certstate.Cause{}); err != nil {
			t.Fatal(err)
		}
		patch := certstate.State{DeviceName: edm.Str("changed")}
		set, _ := certstate.Lookup("managedDeviceDisplayName")
		if _, err := h.db.Update(t.Context(), tenant, "b", &patch, 1<<set, nil, certstate.Cause{}); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"csv":      "DeviceName,SerialNumber,CertificateStatus,CertificateStatus_loc\r\n'=1+1,'0012,RevocationPending,Revocation pending\r\nb,,RevocationIssued,Revocation issued\r\n",
			"replaced": "CaConfiguration,CertificateStatus,DeviceName\r\n,Issued,c\r\n",
		} {
			if got := unzipped(t, jobs[name], ".csv"); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		const want = `{"values":[{"id":"a","managedDeviceDisplayName":"=1+1","certificateRevokeStatus":"pending"},{"id":"b","managedDeviceDisplayName":"b","certificateRevokeStatus":"issued"}]}`
		if got := unzipped(t, jobs["json"], ".json"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		head, _, _ := strings.Cut(unzipped(t, jobs["all"], ".csv"), "\r\n")
		if head != "CertificateStatus,CertificateStatus_loc,DeviceId,DeviceName,EnhancedKeyUsage,IssuerName,KeyUsage,PolicyId,SerialNumber,SubjectName,Thumbprint,UPN,UserId,ValidFrom,ValidTo" {
			t.Error(head)
		}
		if err := h.db.Prune(t.Context(), time.Now().Add(time.Hour), func(int64) {}); err != nil { // the history that jobs tell
			t.Fatal(err)
		}
		status, gone := askJSON(t, h, "", http.MethodGet, jobs["csv"]["url"].(string), "")
		if status != http.StatusGone || !strings.Contains(fmt.Sprint(gone), "Create another") {
			t.Error(status, gone)
		}
		if status, job := askJSON(t, h, "reader", http.MethodGet, fmt.Sprintf("%s/%s", exportJobsPath, jobs["csv"]["id"]), ""); status != http.StatusOK || job["status"] != "failed" || job["url"] != nil {
			t.Error(status, job)
		}
	})
}

// A job and its URL end when the job says, and what was kept of it is forgotten.
func TestExportJobExpires(t *testing.T) {
	now := time.Now()
	h := startAt(t, storetest.Engines[0].URL(t), func() time.Time { return now }, io.Discard)
	job := exported(t, h, `{"reportName":"AllDeviceCertificates"}`)
	until, err := time.Parse(time.RFC3339, job["expirationDateTime"].(string))
	if err != nil || until.Sub(now) < 23*time.Hour {
		t.Fatal(until, err)
	}
	now = until.Add(-time.Minute)
	unzipped(t, job, ".csv")
	now = until.Add(time.Second)
	if status, answer := askJSON(t, h, "", http.MethodGet, job["url"].(string), ""); status != http.StatusGone {
		t.Error(status, answer)
	}
	if status, answer := askJSON(t, h, "reader", http.MethodGet, fmt.Sprintf("%s/%s", exportJobsPath, job["id"]), ""); status != http.StatusNotFound {
		t.Error(status, answer)
	}
	if err := h.db.ForgetJobs(t.Context()); err != nil {
		t.Fatal(err)
	}
	now = until.Add(-time.Minute)
	if status, _ := askJSON(t, h, "reader", http.MethodGet, fmt.Sprintf("%s/%s", exportJobsPath, job["id"]), ""); status != http.StatusNotFound {
		t.Error("a job that was forgotten is there")
	}
}

// A report larger than what is held of it is sent whole, and a client sees if it was cut.
func TestExportJobIsLarge(t *testing.T) {
	h := start(t)
	const records = 300 // of 30,000 characters
	manyRecords(t, h, records)
	job := exported(t, h, `{"reportName":"CertificateStates","format":"json","select":["id","managedDeviceDisplayName"]}`)
	var file struct{ Values []map[string]string }
	if err := json.Unmarshal([]byte(unzipped(t, job, ".json")), &file); err != nil || len(file.Values) != records {
		t.Error(len(file.Values), err)
	}
}

// A tenant cannot have so many jobs that there is no end to them.
func TestJobsAreBounded(t *testing.T) {
	h := start(t)
	tenant, err := h.db.Tenant(t.Context(), authtest.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		if err := h.db.AddJob(t.Context(), tenant, &store.Job{ID: fmt.Sprint("j", i), Kind: store.Export, Asked: `{"reportName":"AllDeviceCertificates","format":"csv"}`}); err != nil {
			t.Fatal(err)
		}
	}
	if status, answer := askJSON(t, h, "reader", http.MethodPost, exportJobsPath, `{"reportName":"AllDeviceCertificates"}`); status != http.StatusTooManyRequests {
		t.Error(status, answer)
	}
	if status, answer := askJSON(t, h, "other-tenant", http.MethodPost, exportJobsPath, `{"reportName":"AllDeviceCertificates"}`); status != http.StatusCreated {
		t.Error(status, answer)
	}
}
