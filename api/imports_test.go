package api_test

import (
	archive "archive/zip"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"certstate/auth/authtest"
	"certstate/intake"
	"certstate/store/storetest"
)

const importJobsPath = "/beta/deviceManagement/certstate.importJobs"

// works has a server's worker run until the test ends, or stop is called.
func works(t *testing.T, h *harness) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	w := &intake.Worker{Store: h.db, Log: h.cfg.Log, Poll: 10 * time.Millisecond}
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// uploaded makes a job and uploads its file in ranges of a size.
func uploaded(t *testing.T, h *harness, body string, file []byte, size int) (job map[string]any) {
	t.Helper()
	status, job := askJSON(t, h, "writer", http.MethodPost, importJobsPath, body)
	if status != http.StatusCreated {
		t.Fatal(status, job)
	}
	for at := 0; at < len(file); at += size {
		to := min(at+size, len(file))
		status, answer := putRange(t, job["uploadUrl"].(string), bytes.NewReader(file[at:to]), at, to-1, len(file))
		if want := map[bool]int{true: http.StatusCreated, false: http.StatusAccepted}[to == len(file)]; status != want {
			t.Fatalf("bytes %d to %d: %d %s", at, to, status, answer)
		}
	}
	return job
}

func putRange(t *testing.T, url string, body io.Reader, first, last, size int) (status int, answer []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, size))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	answer, _ = io.ReadAll(res.Body)
	return res.StatusCode, answer
}

// ended waits until a job has ended.
func ended(t *testing.T, h *harness, job map[string]any) map[string]any {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		status, now := askJSON(t, h, "reader", http.MethodGet, fmt.Sprintf("%s('%s')", importJobsPath, job["id"]), "")
		if status != http.StatusOK {
			t.Fatal(status, now)
		}
		if now["status"] == "completed" || now["status"] == "failed" {
			return now
		}
	}
	t.Fatal("the job does not end")
	return nil
}

// counted is what became of a job's rows, in short.
func counted(job map[string]any) string {
	return fmt.Sprintf("%v: %v created, %v updated, %v present, %v rejected, %v authorities of %v rows, %v", job["status"],
		job["createdCount"], job["updatedCount"], job["presentCount"], job["rejectedCount"], job["authorityCount"], job["rowCount"], job["error"])
}

// Files of every form are brought in as the command does, and what is left out is told.
func TestImportJob(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		h := startOn(t, url)
		works(t, h)
		var zipped bytes.Buffer
		zw := archive.NewWriter(&zipped)
		for _, name := range []string{"LAPTOP-1", "LAPTOP-2"} {
			w, err := zw.Create("devices/" + name + ".pem")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = w.Write(somebodys(t, name, false))
		}
		if err := zw.Close(); err != nil {
			t.Fatal(err)
		}
		const csv = "DeviceName,Thumbprint,CertificateStatus,Notes\r\nA,AA,Issued,x\r\nB,BB,Nonsense,y\r\nC,CC,Revoked,\r\n"
		const leaveOut = `{"fileName":"x.csv","columns":["Notes="]}`
		for _, c := range []struct {
			name, body string
			file       []byte
			want       string
		}{
			{"tried", `{"dryRun":true,"columns":["Notes="]}`, []byte(csv), "completed: 2 created, 0 updated, 0 present, 1 rejected, 0 authorities of 3 rows, <nil>"},
			{"csv", leaveOut, []byte(csv), "completed: 2 created, 0 updated, 0 present, 1 rejected, 0 authorities of 3 rows, <nil>"},
			{"csv again", leaveOut, []byte(csv), "completed: 0 created, 0 updated, 2 present, 1 rejected, 0 authorities of 3 rows, <nil>"},
			{"a column too many", `{}`, []byte(csv), `failed: 0 created, 0 updated, 0 present, 0 rejected, 0 authorities of 1 rows, upload: the source cannot be read to its end: column "Notes": it is no property, and none of Intune's reports has it: name its property with columns "Notes=property", or leave it out with columns "Notes="`},
			{"ndjson", `{"fileName":"x.ndjson"}`, []byte(`{"id":"r","managedDeviceDisplayName":"one"}` + "\n"), "completed: 1 created, 0 updated, 0 present, 0 rejected, 0 authorities of 1 rows, <nil>"},
			{"another", `{}`, []byte(`{"id":"r","managedDeviceDisplayName":"two"}` + "\n"), "completed: 0 created, 0 updated, 0 present, 1 rejected, 0 authorities of 1 rows, <nil>"},
			{"to update", `{"update":true}`, []byte(`{"id":"r","managedDeviceDisplayName":"two"}` + "\n"), "completed: 0 created, 1 updated, 0 present, 0 rejected, 0 authorities of 1 rows, <nil>"},
			{"zip", `{"fileName":"devices.zip"}`, zipped.Bytes(), "completed: 2 created, 0 updated, 0 present, 0 rejected, 0 authorities of 2 rows, <nil>"},
			{"certificate", `{"fileName":"LAPTOP-3.pem"}`, somebodys(t, "LAPTOP-3", false), "completed: 1 created, 0 updated, 0 present, 0 rejected, 0 authorities of 1 rows, <nil>"},
		} {
			job := ended(t, h, uploaded(t, h, c.body, c.file, 17+len(c.file)/3))
			if got := counted(job); got != c.want {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
			switch _, left := askJSON(t, h, "reader", http.MethodGet, fmt.Sprintf("%s('%s')/rejected", importJobsPath, job["id"]), ""); c.name {
			case "csv":
				want := "map[column:CertificateStatus cure:leave the column out with columns CertificateStatus=, or write one of "
				if list := left["value"].([]any); len(list) != 1 || !strings.HasPrefix(fmt.Sprint(list[0]), want) || list[0].(map[string]any)["line"] != 3.0 {
					t.Error(left)
				}
			case "another":
				if text := fmt.Sprint(left["value"]); !strings.Contains(text, "a job with update has it take what the file says") {
					t.Error(text)
				}
			}
		}
		tenant, err := h.db.Tenant(t.Context(), authtest.Tenant)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := h.db.Live(t.Context(), tenant); n != 6 || err != nil {
			t.Error(n, err)
		}
		var by string
		for _, c := range get(t, h, "/beta/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates/r/certstate.history()")["value"].([]any) {
			by += fmt.Sprint(c.(map[string]any)["actor"], " ")
		}
		if !strings.HasPrefix(by, "app:") || strings.Count(by, "app:") != 2 {
			t.Errorf("changed by %s", by)
		}
	})
}

func get(t *testing.T, h *harness, path string) map[string]any {
	t.Helper()
	status, answer := askJSON(t, h, "reader", http.MethodGet, path, "")
	if status != http.StatusOK {
		t.Fatal(status, answer)
	}
	return answer
}

// somebodys is a certificate with a device's name, and with its private key if asked.
func somebodys(t *testing.T, name string, withKey bool) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotAfter: time.Unix(1<<31, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if withKey {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	}
	return text
}

// What was left out is answered in pages, and whole as lines.
func TestRejectedPages(t *testing.T) {
	h := start(t)
	works(t, h)
	var file strings.Builder
	file.WriteString("DeviceName,ValidTo\n")
	for i := range 25 {
		fmt.Fprintf(&file, "=D%d,never\n", i)
	}
	job := ended(t, h, uploaded(t, h, `{}`, []byte(file.String()), 1<<20))
	if job["rejectedCount"] != 25.0 {
		t.Fatal(counted(job))
	}
	lines, path := 0, fmt.Sprintf("%s('%s')/rejected?$top=10", importJobsPath, job["id"])
	for pages := 0; path != ""; pages++ {
		answer := get(t, h, path)
		for _, r := range answer["value"].([]any) {
			if lines++; r.(map[string]any)["line"] != float64(lines+1) {
				t.Error(r)
			}
		}
		if path, _ = answer["@odata.nextLink"].(string); pages > 3 {
			t.Fatal("no end of pages")
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+fmt.Sprintf("%s('%s')/rejected?$format=csv", importJobsPath, job["id"]), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.token("reader"))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	csv := string(b)
	if lines != 25 || strings.Count(csv, "\n") != 26 || strings.Contains(csv, "\n=") {
		t.Errorf("%d in pages, and as lines\n%s", lines, csv)
	}
}

// A private key that somebody sends is refused, and is nowhere: not while its file
// waits, not after, neither in the database's files nor in the log nor beside them.
func TestPrivateKeyLeavesNothing(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		temporary := t.TempDir()
		t.Setenv("TMPDIR", temporary)
		var log lockedBuffer
		h := startAt(t, url, nil, &log)
		var zipped bytes.Buffer
		zw := archive.NewWriter(&zipped)
		w, err := zw.CreateHeader(&archive.FileHeader{Name: "D.pem", Method: archive.Store})
		if err != nil {
			t.Fatal(err)
		}
		file := somebodys(t, "D", true)
		_, _ = w.Write(file)
		if err := zw.Close(); err != nil {
			t.Fatal(err)
		}
		body, _ := pem.Decode(file[bytes.Index(file, []byte("-----BEGIN PRIVATE")):])
		needles := [][]byte{file[bytes.Index(file, []byte("-----BEGIN PRIVATE")):][30:70], body.Bytes[len(body.Bytes)/2:], []byte(base64.StdEncoding.EncodeToString(body.Bytes)[8:48])}
		row := []byte("DeviceName,CertificateStatus\nD,\"" + string(file) + "\"\n") // in what a reason repeats
		jobs := []map[string]any{
			uploaded(t, h, `{"fileName":"D.pem"}`, file, 100),
			uploaded(t, h, `{"fileName":"D.zip"}`, zipped.Bytes(), 100),
			uploaded(t, h, `{"format":"csv"}`, row, 1000),
		}
		nowhere(t, url, temporary, &log, needles, "while the files wait")
		works(t, h)
		for _, job := range jobs {
			if job = ended(t, h, job); job["rejectedCount"] != 1.0 {
				t.Error(counted(job))
			}
			left := fmt.Sprint(get(t, h, fmt.Sprintf("%s('%s')/rejected", importJobsPath, job["id"]))["value"])
			if !strings.Contains(left, "a private key: the register takes none") {
				t.Error(left)
			}
		}
		nowhere(t, url, temporary, &log, needles, "after the jobs")
	})
}

// nowhere looks for needles in all that a register has on the disk.
func nowhere(t *testing.T, url, temporary string, log *lockedBuffer, needles [][]byte, when string) {
	t.Helper()
	places := []string{temporary, filepath.Dir(strings.TrimPrefix(url, "sqlite:"))}
	if strings.HasPrefix(url, "postgres") {
		places[1] = dataDirectory(t, url)
	}
	look := func(name string, data []byte) {
		for _, needle := range needles {
			if bytes.Contains(data, needle) {
				t.Errorf("the key is in %s %s", name, when)
			}
		}
	}
	files := 0
	for _, place := range places {
		err := filepath.WalkDir(place, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil //nolint:nilerr // PostgreSQL removes files of its own meanwhile
			}
			data, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			files++
			look(path, data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	look("the log", []byte(log.String()))
	if files < 2 {
		t.Errorf("only %d files were looked at", files)
	}
}

// dataDirectory is where a PostgreSQL server has its files, all written out.
func dataDirectory(t *testing.T, url string) (dir string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CHECKPOINT"); err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRow(t.Context(), "SHOW data_directory").Scan(&dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "base")); err != nil {
		t.Skipf("SKIPPED: the server's files cannot be read: %v", err)
	}
	return dir
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A connection that is cut loses no more than the piece that was on its way.
func TestUploadIsCut(t *testing.T) {
	h := start(t)
	file := []byte("managedDeviceDisplayName\n" + strings.Repeat("x\n", 2<<20))
	_, job := askJSON(t, h, "writer", http.MethodPost, importJobsPath, `{}`)
	url := job["uploadUrl"].(string)
	r, w := io.Pipe()
	go func() {
		_, _ = w.Write(file[:3<<20])
		w.CloseWithError(errors.New("cut"))
	}()
	if status, answer := putRange(t, url, r, 0, len(file)-1, len(file)); status != 0 {
		t.Fatal(status, string(answer))
	}
	var next string
	for deadline := time.Now().Add(10 * time.Second); next == "" && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		_, session := askJSON(t, h, "", http.MethodGet, url, "")
		if ranges := fmt.Sprint(session["nextExpectedRanges"]); ranges == "[3145728-]" {
			next = ranges
		}
	}
	if next == "" {
		t.Fatal("the pieces before the cut are not there")
	}
	if status, answer := putRange(t, url, bytes.NewReader(file[3<<20:]), 3<<20, len(file)-1, len(file)); status != http.StatusCreated {
		t.Error(status, string(answer))
	}
}

// A report that was exported is brought in by a job, as it was downloaded: the records
// of another register are those of the first, in all that the report tells.
func TestReportComesBack(t *testing.T) {
	h := start(t)
	works(t, h)
	var file strings.Builder
	for i := range 300 {
		fmt.Fprintf(&file, `{"managedDeviceDisplayName":"=D%d","certificateSerialNumber":"00%d","certificateThumbprint":"%040X","certificateRevokeStatus":"%s","certificateKeyUsages":%d,"certificateExpirationDateTime":"2027-01-01T00:00:%02dZ"}`+"\n",
			i, i, i, []string{"none", "pending", "issued", "failed", "revoked"}[i%5], i, i%60)
	}
	if job := ended(t, h, uploaded(t, h, `{}`, []byte(file.String()), 1<<20)); job["createdCount"] != 300.0 {
		t.Fatal(counted(job))
	}
	report := func(who string) (text string, archived []byte) {
		_, job := askJSON(t, h, who, http.MethodPost, exportJobsPath, `{"reportName":"AllDeviceCertificates"}`)
		_, job = askJSON(t, h, who, http.MethodGet, fmt.Sprintf("%s/%s", exportJobsPath, job["id"]), "")
		res, err := http.Get(job["url"].(string))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if archived, err = io.ReadAll(res.Body); err != nil {
			t.Fatal(err)
		}
		return unzipped(t, job, ".csv"), archived
	}
	want, archived := report("writer")
	_, job := askJSON(t, h, "other-tenant", http.MethodPost, importJobsPath, `{"fileName":"report.zip"}`)
	if status, answer := putRange(t, job["uploadUrl"].(string), bytes.NewReader(archived), 0, len(archived)-1, len(archived)); status != http.StatusCreated {
		t.Fatal(status, string(answer))
	}
	for deadline := time.Now().Add(30 * time.Second); job["status"] != "completed"; time.Sleep(10 * time.Millisecond) {
		if _, job = askJSON(t, h, "other-tenant", http.MethodGet, fmt.Sprintf("%s/%s", importJobsPath, job["id"]), ""); time.Now().After(deadline) {
			t.Fatal(counted(job))
		}
	}
	if got, _ := report("other-tenant"); got != want || job["rejectedCount"] != 0.0 {
		t.Errorf("%s\n%.600s\nwant\n%.600s", counted(job), got, want)
	}
}
