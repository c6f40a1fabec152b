package api_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"certstate/api"
	"certstate/odata"
)

// Requests over the limits of a tenant or an application are refused until the
// window ends; another tenant's are not, and nothing else is counted.
func TestThrottle(t *testing.T) {
	h := start(t)
	now := time.Now().Truncate(api.ThrottleWindow)
	h.cfg.Now = func() time.Time { return now }
	h.cfg.Throttle = api.Throttle{Tenant: api.Limit{Any: 6}, App: api.Limit{Any: 5, Writes: 2}}
	server, err := api.New(t.Context(), h.cfg)
	if err != nil {
		t.Fatal(err)
	}
	send := func(method, who string) (int, string) {
		r := httptest.NewRequest(method, "/beta/"+odata.CanonicalPath+"/x", nil)
		r.Header.Set("Authorization", "Bearer "+h.token(who))
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		return w.Code, w.Header().Get("Retry-After")
	}
	now = now.Add(5 * time.Second)
	for i, want := range []int{404, 404, 429, 404, 404, 404, 429} { // 2 writes, 1 refused, 3 reads, 1 refused
		method := http.MethodDelete
		if i > 2 {
			method = http.MethodGet
		}
		status, after := send(method, "writer")
		if status != want || (want == 429) != (after == "15") {
			t.Errorf("request %d: %d, Retry-After %q; want %d", i, status, after, want)
		}
	}
	if status, _ := send(http.MethodGet, "other-tenant"); status != 404 {
		t.Errorf("another tenant: %d", status)
	}
	now = now.Add(15 * time.Second)
	if status, _ := send(http.MethodGet, "writer"); status != 404 {
		t.Errorf("in the next window: %d", status)
	}
}

func TestParseThrottle(t *testing.T) {
	for text, want := range map[string]*api.Throttle{
		"off": {}, "": {}, "graph": &api.GraphThrottle,
		"tenant=10/2,app=5/1": {Tenant: api.Limit{Any: 10, Writes: 2}, App: api.Limit{Any: 5, Writes: 1}},
		"app=5/0":             {App: api.Limit{Any: 5}},
		"app=5":               nil, "user=5/1": nil, "app=-1/1": nil, "app=x/" + strconv.Itoa(1): nil, "Graph": nil,
	} {
		got, err := api.ParseThrottle(text)
		if (err != nil) != (want == nil) || want != nil && got != *want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}
