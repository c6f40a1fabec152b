package store_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"certstate"
	"certstate/edm"
	"certstate/store"
)

const nameSet = certstate.KeySet << 3

// What is brought in twice is there once, whichever way; and what a dry run says
// is what then happens.
func TestBring(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		named := func(way store.Way, id, device string) store.Entry {
			return store.Entry{Way: way, Registration: store.Registration{State: certstate.State{ID: edm.Str(id), DeviceName: edm.Str(device)}, Set: certstate.KeySet | nameSet}}
		}
		reported := func(cert int, device string) store.Entry {
			return store.Entry{Way: store.Report, Registration: store.Registration{State: certstate.State{Certificate: edm.Bin(certificates()[cert]), DeviceName: edm.Str(device)}, Set: nameSet}}
		}
		bad := named(store.Add, "..", "x")
		for n, c := range []struct {
			list  []store.Entry
			want  []store.Outcome
			fault string // of the last
		}{
			{[]store.Entry{named(store.Add, "a", "one"), reported(0, "one"), reported(0, "one"), bad}, []store.Outcome{store.Created, store.Created, store.Present, store.LeftOut}, `id cannot be "..": clients remove that segment from a URL.`},
			{[]store.Entry{named(store.Add, "a", "one"), reported(0, "one"), named(store.Merge, "a", "one")}, []store.Outcome{store.Present, store.Present, store.Present}, ""},
			{[]store.Entry{named(store.Merge, "a", "two"), named(store.Merge, "b", "two"), reported(0, "two")}, []store.Outcome{store.Updated, store.Created, store.Created}, ""},
			{[]store.Entry{named(store.Add, "c", "x"), named(store.Add, "a", "one")}, []store.Outcome{store.Created, store.LeftOut}, "A certificate state with id 'a' already exists, with another managedDeviceDisplayName."},
		} {
			for _, dry := range []bool{true, true, false} {
				outcomes, faults, err := s.Bring(t.Context(), tn, c.list, dry, by)
				if err != nil || !reflect.DeepEqual(outcomes, c.want) {
					t.Fatalf("%d, dry %v: %v %v, %v, want %v", n, dry, outcomes, faults, err, c.want)
				}
				if last := faults[len(faults)-1]; c.fault == "" && last != nil || c.fault != "" && (last == nil || last.Error() != c.fault) {
					t.Errorf("%d, dry %v: %v, want %s", n, dry, last, c.fault)
				}
			}
		}
		if n, err := s.Live(t.Context(), tn); err != nil || n != 5 {
			t.Errorf("%d records, %v, want 5", n, err)
		}
	})
}

// An import of records with certificates into an empty database asks, for each,
// who has its certificate: without an index that is a walk over all.
func TestBringCertificatesFast(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, err := store.Open(t.Context(), url, store.Options{Serve: true, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		err = s.WithoutIndexes(context.Background(), func() error {
			kept, err := s.IndexNames(t.Context())
			if err == nil && !slices.Contains(kept, "state_thumbprint_sha256") {
				err = fmt.Errorf("indexes during the load: %v", kept)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}
