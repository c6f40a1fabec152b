package api_test

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"certstate"
	"certstate/auth/authtest"
	"certstate/store/storetest"
)

var lostAnswers = flag.Int("lost-answers", 250, "answers that TestLostAnswers loses on each engine")

// Creates whose answers are lost, and that are sent again, make one record each,
// whether their connection breaks before or after the server has answered, and
// whether the request has an id or the record does.
func TestLostAnswers(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		h := startOn(t, url)
		lossy := losing(t, strings.TrimPrefix(h.url, "http://"))
		token := "Bearer " + h.token("writer")
		sent := map[int]time.Time{}
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		send := func(base string, i int) (*http.Response, error) {
			body := fmt.Sprintf(`{"managedDeviceDisplayName": "%d"}`, i)
			if i%2 == 1 {
				body = fmt.Sprintf(`{"id": "own-%d"}`, i)
			}
			r, err := http.NewRequestWithContext(t.Context(), "POST", base+collection, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", token)
			if i%2 == 0 {
				r.Header.Set("Repeatability-Request-ID", fmt.Sprint("request ", i))
				r.Header.Set("Repeatability-First-Sent", sent[i].Format(http.TimeFormat))
			}
			return client.Do(r)
		}
		made := map[string]bool{}
		for i := range *lostAnswers {
			sent[i] = time.Now().UTC()
			if res, err := send(lossy, i); err == nil {
				t.Fatal("an answer was not lost: ", res.Status)
			}
			var locations [2]string
			for again := range locations {
				res, err := send(h.url, i)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if locations[again] = res.Header.Get("Location"); res.StatusCode != http.StatusCreated {
					t.Fatalf("sent again: %d %s", res.StatusCode, body)
				}
			}
			if locations[0] != locations[1] || made[locations[0]] {
				t.Fatalf("request %d made %v", i, locations)
			}
			made[locations[0]] = true
		}
		tn, err := h.db.Tenant(t.Context(), authtest.Tenant)
		if err != nil {
			t.Fatal(err)
		}
		changes := 0
		if err := h.db.Changes(t.Context(), tn, 0, 1<<30, func(*certstate.Change) error { changes++; return nil }); err != nil {
			t.Fatal(err)
		}
		if changes != *lostAnswers {
			t.Errorf("%d changes, want %d", changes, *lostAnswers)
		}
	})
}

// losing is a server in front of another that passes requests on and breaks the
// connection: once the answer is there, or as soon as the request is on its way.
func losing(t *testing.T, to string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for n := 0; ; n++ {
			in, err := l.Accept()
			if err != nil {
				return
			}
			lose(in, to, n%4 < 3)
		}
	}()
	return "http://" + l.Addr().String()
}

func lose(in net.Conn, to string, late bool) {
	defer in.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	request := make([]byte, 64<<10)
	n := 0
	for !strings.Contains(string(request[:n]), "}") { // the body is one object
		more, err := in.Read(request[n:])
		if err != nil {
			return
		}
		n += more
	}
	if _, err := out.Write(request[:n]); err == nil && late {
		_, _ = out.Read(request[:1])
	}
}
