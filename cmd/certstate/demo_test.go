package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// startDemo runs the demo as a person would and returns what demo.env says.
func startDemo(t *testing.T, dir string) (env map[string]string, printed func() string, stop func()) {
	t.Helper()
	file := filepath.Join(dir, envFile)
	_ = os.Remove(file) // of an earlier start
	ctx, cancel := context.WithCancel(t.Context())
	var stdout, stderr shared
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"demo", "--data", dir, "--listen", "localhost:0", "--count", "40"}, nil, nil, &stdout, &stderr)
	}()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var err error
		if env, err = readEnv(file); err == nil {
			break
		}
		if time.Now().After(deadline) {
			cancel()
			<-code
			t.Fatalf("no demo.env: %s", stderr.String())
		}
	}
	printed = func() string {
		for !strings.Contains(stdout.String(), "Stop with Ctrl-C") {
			time.Sleep(5 * time.Millisecond)
		}
		return stdout.String()
	}
	return env, printed, func() {
		cancel()
		if c := <-code; c != exitOK {
			t.Errorf("exit code %d: %s", c, stderr.String())
		}
	}
}

// shared is a buffer that one goroutine writes and another reads.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// The mission page's request, byte for byte, through real HTTPS with a token
// from the token endpoint, gets the page's response; then the other four
// operations.
func TestDemoAnswersThePage(t *testing.T) {
	dir := t.TempDir()
	env, printed, stop := startDemo(t, dir)
	client, err := trusting(env["SSL_CERT_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	token, err := fetchToken(t.Context(), env["TOKEN_URL"], env["CLIENT_ID"], env["CLIENT_SECRET"], env["AUDIENCE"]+"/.default", env["SSL_CERT_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	call := func(method, url, body string, status int) (http.Header, map[string]any) {
		t.Helper()
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-type", "application/json")
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != status {
			t.Fatalf("%s %s: %d %s %v", method, url, res.StatusCode, text, err)
		}
		var m map[string]any
		_ = json.Unmarshal(text, &m)
		return res.Header, m
	}
	set := env["BASE_URL"] + "/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates"
	header, made := call("POST", set, pageRequest, http.StatusCreated)
	var page map[string]any
	if err := json.Unmarshal([]byte(pageRequest), &page); err != nil {
		t.Fatal(err)
	}
	id := made["id"]
	got := maps.Clone(made)
	for _, own := range []string{"id", "@odata.context", "@odata.etag"} {
		delete(got, own)
	}
	if !maps.Equal(got, page) {
		t.Errorf("got  %v\nwant %v", got, page)
	}
	if _, m := call("GET", header.Get("Location"), "", 200); m["id"] != id {
		t.Errorf("at Location: %v", m)
	}
	if _, m := call("GET", set+"?$count=true", "", 200); m["@odata.count"] != 41.0 || len(m["value"].([]any)) != 41 {
		t.Errorf("list: count %v", m["@odata.count"])
	}
	if _, m := call("PATCH", set+"/"+id.(string), `{"certificateRevokeStatus":"revoked"}`, 200); m["certificateRevokeStatus"] != "revoked" {
		t.Errorf("updated: %v", m)
	}
	call("DELETE", set+"/"+id.(string), "", 204)
	call("GET", set+"/"+id.(string), "", 404)
	reader, err := fetchToken(t.Context(), env["TOKEN_URL"], env["READER_CLIENT_ID"], env["READER_CLIENT_SECRET"], env["AUDIENCE"]+"/.default", env["SSL_CERT_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	pasted(t, printed())
	token = reader
	call("POST", set, pageRequest, http.StatusForbidden)
	stop()
	secrets(t, dir, env)
}

// pasted runs the printed curl as a person would paste it.
func pasted(t *testing.T, out string) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Log("SKIPPED: the printed command (no curl)")
		return
	}
	from, to := strings.Index(out, "  curl -i"), strings.Index(out, "\nFor the SDKs")
	answer, err := exec.Command("sh", "-c", out[from:to]).CombinedOutput()
	if err != nil || !strings.Contains(string(answer), " 201") || !strings.Contains(string(answer), `"certificateKeyUsages":4`) {
		t.Errorf("pasted %s\ngot %s %v", out[from:to], answer, err)
	}
}

// secrets are in files that only their owner can read, and a second start
// keeps them.
func secrets(t *testing.T, dir string, first map[string]string) {
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if st, err := f.Info(); err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v %v", f.Name(), st.Mode(), err)
		}
	}
	second, _, stop := startDemo(t, dir)
	stop()
	for _, name := range []string{"TENANT", "CLIENT_ID", "CLIENT_SECRET", "TENANT_B", "SSL_CERT_FILE"} {
		if second[name] == "" || second[name] != first[name] {
			t.Errorf("%s changed", name)
		}
	}
}

// A demo that cannot start in the folder of one that runs leaves that one's demo.env.
func TestDemoBesideADemo(t *testing.T) {
	dir := t.TempDir()
	env, _, stop := startDemo(t, dir)
	defer stop()
	base, err := url.Parse(env["BASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	for listen, want := range map[string]string{base.Host: "choose another address with --listen", "localhost:0": "register.db"} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), []string{"demo", "--data", dir, "--listen", listen}, nil, nil, &stdout, &stderr)
		if code == exitOK || !strings.Contains(stderr.String(), want) {
			t.Errorf("--listen %s: exit code %d, %q", listen, code, &stderr)
		}
		if now, err := readEnv(filepath.Join(dir, envFile)); err != nil || !maps.Equal(now, env) {
			t.Errorf("--listen %s: demo.env has %v, %v; had %v", listen, now, err, env)
		}
	}
}
