package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"certstate"
	"certstate/auth/authtest"
	"certstate/edm"
)

const benchSet = "/beta/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates"

// discard is a response that nobody reads.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

// BenchmarkGet is the handler's own cost of a get, without net/http.
func BenchmarkGet(b *testing.B) {
	h := start(b)
	h.createLaptops(b, 0, 3000)
	h.repeat(b, benchSet+"/LAPTOP-0000077")
}

// BenchmarkSearch is that of a search by a rare word.
func BenchmarkSearch(b *testing.B) {
	h := start(b)
	h.createLaptops(b, 0, 3000)
	h.repeat(b, benchSet+"?$search=0000077&$top=100")
}

// BenchmarkDelta is that of a page of a hundred changes.
func BenchmarkDelta(b *testing.B) {
	h := start(b)
	h.createLaptops(b, 0, 3000)
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, h.benchRequest(benchSet+"/delta?$top=200&$deltatoken=latest"))
	var page struct {
		Link string `json:"@odata.deltaLink"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
		b.Fatal(err)
	}
	h.createLaptops(b, 3000, 3100)
	h.repeat(b, page.Link)
}

func (h *harness) createLaptops(b *testing.B, from, to int) {
	tn, err := h.db.Tenant(b.Context(), authtest.Tenant)
	if err != nil {
		b.Fatal(err)
	}
	for i := from; i < to; i++ {
		name := fmt.Sprintf("LAPTOP-%07d", i)
		st := certstate.State{ID: edm.Str(name), DeviceName: edm.Str(name), Subject: edm.Str("CN=" + name + ", OU=Managed devices, O=Fleet Example"),
			UserPrincipalName: edm.Str(fmt.Sprintf("user.%06d@fleet.example", 9000+i)), Issuer: edm.Str(strings.Repeat("i", 40)),
			NotAfter: edm.DateTimeOffset{Ticks: 638_712_000_000_000_000}, Serial: edm.Str(fmt.Sprintf("%032X", i*104729)), KeyUsages: edm.Int(160)}
		if _, err := h.db.Create(b.Context(), tn, st, certstate.Cause{}); err != nil {
			b.Fatal(err)
		}
	}
}

func (h *harness) benchRequest(url string) *http.Request {
	r := httptest.NewRequest("GET", url, nil)
	r.Header.Set("Authorization", "Bearer "+h.token("writer"))
	r.Header.Set("Accept", "application/json")
	return r
}

func (h *harness) repeat(b *testing.B, url string) {
	r := h.benchRequest(url)
	b.ReportAllocs()
	for b.Loop() {
		w := &discard{http.Header{}}
		h.server.ServeHTTP(w, r)
		if w.h.Get("Content-Type") == "application/json" { // an error's
			b.Fatal("refused")
		}
	}
}
