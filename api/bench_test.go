package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"certstate"
	"certstate/auth/authtest"
	"certstate/edm"
)

// discard is a response that nobody reads.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

// BenchmarkGet is the handler's own cost of a get, without net/http.
func BenchmarkGet(b *testing.B) {
	h := start(b)
	tn, err := h.db.Tenant(b.Context(), authtest.Tenant)
	if err != nil {
		b.Fatal(err)
	}
	st := certstate.State{ID: edm.Str("one"), Subject: edm.Str(strings.Repeat("s", 60)), Issuer: edm.Str(strings.Repeat("i", 40))}
	if _, err := h.db.Create(b.Context(), tn, st, certstate.Cause{}); err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/beta/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates/one", nil)
	r.Header.Set("Authorization", "Bearer "+h.token("writer"))
	r.Header.Set("Accept", "application/json")
	b.ReportAllocs()
	for b.Loop() {
		w := &discard{http.Header{}}
		h.server.ServeHTTP(w, r)
		if w.h.Get("Content-Type") == "application/json" { // an error's
			b.Fatal("not found")
		}
	}
}
