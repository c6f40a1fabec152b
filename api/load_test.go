package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"certstate"
	"certstate/api"
	"certstate/auth/authtest"
	"certstate/edm"
	"certstate/store/storetest/load"
)

const collection = "/beta/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates"

// lines is a log that tests read.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// small is a server on the harness's database that takes four requests at once,
// two of them waiting, and what it logs.
func small(t *testing.T, h *harness) (url string, s *api.Server, log *lines) {
	t.Helper()
	log = &lines{}
	cfg := h.cfg
	cfg.InFlight, cfg.Log = 4, slog.New(slog.NewJSONHandler(log, nil))
	s, err := api.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return srv.URL, s, log
}

// call sends a request and returns the answer with its body.
func call(t *testing.T, h *harness, who, method, url, body string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if who != "" {
		r.Header.Set("Authorization", "Bearer "+h.token(who))
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// What is over the server's capacity is refused in Graph's shape, with the time to
// wait; another tenant's requests and the health endpoints are not.
func TestOverCapacity(t *testing.T) {
	h := start(t)
	url, s, log := small(t, h)
	release := s.Occupy(authtest.Tenant)
	batch := `{"requests": [{"id": "1", "method": "GET", "url": "/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates"}]}`
	for _, c := range []struct{ method, path, body string }{{"GET", collection, ""}, {"GET", collection + "/x", ""}, {"POST", collection, "{}"}, {"DELETE", collection + "/x", ""}} {
		res, body := call(t, h, "writer", c.method, url+c.path, c.body)
		if wait, err := strconv.Atoi(res.Header.Get("Retry-After")); res.StatusCode != http.StatusServiceUnavailable || err != nil || wait < 1 {
			t.Errorf("%s %s: %d, Retry-After %q", c.method, c.path, res.StatusCode, res.Header.Get("Retry-After"))
		}
		checkErrorShape(t, res, []byte(body))
	}
	if res, body := call(t, h, "writer", "POST", url+"/beta/$batch", batch); res.StatusCode != http.StatusOK || !strings.Contains(body, `"status":503`) || !strings.Contains(body, `"Retry-After":"1"`) {
		t.Errorf("a batch: %d %s", res.StatusCode, body)
	}
	for _, path := range []string{"/healthz", "/readyz", "/beta/$metadata"} {
		if res, body := call(t, h, "", "GET", url+path, ""); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
	// A turn becomes free: it is the other tenant's, although all who wait were first.
	answered := make(chan int)
	go func() {
		res, _ := call(t, h, "other-tenant", "GET", url+collection, "")
		answered <- res.StatusCode
	}()
	select {
	case status := <-answered:
		t.Errorf("another tenant, without a turn: %d", status)
	case <-time.After(100 * time.Millisecond):
	}
	release()
	if status := <-answered; status != http.StatusOK {
		t.Errorf("another tenant: %d", status)
	}
	if res, body := call(t, h, "writer", "POST", url+collection, "{}"); res.StatusCode != http.StatusCreated {
		t.Errorf("with room again: %d %s", res.StatusCode, body)
	}
	shedIsLogged(t, log, 5)
}

// shedIsLogged checks that requests that were shed have lines together, and none
// of their own.
func shedIsLogged(t *testing.T, log *lines, want int) {
	t.Helper()
	told := 0
	for deadline := time.Now().Add(10 * time.Second); told < want && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		told = 0
		for line := range strings.Lines(log.String()) {
			var entry struct {
				Msg      string
				Requests int
				Status   int
			}
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(entry.Msg, "over capacity") {
				told += entry.Requests
			}
			if entry.Status == http.StatusServiceUnavailable {
				t.Fatal("a line of its own: ", line)
			}
		}
	}
	if told != want {
		t.Errorf("%d requests were logged as shed, want %d: %s", told, want, log)
	}
}

// Clients that send slowly, or do not read what they are sent, hold no turn.
func TestSlowClientsHoldNoTurn(t *testing.T) {
	h := start(t)
	url, _, _ := small(t, h)
	tn, err := h.db.Tenant(t.Context(), authtest.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	records := make([]certstate.State, 400)
	for i := range records { // more than sockets hold
		records[i].Subject = edm.Str(strings.Repeat("s", certstate.MaxStringLength))
	}
	load.Records(t, h.db, tn, records)
	head := " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + h.token("writer") + "\r\n"
	for range 8 {
		slow(t, url, "POST "+collection+head+"Content-Length: 1000\r\n\r\n{")
		reader := slow(t, url, "GET "+collection+"?$top=400"+head+"\r\n")
		if _, err := io.ReadFull(reader, make([]byte, 4096)); err != nil { // its answer is under way
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		method, body string
		want         int
	}{{"GET", "", http.StatusOK}, {"POST", "{}", http.StatusCreated}} {
		if res, _ := call(t, h, "writer", c.method, url+collection+"?$select=id", c.body); res.StatusCode != c.want {
			t.Errorf("%s: %d", c.method, res.StatusCode)
		}
	}
}

// slow sends a request, or its beginning.
func slow(t *testing.T, url, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// Large bodies are refused when those that are held leave no memory for them;
// usual ones are not.
func TestBodiesAreBounded(t *testing.T) {
	h := start(t)
	url, s, _ := small(t, h)
	release := s.FillBodies()
	body := func(n int) string { return `{"@x.y": "` + strings.Repeat("x", n) + `"}` }
	packed := string(zip([]byte(body(200_000))))
	for what, c := range map[string]struct {
		body string
		want int
	}{"usual": {body(60_000), http.StatusCreated}, "large": {body(200_000), http.StatusServiceUnavailable}, "large, compressed": {packed, http.StatusServiceUnavailable}} {
		if res, text := call(t, h, "writer", "POST", url+collection, c.body); res.StatusCode != c.want {
			t.Errorf("%s: %d %s", what, res.StatusCode, text)
		}
	}
	release()
	for range 3 { // and what was refused is given back
		if res, text := call(t, h, "writer", "POST", url+collection, packed); res.StatusCode != http.StatusCreated {
			t.Errorf("with room again: %d %s", res.StatusCode, text)
		}
	}
	if n := s.HeldBodies(); n != 0 {
		t.Errorf("%d bytes of bodies are still counted", n)
	}
}

// A server whose database cannot be used says so, and when to ask again.
func TestNotReady(t *testing.T) {
	h := start(t)
	if err := h.db.Close(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/readyz": http.StatusServiceUnavailable, "/healthz": http.StatusOK} {
		res, body := call(t, h, "", "GET", h.url+path, "")
		if res.StatusCode != want || want == http.StatusServiceUnavailable && (res.Header.Get("Retry-After") != "1" || !strings.Contains(body, "shutting down")) {
			t.Errorf("%s: %d %q, Retry-After %q", path, res.StatusCode, body, res.Header.Get("Retry-After"))
		}
	}
	res, body := call(t, h, "writer", "POST", h.url+collection, "{}")
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" {
		t.Errorf("a change: %d %s", res.StatusCode, body)
	}
	checkErrorShape(t, res, []byte(body))
}
