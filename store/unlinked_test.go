package store

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"certstate"
	"certstate/edm"
	"certstate/store/storetest"
)

// Records of a release before there were lineages are linked when they are looked at,
// in a register restored in between too; until then they have no links and changes go on.
func TestLinksOfAnOldRelease(t *testing.T) {
	Partition()
	for _, e := range storetest.Engines {
		t.Run(e.Name, func(t *testing.T) {
			url := e.URL(t)
			source := opened(t, e.URL(t), Options{})
			tn := renewed(t, source)
			before := slices.IndexFunc(source.d.migrations(), func(text string) bool { return strings.Contains(text, "supersedes") })
			old := oldRelease(t, url, before)
			old.fillFrom(t, source)
			if err := old.release(); err != nil {
				t.Fatal(err)
			}
			s := opened(t, url, Options{})
			for i, check := range []func(){
				func() {},
				func() { makeRenewal(t, s, tn, 3, 9) }, // of a device all of whose records are not linked
				func() { failRevocation(t, s, tn, "2-1") },
			} {
				if check(); len(linksOf(t, s)) >= len(linksOf(t, source)) {
					t.Errorf("step %d: there are links already", i)
				}
				if err := s.Verify(t.Context(), func(int64) {}); err != nil {
					t.Fatal(err)
				}
			}
			makeRenewal(t, source, tn, 3, 9)
			failRevocation(t, source, tn, "2-1")
			var backup bytes.Buffer
			if _, err := s.Backup(t.Context(), &backup, func(int64) {}); err != nil {
				t.Fatal(err)
			}
			restored := opened(t, e.URL(t), Options{Serve: true})
			if _, err := restored.Restore(t.Context(), &backup, func(int64) {}); err != nil {
				t.Fatal(err)
			}
			for name, s := range map[string]*Store{"upgraded": s, "restored": restored} {
				if err := s.Revisit(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got, want := linksOf(t, s), linksOf(t, source); !slices.Equal(got, want) {
					t.Errorf("%s: links\n%q\nwant\n%q", name, got, want)
				}
				if left := texts(t, s.read, "SELECT id FROM state WHERE lineage = -1"); len(left) > 0 {
					t.Errorf("%s: %q are not linked", name, left)
				}
				if err := s.Verify(t.Context(), func(int64) {}); err != nil {
					t.Error(name, err)
				}
			}
		})
	}
}

func opened(t *testing.T, url string, o Options) *Store {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	s, err := Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// renewed makes a tenant with devices that have renewed their certificates.
func renewed(t *testing.T, s *Store) Tenant {
	t.Helper()
	if _, err := s.AddTenant(t.Context(), testTenant, "Test"); err != nil {
		t.Fatal(err)
	}
	tn, err := s.Tenant(t.Context(), testTenant)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		makeRenewal(t, s, tn, i%100, i/100)
	}
	return tn
}

// makeRenewal makes a device's certificate with a number.
func makeRenewal(t *testing.T, s *Store, tn Tenant, device, n int) {
	t.Helper()
	st := certstate.State{ID: edm.Str(fmt.Sprintf("%d-%d", device, n)), DeviceID: edm.Str(fmt.Sprint(device)), PolicyID: edm.Str("p"), KeyUsages: edm.Int(128),
		NotBefore: edm.DateTimeOffset{Ticks: int64(1 + n)}, NotAfter: edm.DateTimeOffset{Ticks: int64(100 + n)}}
	if _, err := s.Create(t.Context(), tn, st, certstate.Cause{Actor: "a"}); err != nil {
		t.Fatal(err)
	}
}

func failRevocation(t *testing.T, s *Store, tn Tenant, id string) {
	t.Helper()
	if _, err := s.Update(t.Context(), tn, id, &certstate.State{RevokeStatus: certstate.Failed}, setOf("certificateRevokeStatus"), nil, certstate.Cause{Actor: "a"}); err != nil {
		t.Fatal(err)
	}
}

// linksOf lists the records that have neighbours, and which.
func linksOf(t *testing.T, s *Store) []string {
	t.Helper()
	return texts(t, s.read, "SELECT id || ' ' || supersedes || ' ' || superseded_by FROM state WHERE supersedes <> '' OR superseded_by <> '' ORDER BY id")
}
