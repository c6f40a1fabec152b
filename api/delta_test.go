package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"certstate"
	"certstate/auth/authtest"
	"certstate/edm"
)

// A link whose changes are no longer kept is answered with 410 and where to
// start again, as Graph documents.
func TestDeltaLinkBelowTheFloor(t *testing.T) {
	h := start(t)
	set := h.url + "/beta/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates"
	get := func(url string) (*http.Response, map[string]any) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+h.token("reader"))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var body map[string]any
		if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
			t.Fatal(err)
		}
		return res, body
	}
	tenant, err := h.db.Tenant(t.Context(), authtest.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	create := func(id string) {
		if _, err := h.db.Create(t.Context(), tenant, certstate.State{ID: edm.Str(id)}, certstate.Cause{}); err != nil {
			t.Fatal(err)
		}
	}
	create("a")
	create("b")
	_, first := get(set + "/delta?$top=1&$filter=id%20ne%20%27c%27")
	_, second := get(first["@odata.nextLink"].(string))
	create("c")
	if err := h.db.Prune(t.Context(), time.Now().Add(time.Minute), func(int64) {}); err != nil {
		t.Fatal(err)
	}
	for name, link := range map[string]any{"deltaLink": second["@odata.deltaLink"], "nextLink": first["@odata.nextLink"]} {
		res, body := get(link.(string))
		code := body["error"].(map[string]any)["code"]
		location := res.Header.Get("Location")
		if res.StatusCode != http.StatusGone || code != "syncStateNotFound" || !strings.HasPrefix(location, set+"/delta?$filter=id%20ne") || strings.Contains(location, "token") {
			t.Fatalf("%s: %d %v, Location %q", name, res.StatusCode, code, location)
		}
		if res, body := get(location); res.StatusCode != http.StatusOK || body["value"] == nil {
			t.Errorf("the fresh link: %d %v", res.StatusCode, body)
		}
	}
}
