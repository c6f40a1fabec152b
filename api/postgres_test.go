package api_test

import (
	"net/http"
	"testing"

	"certstate/store/storetest"
)

// A database that is away is answered with 503 and a time to come again, and the
// server goes on by itself once it is back.
func TestDatabaseAway(t *testing.T) {
	cluster, err := storetest.Start()
	if err != nil {
		t.Skip("no PostgreSQL: ", err)
	}
	t.Cleanup(cluster.Stop)
	url, err := cluster.Create(t.Context(), "away")
	if err != nil {
		t.Fatal(err)
	}
	h := startOn(t, url)
	const set = "/beta/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates"
	expect := func(path string, status int) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+h.token("reader"))
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != status || status == http.StatusServiceUnavailable && path == set && res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %s, Retry-After %q; want %d", path, res.Status, res.Header.Get("Retry-After"), status)
		}
	}
	expect(set, http.StatusOK)
	cluster.Crash()
	expect(set, http.StatusServiceUnavailable)
	expect("/readyz", http.StatusServiceUnavailable)
	expect("/healthz", http.StatusOK)
	if err := cluster.Restart(); err != nil {
		t.Fatal(err)
	}
	expect(set, http.StatusOK)
	expect("/readyz", http.StatusOK)
}
