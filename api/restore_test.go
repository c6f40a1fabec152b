package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"certstate"
	"certstate/auth/authtest"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
	"certstate/store/storetest"
)

// What a client has from after the backup that a register was restored from is
// refused, or harmless: another change has the same number now.
func TestAfterARestore(t *testing.T) {
	for _, e := range storetest.Engines {
		t.Run(e.Name, func(t *testing.T) { afterARestore(t, e.URL) })
	}
}

func afterARestore(t *testing.T, empty func(testing.TB) string) {
	first := start(t)
	before := first.delta(t, "?$deltatoken=latest")
	first.update(t, "a", "1")
	first.update(t, "b", "1")
	var backup bytes.Buffer
	if _, err := first.db.Backup(t.Context(), &backup, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	lost := first.update(t, "a", "2")
	after := first.delta(t, "?$deltatoken=latest")
	page := first.ask(t, "GET", "?$top=1", nil).body["@odata.nextLink"].(string)

	url := empty(t)
	restore(t, url, &backup)
	second := startOn(t, url)
	here := func(link string) string { return strings.Replace(link, first.url, second.url, 1) }
	kept := second.update(t, "a", "3")
	if lost == kept || strings.Trim(lost, `W/"`) != strings.Split(strings.Trim(kept, `W/"`), ".")[0] {
		t.Errorf("the ETags of two versions with one number are %s and %s", lost, kept)
	}
	for _, tc := range []struct {
		method, url, header, etag string
		want                      int
	}{
		{"GET", "/a", "If-None-Match", lost, 200},
		{"GET", "/a", "If-None-Match", kept, 304},
		{"DELETE", "/a", "If-Match", lost, 412},
		{"GET", here(after), "", "", 410},
		{"GET", here(before), "", "", 200},
		{"GET", here(page), "", "", 200},
		{"DELETE", "/a", "If-Match", kept, 204},
	} {
		if got := second.ask(t, tc.method, tc.url, nil, tc.header, tc.etag); got.status != tc.want {
			t.Errorf("%s %s, %s %s: %d, want %d: %v", tc.method, tc.url, tc.header, tc.etag, got.status, tc.want, got.body)
		}
	}
}

func restore(t *testing.T, url string, backup *bytes.Buffer) {
	t.Helper()
	s, err := store.Open(t.Context(), url, store.Options{Serve: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Restore(t.Context(), backup, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

type answer struct {
	status int
	body   map[string]any
	header http.Header
}

// ask sends a request to the collection, or to a whole URL.
func (h *harness) ask(t *testing.T, method, url string, body []byte, header ...string) (a answer) {
	t.Helper()
	if !strings.HasPrefix(url, "http") {
		url = h.url + "/beta/" + odata.CanonicalPath + url
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.token("writer"))
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_ = json.NewDecoder(res.Body).Decode(&a.body) // some have none
	a.status, a.header = res.StatusCode, res.Header
	return a
}

// update makes a record or changes it, and returns its ETag.
func (h *harness) update(t *testing.T, id, subject string) string {
	t.Helper()
	tn, err := h.db.Tenant(t.Context(), authtest.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.db.Create(t.Context(), tn, certstate.State{ID: edm.Str(id)}, certstate.Cause{}); err != nil && certstate.ErrorCode(err) != certstate.Conflict {
		t.Fatal(err)
	}
	a := h.ask(t, "PATCH", "/"+id, []byte(`{"certificateSubjectName":"`+subject+`"}`))
	if a.status != http.StatusOK || a.body["@odata.etag"] != a.header.Get("ETag") {
		t.Fatal(a)
	}
	return a.header.Get("ETag")
}

// delta is the link that a round ends with.
func (h *harness) delta(t *testing.T, query string) string {
	t.Helper()
	link, ok := h.ask(t, "GET", "/delta"+query, nil).body["@odata.deltaLink"].(string)
	if !ok {
		t.Fatal("no deltaLink")
	}
	return link
}
