package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"certstate"
	"certstate/api"
	"certstate/auth/authtest"
	"certstate/edm"
	"certstate/odata"
)

// batchOf makes a batch of requests with ids 0, 1, ….
func batchOf(h *harness, requests ...string) *http.Request {
	for i, text := range requests {
		requests[i] = fmt.Sprintf(`{"id":"%d",%s}`, i, text)
	}
	r := httptest.NewRequest("POST", "/beta/$batch", strings.NewReader(`{"requests":[`+strings.Join(requests, ",")+`]}`))
	r.Header.Set("Authorization", "Bearer "+h.token("writer"))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func answerOf(t testing.TB, server *api.Server, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w
}

// statuses are those of a batch's responses.
func statuses(t testing.TB, w *httptest.ResponseRecorder) (all []int) {
	t.Helper()
	var out struct{ Responses []struct{ Status int } }
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	for _, res := range out.Responses {
		all = append(all, res.Status)
	}
	return all
}

// Each request of a batch has a line of its own in the log, refused ones too,
// and the batch's id joins them.
func TestBatchLog(t *testing.T) {
	h := start(t)
	var log bytes.Buffer
	h.cfg.Log = slog.New(slog.NewJSONHandler(&log, nil))
	server, err := api.New(t.Context(), h.cfg)
	if err != nil {
		t.Fatal(err)
	}
	answerOf(t, server, batchOf(h,
		`"method":"GET","url":"`+odata.CanonicalPath+`/missing"`,
		`"method":"DELETE","url":"`+odata.CanonicalPath+`/missing","dependsOn":["0"]`,
		`"method":"GET","url":"https://evil.example/beta"`,
		`"method":"GET","url":"`+odata.CanonicalPath+`"`))
	var lines []map[string]any
	for dec := json.NewDecoder(&log); dec.More(); {
		var line map[string]any
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	want := []string{"GET 404 ResourceNotFound", "DELETE 424 FailedDependency", "GET 400 BadRequest", "GET 200 <nil>"}
	if len(lines) != len(want)+1 {
		t.Fatalf("%d lines: %v", len(lines), lines)
	}
	last := lines[len(want)]
	id := last["request_id"]
	seen := map[any]bool{id: true, nil: true}
	for i, line := range lines[:len(want)] {
		if got := fmt.Sprint(line["method"], " ", line["status"], " ", line["code"]); got != want[i] {
			t.Errorf("line %d is %s, want %s", i, got, want[i])
		}
		if line["batch_request_id"] != id || line["client_request_id"] != id || line["tenant"] != authtest.Tenant || line["app"] == nil || seen[line["request_id"]] {
			t.Errorf("line %d: %v", i, line)
		}
		seen[line["request_id"]] = true
	}
	if last["route"] != "$batch" || last["status"] != 200.0 || last["batch_request_id"] != nil {
		t.Errorf("the batch's line: %v", last)
	}
}

// A batch stops running requests when its answers fill the memory it may have,
// and says so for each that it did not run.
func TestBatchAnswerIsBounded(t *testing.T) {
	h := start(t)
	tn, err := h.db.Tenant(t.Context(), authtest.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	long := edm.Str(strings.Repeat("€", 32_768)) // 3 bytes each
	for i := range 16 {
		st := certstate.State{ID: edm.Str(strconv.Itoa(i)), Subject: long, Issuer: long, DeviceName: long, UserPrincipalName: long}
		if _, err := h.db.Create(t.Context(), tn, st, certstate.Cause{}); err != nil {
			t.Fatal(err)
		}
	}
	var requests []string // 6 MiB each
	for range 8 {
		requests = append(requests, `"method":"GET","url":"`+odata.CanonicalPath+`"`)
	}
	requests = append(requests, `"method":"DELETE","url":"`+odata.CanonicalPath+`/0"`)
	w := answerOf(t, h.server, batchOf(h, requests...))
	if got, want := fmt.Sprint(statuses(t, w)), "[200 200 200 200 200 200 413 413 413]"; got != want {
		t.Errorf("statuses %s, want %s", got, want)
	}
	if size := w.Body.Len(); size > 40<<20 {
		t.Errorf("an answer of %d bytes", size)
	}
	if _, err := h.db.Get(t.Context(), tn, "0", certstate.Defaults); err != nil {
		t.Errorf("what was not run has deleted the record: %v", err)
	}
}

// BenchmarkBatch is what twenty requests in one batch cost, without net/http.
func BenchmarkBatch(b *testing.B) {
	for name, request := range map[string]string{
		"get":    `"method":"GET","url":"` + odata.CanonicalPath + `/one"`,
		"create": `"method":"POST","url":"` + odata.CanonicalPath + `","body":{"userPrincipalName":"u"}`,
	} {
		b.Run(name, func(b *testing.B) {
			h := start(b)
			answerOf(b, h.server, batchOf(h, `"method":"POST","url":"`+odata.CanonicalPath+`","body":{"id":"one"}`))
			r := batchOf(h, slices.Repeat([]string{request}, odata.MaxBatch)...)
			text, err := io.ReadAll(r.Body)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				r.Body = io.NopCloser(bytes.NewReader(text))
				if n := strings.Count(answerOf(b, h.server, r).Body.String(), `"status":20`); n != odata.MaxBatch {
					b.Fatalf("%d succeeded", n)
				}
			}
		})
	}
}
