package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"certstate"
	"certstate/auth/authtest"
	"certstate/edm"
	"certstate/store"
	"certstate/store/storetest"
)

const sourcesPath = "/beta/certstate/sources"

// gapsIn gives a tenant a source with so many gaps.
func gapsIn(t *testing.T, h *harness, tenantID string, n int) {
	t.Helper()
	tn, err := h.db.Tenant(t.Context(), tenantID)
	if err == nil {
		_, err = h.db.AddSource(t.Context(), tn, store.Source{Name: "lab", Kind: "step-ca", Settings: []byte(`{"secret": "c2VjcmV0"}`)})
	}
	if err != nil {
		t.Fatal(err)
	}
	read := func(do func() error) {
		t.Helper()
		_, err := h.db.ReadSource(t.Context(), tn, "lab")
		if err := errors.Join(err, do()); err != nil {
			t.Fatal(err)
		}
	}
	read(func() error { return h.db.SourceRead(t.Context(), tn, "lab", edm.DateTimeOffset{Ticks: 1e17}, "") })
	var list []store.Sighting
	for i := range n {
		list = append(list, store.Sighting{Key: fmt.Sprint(100 + i), Via: store.Recovered, Origin: "scep (SCEP)"})
	}
	read(func() error {
		faults, err := h.db.Sight(t.Context(), tn, "lab", list, certstate.Cause{})
		return errors.Join(append(faults, err)...)
	})
	read(func() error {
		return h.db.SourceRead(t.Context(), tn, "lab", edm.DateTimeOffset{}, "its database is away")
	})
}

// Sources and their gaps are read by who may read, each tenant's by itself; settings
// are not told.
func TestSources(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		h := startOn(t, url)
		gapsIn(t, h, authtest.Tenant, 5)
		status, list := askJSON(t, h, "reader", http.MethodGet, sourcesPath, "")
		text := fmt.Sprint(list)
		if status != http.StatusOK || !strings.Contains(text, "gapCount:5") || !strings.Contains(text, "id:lab") || !strings.Contains(text, "fault:its database is away") || strings.Contains(text, "c2Vj") {
			t.Errorf("%d %s", status, text)
		}
		status, one := askJSON(t, h, "reader", http.MethodGet, sourcesPath+"/lab", "")
		if status != http.StatusOK || one["knownCount"] != 5.0 || one["lastTriedDateTime"] == nil {
			t.Errorf("%d %v", status, one)
		}
		var serials []any
		next := h.url + "/beta/Certstate/Sources('lab')/gaps?$top=2"
		for next != "" {
			status, page := askJSON(t, h, "reader", http.MethodGet, next, "")
			if status != http.StatusOK || len(page["value"].([]any)) > 2 {
				t.Fatalf("%d %v", status, page)
			}
			for _, g := range page["value"].([]any) {
				serials = append(serials, g.(map[string]any)["serialNumber"])
			}
			next, _ = page["@odata.nextLink"].(string)
		}
		if fmt.Sprint(serials) != "[100 101 102 103 104]" {
			t.Errorf("gaps %v", serials)
		}
		for _, c := range []struct {
			who, method, path string
			status            int
		}{
			{"nobody", http.MethodGet, "", http.StatusForbidden},
			{"", http.MethodGet, "/lab/gaps", http.StatusUnauthorized},
			{"writer", http.MethodPost, "", http.StatusMethodNotAllowed},
			{"reader", http.MethodGet, "/none", http.StatusNotFound},
			{"reader", http.MethodGet, "/none/gaps", http.StatusNotFound},
			{"reader", http.MethodGet, "/lab/holes", http.StatusBadRequest},
			{"reader", http.MethodGet, "/lab/gaps/100", http.StatusBadRequest},
			{"reader", http.MethodGet, "/lab/gaps?$skiptoken=x", http.StatusBadRequest},
			{"reader", http.MethodGet, "?$filter=true", http.StatusBadRequest},
			{"other-tenant", http.MethodGet, "/lab", http.StatusNotFound},
			{"other-tenant", http.MethodGet, "/lab/gaps", http.StatusNotFound},
		} {
			if status, answer := askJSON(t, h, c.who, c.method, sourcesPath+c.path, ""); status != c.status {
				t.Errorf("%s %s as %q: %d %v, want %d", c.method, c.path, c.who, status, answer, c.status)
			}
		}
		if status, list := askJSON(t, h, "other-tenant", http.MethodGet, sourcesPath, ""); status != http.StatusOK || len(list["value"].([]any)) != 0 {
			t.Errorf("%d %v", status, list)
		}
	})
}
