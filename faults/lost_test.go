package faults

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A server that takes a request and dies may have done it: a write is answered 503
// with Retry-After, and goes to no other server, nor is the client made to send it
// again. It is not the first request of its connection, which HAProxy would take for an
// excuse to close it. A read goes to another.
func TestLostServer(t *testing.T) {
	t.Parallel()
	for _, kind := range balancers {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			var taken atomic.Int64
			b := balance(t, t.TempDir(), kind, freeAddress(t), addresses(dying(t, &taken)))
			c := newClient(&register{token: "none", until: time.Now().Add(time.Hour)}, b.transport())
			for _, method := range []string{http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodGet} {
				time.Sleep(2100 * time.Millisecond) // nginx tries nobody whom it saw fail a second ago, and counts whole ones
				if a, err := c.send(t.Context(), http.MethodGet, b.url, nil, http.Header{alive: {"yes"}}); err != nil || a.status != http.StatusOK {
					t.Fatal(a, err)
				}
				before := taken.Load()
				a, err := c.send(t.Context(), method, b.url, []byte("{}"), nil)
				if err != nil || a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "1" ||
					!strings.HasPrefix(string(a.body), `{"error":{"code":"ServiceUnavailable"`) {
					t.Errorf("%s: %v %v", method, a, err)
				}
				n, often := taken.Load()-before, method == http.MethodGet || method == kind.repeats
				if often != (n > 1) || n == 0 {
					t.Errorf("%s was sent %d times", method, n)
				}
			}
		})
	}
}

// A server that cannot be reached has not seen the request: whatever it is, it
// goes to another at once.
func TestUnreachableServer(t *testing.T) {
	t.Parallel()
	for _, kind := range balancers {
		t.Run(kind.name, func(t *testing.T) {
			var taken atomic.Int64
			servers := dying(t, &taken)
			b := balance(t, t.TempDir(), kind, freeAddress(t), addresses(servers))
			c := newClient(&register{token: "none", until: time.Now().Add(time.Hour)}, b.transport())
			servers[0].Close()
			for range 10 {
				for _, method := range methods {
					if a, err := c.send(t.Context(), method, b.url, []byte("{}"), http.Header{alive: {"yes"}}); err != nil || a.status != http.StatusOK {
						t.Error(method, a, err)
					}
				}
			}
		})
	}
}

// alive is a header that a dying server answers.
const alive = "X-Alive"

// dying starts two servers that take requests, count them and give no answer.
func dying(t testing.TB, taken *atomic.Int64) (servers []*httptest.Server) {
	for range 2 {
		srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/readyz" && r.Header.Get(alive) == "" {
				taken.Add(1)
				panic(http.ErrAbortHandler)
			}
		}))
		t.Cleanup(srv.Close)
		servers = append(servers, srv)
	}
	return servers
}

func addresses(servers []*httptest.Server) (list []string) {
	for _, srv := range servers {
		list = append(list, srv.Listener.Addr().String())
	}
	return list
}
