package api_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"certstate/auth/authtest"
	"certstate/store"
	"certstate/store/storetest"
)

// locked is a PKCS#12 file of a device's certificate and key, with a password.
func locked(t *testing.T, device, password string) []byte {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	in, out := filepath.Join(t.TempDir(), "in.pem"), filepath.Join(t.TempDir(), "out.p12")
	if err := os.WriteFile(in, somebodys(t, device, true), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command("openssl", "pkcs12", "-export", "-in", in, "-out", out, "-passout", "pass:"+password).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, said)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The password of a job opens its PKCS#12 files, and is nowhere: in no answer, not in
// the database's files, its backup, the log or beside them, neither while the job waits
// nor after it. Without it, or with another, the file is left out, and the cure named.
func TestPasswordLeavesNothing(t *testing.T) {
	const password, wrong = "Correct-Horse-9417", "Battery-Staple-5520"
	file := locked(t, "LAPTOP-9", password)
	storetest.EachEngine(t, func(t *testing.T, url string) {
		temporary := t.TempDir()
		t.Setenv("TMPDIR", temporary)
		var log lockedBuffer
		h := startAt(t, url, nil, &log)
		needles := [][]byte{[]byte(password), []byte(wrong)}
		var jobs []map[string]any
		for _, given := range []string{`"password":"` + password + `"`, `"password":"` + wrong + `"`, `"password":null`} {
			jobs = append(jobs, uploaded(t, h, `{"fileName":"LAPTOP-9.p12",`+given+`}`, file, 1000))
		}
		for _, body := range []string{`{"password":"` + password, `{"password":["` + password + `"]}`, `{"password":"` + password + `","format":"` + "x" + `"}`, `{"password":"` + strings.Repeat(password, 100) + `"}`} {
			if status, answer := askJSON(t, h, "writer", http.MethodPost, importJobsPath, body); status != http.StatusBadRequest || strings.Contains(fmt.Sprint(answer), password) {
				t.Error(status, answer)
			}
		}
		look := func(when string) {
			t.Helper()
			nowhere(t, url, temporary, &log, needles, when)
			answers := fmt.Sprint(jobs, get(t, h, importJobsPath), backedUp(t, h.db))
			for _, needle := range needles {
				if strings.Contains(answers, string(needle)) || strings.Contains(answers, "password:") {
					t.Errorf("%s is told %s", needle, when)
				}
			}
		}
		look("while the jobs wait")
		works(t, h)
		for i, want := range []string{
			"completed: 1 created, 0 updated, 0 present, 0 rejected, 0 authorities of 1 rows, <nil>",
			"completed: 0 created, 0 updated, 0 present, 1 rejected, 0 authorities of 1 rows, <nil>",
			"completed: 0 created, 0 updated, 0 present, 1 rejected, 0 authorities of 1 rows, <nil>",
		} {
			if jobs[i] = ended(t, h, jobs[i]); counted(jobs[i]) != want {
				t.Error(counted(jobs[i]))
			}
			left := fmt.Sprint(get(t, h, fmt.Sprintf("%s('%s')/rejected", importJobsPath, jobs[i]["id"]))["value"])
			if i > 0 && !strings.Contains(left, "cure:give the file's own with password ") {
				t.Error(left)
			}
		}
		look("after the jobs")
		tenant, err := h.db.Tenant(t.Context(), authtest.Tenant)
		if err != nil {
			t.Fatal(err)
		}
		for _, job := range jobs {
			j, err := h.db.Job(t.Context(), tenant, store.Import, job["id"].(string))
			if err != nil {
				t.Fatal(err)
			}
			if secret, err := h.db.JobSecret(t.Context(), &store.Work{Tenant: tenant, Job: j}); secret != "" || err != nil {
				t.Errorf("after its end a job has a secret still: %v", err)
			}
		}
	})
}

// backedUp is what a backup holds.
func backedUp(t *testing.T, s *store.Store) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.Backup(t.Context(), &b, nil); err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil || len(text) < 100 {
		t.Fatal(len(text), err)
	}
	return string(text)
}
