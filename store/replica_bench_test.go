package store_test

import (
	"fmt"
	"testing"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
	"certstate/store/storetest"
)

// device is the n-th record of a benchmark.
func device(n int64) certstate.State {
	return certstate.State{ID: edm.Str(fmt.Sprintf("device-%08d", n)), DeviceName: edm.Str(fmt.Sprintf("LAPTOP-%06d", n)),
		UserPrincipalName: edm.Str(fmt.Sprintf("user.%05d@fleet.example", n%20_000)),
		Issuer:            edm.Str("CN=Fleet Device CA 01, OU=Managed devices, O=Fleet Example"),
		Subject:           edm.Str(fmt.Sprintf("CN=LAPTOP-%06d, OU=Managed devices, O=Fleet Example", n)),
		Thumbprint:        edm.Str(fmt.Sprintf("%040X", n*7919)), Serial: edm.Str(fmt.Sprintf("%032X", n*104729)),
		KeyUsages: edm.Int(160), NotAfter: edm.DateTimeOffset{Ticks: n}}
}

// BenchmarkReplica compares reads of the primary with the same on a replica that
// is up to date: what asking the primary and taking the snapshot costs.
func BenchmarkReplica(b *testing.B) {
	primary, err := storetest.Start()
	if err != nil {
		b.Skip("no PostgreSQL: ", err)
	}
	b.Cleanup(primary.Stop)
	standby, err := primary.Standby()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(standby.Stop)
	dsn, err := primary.Create(b.Context(), "bench")
	if err != nil {
		b.Fatal(err)
	}
	for _, read := range []string{"", standby.URL("bench")} {
		name := map[bool]string{true: "primary", false: "replica"}[read == ""]
		s, err := store.Open(b.Context(), dsn, store.Options{Log: quiet, ReadDatabase: read})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.AddTenant(b.Context(), tenantID, ""); err != nil {
			b.Fatal(err)
		}
		tn, err := s.Tenant(b.Context(), tenantID)
		if err != nil {
			b.Fatal(err)
		}
		if read == "" {
			for n := range int64(20_000) {
				st := device(n)
				go func() { _, _ = s.Create(b.Context(), tn, st, by) }()
				if n%500 == 499 {
					if _, err := s.Create(b.Context(), tn, device(1_000_000+n), by); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
		q, err := odata.ParseQuery("$filter=contains(managedDeviceDisplayName,'777')", odata.ListOptions)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("get/"+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Get(b.Context(), tn, "device-00000077", certstate.Defaults); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("page/"+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.List(b.Context(), tn, &odata.Query{Select: certstate.Defaults}, store.Position{}, 100, func(*certstate.State) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("count/"+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Count(b.Context(), tn, &q, edm.DateTimeOffset{}, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("head/"+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.FirstRound(b.Context(), tn); err != nil {
					b.Fatal(err)
				}
			}
		})
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}
}
