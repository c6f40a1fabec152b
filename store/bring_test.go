package store_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/odata"
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

// A load into an empty register has no indexes to ask, and knows what it has brought
// all the same; from the first certificate that is known, it has the indexes that tell.
func TestBringIntoEmpty(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := openWith(t, url, store.Options{Serve: true})
		bring := func(want store.Outcome, state certstate.State) {
			t.Helper()
			e := store.Entry{Way: store.Merge, Registration: store.Registration{State: state, Set: nameSet}}
			if state.Certificate.Valid {
				e.Way = store.Report
			}
			outcomes, faults, err := s.Bring(t.Context(), tn, []store.Entry{e}, false, by)
			if err != nil || faults[0] != nil || outcomes[0] != want {
				t.Errorf("%v: %v, %v, want %v", outcomes, faults, err, want)
			}
		}
		names := func() []string {
			t.Helper()
			list, err := s.IndexNames(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		all := names()
		err := s.WithoutIndexes(t.Context(), func() error {
			before := names()
			if bulk := strings.HasPrefix(url, "sqlite:"); bulk != (len(before) == 0) {
				t.Errorf("indexes during the load: %v", before)
			}
			if bulk := len(before) == 0; bulk { // the log must not grow by all of the load
				soon, stop := context.WithTimeout(t.Context(), 5*time.Second)
				defer stop()
				if err := s.Checkpoint(soon); err != nil {
					t.Errorf("a checkpoint during the load: %v", err)
				}
			}
			for i, der := range certificates()[:2] {
				bring(store.Created, certstate.State{Certificate: edm.Bin(der), DeviceName: edm.Str("one")})
				bring(store.Created, certstate.State{ID: edm.Str(fmt.Sprint(i)), Serial: edm.Str("77"), Issuer: edm.Str("CN=x"), DeviceName: edm.Str(fmt.Sprint(i))})
			}
			if got := names(); !slices.Equal(got, before) {
				t.Errorf("indexes before anything is known: %v", got)
			}
			bring(store.Present, certstate.State{Certificate: edm.Bin(certificates()[0]), DeviceName: edm.Str("one")})
			bring(store.Created, certstate.State{Certificate: edm.Bin(certificates()[0]), DeviceName: edm.Str("two")})
			if got := names(); !slices.Contains(got, "state_thumbprint_sha256") || !slices.Contains(got, "state_serial") {
				t.Errorf("indexes once something is known: %v", got)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if got := names(); !slices.Equal(got, all) {
			t.Errorf("indexes after the load: %v, want %v", got, all)
		}
		shared := 0
		if _, err := s.List(t.Context(), tn, &odata.Query{Select: certstate.All}, store.Position{}, 100, func(st *certstate.State) error {
			if st.Findings == certstate.SharedCertificate {
				shared++
			}
			return nil
		}); err != nil || shared != 2 {
			t.Errorf("%d records share a certificate, %v, want 2", shared, err)
		}
	})
}
