package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"certstate"
	"certstate/api"
	"certstate/auth/authtest"
	"certstate/edm"
	"certstate/store"
	"certstate/store/storetest"
)

var pullRows = flag.Int("pull-rows", 3000, "records of TestPull")

// TestPull pulls a register into another through the public API, while the first says
// that it is asked too much, as Graph does, connections are cut, and the pull is
// killed in the middle and run again: the records are equal, ids and certificates
// included.
func TestPull(t *testing.T) {
	from := pullSource(t, storetest.Engines[0].URL(t), *pullRows)
	storetest.EachEngine(t, func(t *testing.T, url string) {
		if testing.Short() && !strings.HasPrefix(url, "sqlite:") {
			t.Skip("SKIPPED: -short pulls into SQLite only")
		}
		to := fillable(t, url)
		issuer := authtest.New(t)
		throttle := "off" // the other engine's turn has seen it
		if strings.HasPrefix(url, "sqlite:") {
			throttle = "graph"
		}
		far := serveRegister(t, from.url, issuer, throttle)
		began := time.Now()
		state := filepath.Join(t.TempDir(), "pull.json")
		size := max(3, *pullRows/2000) // more requests than Graph allows in 20 seconds
		args := []string{"import", "--database", to.url, "--tenant", killTenant, "--from-graph", far.base, "--token-file", tokenFile(t, issuer), "--resume", state, "--page-size", fmt.Sprint(size)}
		first := to.pullUntil(t, args, state, int64(*pullRows/3))
		kept := pulledRows(t, state)
		out, code := runProgram(t, args...)
		if code != exitOK || !strings.Contains(out, " 0 left out") {
			t.Fatalf("exit code %d: %s", code, out)
		}
		took := time.Since(began)
		requests, throttled, cuts := far.requests.Load(), far.throttled.Load(), far.cuts.Load()
		t.Logf("%d records in %s (%.0f a second): %d requests, %d of them answered 429, %d connections cut; killed at %d, of which %d were kept", *pullRows, took.Round(time.Millisecond), float64(*pullRows)/took.Seconds(), requests, throttled, cuts, first, kept)
		inWindow := began.Truncate(api.ThrottleWindow).Equal(began.Add(took).Truncate(api.ThrottleWindow)) // in two, they may be too few for each
		if throttled > 0 && throttle == "off" || throttled == 0 && throttle != "off" && inWindow || cuts == 0 {
			t.Error("the test saw no trouble")
		}
		if present := presentIn(out); kept == 0 || present > first-kept+1000 {
			t.Errorf("killed at %d records, of which %d were kept: %d were read again", first, kept, present)
		}
		if _, err := os.Stat(state); err == nil {
			t.Error("the file of --resume is still there")
		}
		if got, want := to.pulled(t), from.pulled(t); !maps.Equal(got, want) || len(got) != *pullRows {
			t.Errorf("%d records, and %d at the source, are not the same", len(got), len(want))
		}
		if out, code := runProgram(t, "import", "--database", to.url, "--tenant", killTenant, "--from-graph", far.base, "--token-file", tokenFile(t, issuer), "--page-size", "1000"); code != exitOK || !strings.Contains(out, fmt.Sprintf("0 records created, %d there already", *pullRows)) {
			t.Errorf("pulled once more: %d, %s", code, out)
		}
	})
}

// pullSource is a register with records of all kinds.
func pullSource(t *testing.T, url string, n int) *register {
	t.Helper()
	r := fillable(t, url)
	s, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tn, err := s.Tenant(t.Context(), killTenant)
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	var list []store.Entry
	for i := range n {
		st := certstate.State{ID: edm.Str(fmt.Sprintf("id %d/ä", i)), DeviceName: edm.Str(fmt.Sprintf("LAPTOP-%d", i)), RevokeStatus: certstate.RevokeStatus(i % 5), Serial: edm.Str(fmt.Sprintf("%X", i))}
		switch i % 4 {
		case 0:
			st.Certificate = edm.Bin(issued(t, key, fmt.Sprintf("LAPTOP-%d", i/8), i/8)) // which the device after has too
		case 1:
			st.DeviceID, st.PolicyID, st.UserPrincipalName = edm.Str(fmt.Sprint("d", i)), edm.Str("p"), edm.Str("")
			_ = st.NotAfter.SetJSON(edm.Scalar{Kind: '"', Text: "2027-01-01T00:02:14.9489247-08:00"})
		case 2:
			st.Source, st.KeyUsages = edm.Str("mine"), edm.Int(160)
		}
		list = append(list, store.Entry{Registration: store.Registration{State: st, Set: certstate.All}})
		if len(list) == 1000 || i == n-1 {
			_, faults, err := s.Bring(t.Context(), tn, list, false, certstate.Cause{})
			for _, fault := range faults {
				if err != nil || fault != nil {
					t.Fatal(err, fault)
				}
			}
			list = list[:0]
		}
	}
	return r
}

// pulled are the records, by id.
func (r *register) pulled(t *testing.T) map[string]string {
	t.Helper()
	m := map[string]string{}
	r.each(t, func(st *certstate.State) {
		var text []byte
		for i := range certstate.Properties {
			if p := &certstate.Properties[i]; p.Name != "createdDateTime" && p.Name != "lastModifiedDateTime" {
				text = p.Field(st).AppendJSON(append(text, ' '))
			}
		}
		m[st.ID.S] = string(text)
	})
	return m
}

// pullUntil kills a pull once so many records are there and it has kept how far it
// got, and returns how many there are.
func (r *register) pullUntil(t *testing.T, args []string, state string, enough int64) int64 {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := program(exe, &out, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kept := func() bool {
		_, err := os.Stat(state)
		return err == nil
	}
	for deadline := time.Now().Add(5 * time.Minute); r.live(t) < enough || !kept(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("the pull is too slow")
			break
		}
	}
	_ = cmd.Process.Kill()
	if err := cmd.Wait(); err == nil {
		t.Fatalf("it was done before it was killed: %s", &out)
	}
	return r.live(t)
}

// runProgram runs it to its end.
func runProgram(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	var b shared
	code = run(t.Context(), args, nil, nil, &b, &b)
	return b.String(), code
}

var thereAlready = regexp.MustCompile(`(\d+) there already`)

func presentIn(out string) (n int64) {
	if found := thereAlready.FindStringSubmatch(out); found != nil {
		_, _ = fmt.Sscan(found[1], &n)
	}
	return n
}

func pulledRows(t *testing.T, file string) int64 {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s pullState
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s.Rows
}

func tokenFile(t *testing.T, issuer *authtest.Issuer) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	token := issuer.Token(map[string]any{"tid": killTenant, "iss": issuer.URL + "/" + killTenant + "/v2.0", "roles": []string{authtest.Read}})
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// farRegister is one that is served, behind a proxy that cuts connections.
type farRegister struct {
	base                      string
	requests, throttled, cuts atomic.Int64
}

// serveRegister serves a register.
func serveRegister(t *testing.T, url string, issuer *authtest.Issuer, throttle string) *farRegister {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	far := &farRegister{base: "http://" + l.Addr().String()}
	near := freeAddress(t)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	var log shared
	go func() {
		ended <- run(ctx, []string{"serve", "--database", url, "--listen", near, "--base-url", far.base, "--issuer", issuer.Template(),
			"--audience", authtest.Audience, "--throttle", throttle, "--log-format", "text"}, nil, nil, io.Discard, &log)
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != exitOK {
			t.Errorf("serve: %d: %s", code, log.String())
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if res, err := http.Get("http://" + near + "/readyz"); err == nil {
			_ = res.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server does not come up: %s", log.String())
		}
	}
	go far.proxy(l, near)
	return far
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// proxy passes connections on, and cuts each after some answers, in the middle of one.
func (far *farRegister) proxy(l net.Listener, to string) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer client.Close()
			server, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			defer server.Close()
			go func() {
				_, _ = io.Copy(server, client)
				_ = server.(*net.TCPConn).CloseWrite()
			}()
			left := 20_000 + rand.Int64N(400_000)
			n, _ := io.Copy(client, io.LimitReader(watched{server, far}, left))
			if n == left {
				far.cuts.Add(1)
				_ = client.(*net.TCPConn).SetLinger(0)
			}
		}()
	}
}

// watched counts answers by their first lines.
type watched struct {
	io.Reader
	far *farRegister
}

func (w watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	if bytes.HasPrefix(b[:n], []byte("HTTP/1.1 ")) {
		w.far.requests.Add(1)
		if bytes.HasPrefix(b[9:n], []byte("429")) {
			w.far.throttled.Add(1)
		}
	}
	return n, err
}

// A pull with an application's secret, from the demo: the ids are kept, nothing is
// written with --dry-run, and what is wrong is named.
func TestPullFromDemo(t *testing.T) {
	dir := t.TempDir()
	env, _, stop := startDemo(t, filepath.Join(dir, "demo"))
	defer stop()
	to := fillable(t, storetest.Engines[0].URL(t))
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(env["READER_CLIENT_SECRET"]), 0o600); err != nil {
		t.Fatal(err)
	}
	pull := func(more ...string) (string, int) {
		t.Helper()
		return runProgram(t, append([]string{"import", "--database", to.url, "--tenant", killTenant, "--from-graph", strings.TrimSuffix(env["BASE_URL"], "/beta"),
			"--client-id", env["READER_CLIENT_ID"], "--client-secret-file", secret, "--token-url", env["TOKEN_URL"], "--scope", env["AUDIENCE"] + "/.default", "--ca", env["SSL_CERT_FILE"]}, more...)...)
	}
	if out, code := pull("--dry-run"); code != exitOK || !strings.HasPrefix(out, "dry run: 40 records created, 0 left out") || to.live(t) != 0 {
		t.Errorf("%d: %s", code, out)
	}
	if out, code := pull(); code != exitOK || !strings.HasPrefix(out, "40 records created, 0 left out") || to.live(t) != 40 {
		t.Errorf("%d: %s", code, out)
	}
	other := filepath.Join(dir, "other.json")
	if err := os.WriteFile(other, []byte(`{"list":"https://x","next":"https://x/2"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"file.csv"}, exitUsage, "--from-graph and --from-step-ca take the place of FILE"},
		{[]string{"--from-graph", "http://graph.example"}, exitUsage, "must be https: a token is sent there"},
		{[]string{"--from-graph", "https://localhost/v1.0/users"}, exitUsage, "leads elsewhere"},
		{[]string{"--client-id", ""}, exitUsage, "--from-graph needs --client-id and --client-secret-file, or --token-file"},
		{[]string{"--client-secret-file", "nowhere"}, exitFailed, "--client-secret-file: open nowhere"},
		{[]string{"--client-id", "stranger", "--patience", "1ms"}, exitFailed, "the token: "},
		{[]string{"--token-file", secret}, exitFailed, "401 Unauthorized: "},
		{[]string{"--resume", other}, exitUsage, "is of another pull, of https://x"},
		{[]string{"--page-size", "0"}, exitUsage, "--page-size 0: give a number from 1 up"},
	} {
		if out, code := pull(c.args...); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%v: %d, want %d: %s", c.args, code, c.code, out)
		}
	}
}
