package api_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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

// manyRecords loads n records with names of 30,000 characters: more than the
// sockets on the way take while nobody reads.
func manyRecords(t *testing.T, h *harness, n int) store.Tenant {
	t.Helper()
	tenant, err := h.db.Tenant(t.Context(), authtest.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	list := make([]certstate.State, n)
	for i := range list {
		list[i] = certstate.State{ID: edm.Str(fmt.Sprint("r", i)), DeviceName: edm.Str(strings.Repeat("x", 30_000))}
	}
	load.Records(t, h.db, tenant, list)
	return tenant
}

// startDownload asks a server for all records as lines.
func startDownload(t *testing.T, h *harness, client *http.Client, url string, gzip bool) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/beta/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates?$format=ndjson&$select=id,managedDeviceDisplayName", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.token("reader"))
	if !gzip {
		req.Header.Set("Accept-Encoding", "identity")
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

func countLines(r io.Reader) (n int, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		if _, err = in.ReadSlice('\n'); err != nil {
			return n, err
		}
		n++
	}
}

// A download that fails in the middle does not look whole: the client's reading
// ends with an error, by every protocol, compressed or not.
func TestDownloadIsCut(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		const records = 1000
		h := startOn(t, url)
		tenant := manyRecords(t, h, records)
		for _, http2 := range []bool{false, true} {
			srv := httptest.NewUnstartedServer(h.server)
			srv.EnableHTTP2 = http2
			srv.StartTLS()
			t.Cleanup(srv.Close)
			for _, gzip := range []bool{false, true} {
				res := startDownload(t, h, srv.Client(), srv.URL, gzip)
				if res.StatusCode != http.StatusOK || (res.ProtoMajor == 2) != http2 {
					t.Fatal(res.Status, res.Proto)
				}
				if gzip { // little is sent then, and soon: not to be caught in the middle
					if n, err := countLines(res.Body); !errors.Is(err, io.EOF) || n != records {
						t.Errorf("%s compressed: %d lines, %v", res.Proto, n, err)
					}
					continue
				}
				patch := certstate.State{Source: edm.Str(fmt.Sprint(http2))}
				set, _ := certstate.Lookup("source")
				if _, err := h.db.Update(t.Context(), tenant, "r0", &patch, 1<<set, nil, certstate.Cause{}); err != nil {
					t.Fatal(err)
				}
				if err := h.db.Prune(t.Context(), time.Now().Add(time.Hour), func(int64) {}); err != nil { // past the download's moment
					t.Fatal(err)
				}
				n, err := countLines(res.Body)
				if err == nil || errors.Is(err, io.EOF) || n == 0 || n == records {
					t.Errorf("%s: %d lines of %d, and then %v", res.Proto, n, records, err)
				}
			}
		}
	})
}

// A download takes as long as it takes, whatever time requests and answers have.
func TestDownloadOutlivesTimeouts(t *testing.T) {
	const records = 1000
	h := start(t)
	manyRecords(t, h, records)
	for _, http2 := range []bool{false, true} {
		srv := httptest.NewUnstartedServer(h.server)
		srv.EnableHTTP2 = http2
		srv.Config.ReadTimeout, srv.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
		srv.StartTLS()
		t.Cleanup(srv.Close)
		began := time.Now()
		res := startDownload(t, h, srv.Client(), srv.URL, false)
		n, err := countLines(&slowReader{Reader: res.Body})
		if !errors.Is(err, io.EOF) || n != records || time.Since(began) < 800*time.Millisecond {
			t.Errorf("%s: %d lines of %d in %s, and then %v", res.Proto, n, records, time.Since(began), err)
		}
	}
}

// slowReader waits a tenth of a second at each three megabytes.
type slowReader struct {
	io.Reader
	read int
}

func (r *slowReader) Read(b []byte) (n int, err error) {
	const step = 3 << 20
	n, err = r.Reader.Read(b)
	if r.read/step != (r.read+n)/step {
		time.Sleep(100 * time.Millisecond)
	}
	r.read += n
	return n, err
}

// Downloads are bounded, and one that ends makes room for another.
func TestDownloadsAreBounded(t *testing.T) {
	h := start(t)
	manyRecords(t, h, 600)
	var open []*http.Response
	client := &http.Client{Transport: &http.Transport{}}
	for {
		res := startDownload(t, h, client, h.url, false)
		if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") != "" {
			break
		}
		if open = append(open, res); res.StatusCode != http.StatusOK || len(open) > 100 {
			t.Fatal(res.Status, len(open))
		}
	}
	if n, err := countLines(open[0].Body); n != 600 || !errors.Is(err, io.EOF) {
		t.Error(n, err)
	}
	for _, res := range open[1:] {
		res.Body.Close() // a client that goes away
	}
	for until := time.Now().Add(10 * time.Second); ; {
		res := startDownload(t, h, client, h.url, false)
		if res.StatusCode == http.StatusOK {
			return
		}
		if time.Now().After(until) {
			t.Fatal(res.Status)
		}
	}
}

// Over HTTP/1.0 nobody could tell a cut answer from a whole one.
func TestNoDownloadOverHTTP10(t *testing.T) {
	h := start(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /beta/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates?$format=csv HTTP/1.0\r\nAuthorization: Bearer %s\r\n\r\n", h.token("reader"))
	b, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(b), " 406 ") || !strings.Contains(string(b), "proxy_http_version 1.1") {
		t.Errorf("%s, %v", b, err)
	}
}
