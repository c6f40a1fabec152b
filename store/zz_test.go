package store_test

import (
	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
	"fmt"
	"path/filepath"
	"testing"
)

func BenchmarkSearch(b *testing.B) {
	s, err := store.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "x.db"), store.Options{Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	s.AddTenant(b.Context(), tenantID, "")
	tn, _ := s.Tenant(b.Context(), tenantID)
	for j := 0; j < 10; j++ {
		var rs []certstate.State
		for i := 0; i < 2000; i++ {
			n := j*2000 + i
			rs = append(rs, certstate.State{DeviceName: edm.Str(fmt.Sprintf("LAPTOP-%07d", n)), Serial: edm.Str(fmt.Sprintf("%032X", n*7919)), Thumbprint: edm.Str(fmt.Sprintf("%040X", n*104729)), Subject: edm.Str(fmt.Sprintf("CN=LAPTOP-%07d, OU=Managed devices, O=Fleet Example", n))})
		}
		s.Load(b.Context(), tn, rs, by)
	}
	q, _ := odata.ParseQuery("$search=0000077&$top=100", odata.ListOptions)
	for b.Loop() {
		n := 0
		_, err := s.List(b.Context(), tn, &q, store.Position{}, 100, func(*certstate.State) error { n++; return nil })
		if err != nil || n != 1 {
			b.Fatal(n, err)
		}
	}
}
