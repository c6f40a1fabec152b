package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"certstate"
	"certstate/store/storetest"
)

// An import job outlives its servers: all are killed while its file is uploaded, and
// twice while it is brought in. Uploads go on where they were, at any server; a
// server takes the job up, and in the end each row is a record, once, and counted.
func TestImportJobKilled(t *testing.T) {
	t.Parallel()
	const rows = 20_000
	storetest.EachEngine(t, func(t *testing.T, url string) {
		t.Parallel()
		r := newRegister(t, url)
		servers := []*server{r.serve(t)}
		if strings.HasPrefix(url, "postgres") {
			servers = append(servers, r.serve(t))
		}
		j := createJob(t, r, servers)
		file := manyRows(rows)
		for at, half := int64(0), int64(len(file)/2); at < int64(len(file)); {
			to := min(at+700_000, int64(len(file)))
			j.put(t, file[at:to], at, int64(len(file)))
			if at < half && to >= half {
				killAll(t, servers)
				startAll(t, servers)
				to = j.next(t)
			}
			at = to
		}
		untold := 0 // records that were written in the moment before a kill
		for _, enough := range []int{0, rows / 2} {
			j.awaitRecords(t, enough)
			var before importJob
			j.get(t, j.server().url+importJobs+"/"+j.id, &before)
			killAll(t, servers)
			there := len(r.changesNow(t))
			if there == rows {
				t.Fatal("the job was done before it was killed: the test saw nothing")
			}
			untold += there - before.Created
			startAll(t, servers)
		}
		job := j.await(t, importJob.ended)
		j.judge(t, r, job, rows, rows-untold)
	})
}

const importJobs = "/beta/deviceManagement/certstate.importJobs"

// manyRows are records as lines, and one line that is none.
func manyRows(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `{"id":"r%d","managedDeviceDisplayName":"LAPTOP-%d","certificateThumbprint":"%040X"}`+"\n", i, i, i)
	}
	b.WriteString("{\"id\":7}\n")
	return b.Bytes()
}

// importJob is what the test reads of a job.
type importJob struct {
	ID, Status, UploadURL string
	NextExpectedRanges    []string
	Created               int   `json:"createdCount"`
	Present               int   `json:"presentCount"`
	Rejected              int   `json:"rejectedCount"`
	Rows                  int64 `json:"rowCount"`
}

func (j importJob) ended() bool { return j.Status != "notStarted" && j.Status != "inProgress" }

// judge holds a job that has ended to what manyRows has: each row is a record, made
// once, and counted; least of them as made by the job.
func (c *jobClient) judge(t *testing.T, r *register, job importJob, rows, least int) {
	t.Helper()
	if job.Status != "completed" || job.Created+job.Present != rows || job.Created < least || job.Rejected != 1 || job.Rows != int64(rows)+1 {
		t.Errorf("the job ended as %+v, want at least %d created", job, least)
	}
	changes := r.changesNow(t)
	if len(changes) != rows {
		t.Errorf("%d changes, want %d", len(changes), rows)
	}
	ids := map[string]bool{}
	for _, made := range changes {
		if ids[made.ID] || made.Kind != certstate.CreatedKind {
			t.Fatalf("%s is there twice", made.ID)
		}
		ids[made.ID] = true
	}
	var left struct{ Value []map[string]any }
	c.get(t, c.servers[0].url+importJobs+"/"+c.id+"/rejected", &left)
	if len(left.Value) != 1 || left.Value[0]["line"] != float64(rows+1) {
		t.Errorf("left out: %v", left.Value)
	}
}

// jobClient asks one server after another.
type jobClient struct {
	r       *register
	servers []*server
	id      string
	upload  string // below a server's root
	asked   int
}

func createJob(t *testing.T, r *register, servers []*server) *jobClient {
	t.Helper()
	c := &jobClient{r: r, servers: servers}
	var job importJob
	status, err := c.send(http.MethodPost, servers[0].url+importJobs, strings.NewReader(`{"fileName":"rows.ndjson"}`), http.Header{"Content-Type": {"application/json"}}, &job)
	if err != nil || status != http.StatusCreated {
		t.Fatal(status, err)
	}
	c.id, c.upload = job.ID, strings.TrimPrefix(job.UploadURL, servers[0].url)
	return c
}

func (c *jobClient) send(method, url string, body io.Reader, header http.Header, to any) (status int, err error) {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return 0, err
	}
	if header != nil {
		req.Header = header
	}
	if !strings.Contains(url, "sig=") {
		req.Header.Set("Authorization", "Bearer "+c.r.bearer())
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if res.StatusCode >= http.StatusBadRequest {
		return res.StatusCode, errors.Join(err, fmt.Errorf("%s %s: %s", method, res.Status, text))
	}
	return res.StatusCode, errors.Join(err, json.Unmarshal(text, to))
}

func (c *jobClient) server() *server {
	c.asked++
	return c.servers[c.asked%len(c.servers)]
}

func (c *jobClient) get(t *testing.T, url string, to any) {
	t.Helper()
	if _, err := c.send(http.MethodGet, url, nil, http.Header{}, to); err != nil {
		t.Fatal(err)
	}
}

// put uploads a range.
func (c *jobClient) put(t *testing.T, part []byte, at, size int64) {
	t.Helper()
	header := http.Header{"Content-Range": {fmt.Sprintf("bytes %d-%d/%d", at, at+int64(len(part))-1, size)}}
	if _, err := c.send(http.MethodPut, c.server().url+c.upload, bytes.NewReader(part), header, &importJob{}); err != nil {
		t.Fatal(err)
	}
}

// next is which octet is expected next.
func (c *jobClient) next(t *testing.T) (at int64) {
	t.Helper()
	var job importJob
	c.get(t, c.server().url+c.upload, &job)
	if _, err := fmt.Sscanf(strings.Join(job.NextExpectedRanges, " "), "%d-", &at); err != nil {
		t.Fatal(job, err)
	}
	return at
}

// await waits until a job is as it should be.
func (c *jobClient) await(t *testing.T, as func(importJob) bool) (job importJob) {
	t.Helper()
	for deadline := time.Now().Add(4 * patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		job = importJob{}
		c.get(t, c.server().url+importJobs+"/"+c.id, &job)
		if as(job) {
			return job
		}
	}
	t.Fatalf("the job stays %+v", job)
	return job
}

// awaitRecords waits until there are more than so many records.
func (c *jobClient) awaitRecords(t *testing.T, than int) {
	t.Helper()
	for deadline := time.Now().Add(4 * patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var n int
		if c.get(t, c.server().url+collection+"/$count", &n); n > than {
			return
		}
	}
	t.Fatalf("there are never more than %d records", than)
}

func (r *register) changesNow(t *testing.T) []certstate.Change {
	t.Helper()
	list, err := r.changes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func killAll(t *testing.T, servers []*server) {
	t.Helper()
	for _, s := range servers {
		if err := s.kill(); err != nil {
			t.Fatal(err)
		}
	}
}

func startAll(t *testing.T, servers []*server) {
	t.Helper()
	for _, s := range servers {
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
	}
}
