package store_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"certstate"
	"certstate/edm"
	"certstate/store"
)

// BenchmarkCreate is a durable creation, 32 at a time.
func BenchmarkCreate(b *testing.B) {
	s, err := store.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "x.db"), store.Options{Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, err := s.AddTenant(b.Context(), tenantID, ""); err != nil {
		b.Fatal(err)
	}
	tn, err := s.Tenant(b.Context(), tenantID)
	if err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			st := certstate.State{DeviceName: edm.Str(fmt.Sprintf("LAPTOP-%06d", i)), UserPrincipalName: edm.Str(fmt.Sprintf("user.%05d@fleet.example", i%20_000)),
				Issuer: edm.Str("CN=Fleet Device CA 01, OU=Managed devices, O=Fleet Example"), Subject: edm.Str(fmt.Sprintf("CN=LAPTOP-%06d, OU=Managed devices, O=Fleet Example", i)),
				Thumbprint: edm.Str(fmt.Sprintf("%040X", i*7919)), Serial: edm.Str(fmt.Sprintf("%032X", i*104729)), KeyUsages: edm.Int(160), NotAfter: edm.DateTimeOffset{Ticks: i}}
			if _, err := s.Create(b.Context(), tn, st, by); err != nil {
				b.Error(err)
			}
		}
	})
}
