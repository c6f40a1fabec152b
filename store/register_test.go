package store_test

import (
	"strings"
	"testing"

	"certstate"
	"certstate/edm"
	"certstate/store"
)

// A list of which one cannot be registered leaves nothing behind.
func TestRegisterAllOrNothing(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		report := func(cert int, id string) store.Registration {
			r := store.Registration{State: certstate.State{Certificate: edm.Bin(certificates()[cert]), DeviceName: edm.Str("one")}, Set: certstate.KeySet << 3}
			if id != "" {
				r.State.ID, r.Set = edm.Str(id), r.Set|certstate.KeySet
			}
			return r
		}
		if _, err := s.Register(t.Context(), tn, []store.Registration{report(0, "")}, by); err != nil {
			t.Fatal(err)
		}
		_, err := s.Register(t.Context(), tn, []store.Registration{report(1, ""), report(0, "other")}, by)
		if certstate.ErrorCode(err) != certstate.Conflict || !strings.HasPrefix(err.Error(), "At 1 of 'states': ") {
			t.Errorf("a certificate that has another id: %v", err)
		}
		if n, err := s.Live(t.Context(), tn); n != 1 || err != nil {
			t.Errorf("%d records, %v, want 1", n, err)
		}
	})
}

// A certificate on a device is one record, however often it is reported; on
// another device it is another record, and found on both.
func TestRegister(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		report := func(cert int, device, deviceID string, more ...func(*store.Registration)) *certstate.State {
			t.Helper()
			r := store.Registration{State: certstate.State{Certificate: edm.Bin(certificates()[cert]), DeviceName: edm.Str(device)}, Set: certstate.KeySet << 3}
			if deviceID != "" {
				r.State.DeviceID, r.Set = edm.Str(deviceID), r.Set|certstate.KeySet<<13
			}
			for _, f := range more {
				f(&r)
			}
			out, err := s.Register(t.Context(), tn, []store.Registration{r}, by)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.Get(t.Context(), tn, out[0].ID.S, certstate.All); err != nil || *got != out[0] {
				t.Fatalf("got  %+v, %v\nwant %+v", got, err, out[0])
			}
			return &out[0]
		}
		find := func(id string) *certstate.State {
			t.Helper()
			st, err := s.Get(t.Context(), tn, id, certstate.All)
			if err != nil {
				t.Fatal(err)
			}
			return st
		}
		first := report(0, "one", "")
		if again := report(0, "one", ""); *again != *first {
			t.Errorf("reported again: %+v\nwant %+v", again, first)
		}
		if named := report(0, "one", "d1"); named.ID != first.ID || named.DeviceID.S != "d1" || named.Version == first.Version {
			t.Errorf("reported with the device's id: %+v", named)
		}
		if renamed := report(0, "uno", "d1"); renamed.ID != first.ID || renamed.DeviceName.S != "uno" {
			t.Errorf("reported under another name: %+v", renamed)
		}
		if other := report(1, "uno", "d1"); other.ID == first.ID || other.Findings != 0 {
			t.Errorf("another certificate: %+v", other)
		}
		second := report(0, "two", "d2")
		if second.ID == first.ID || second.Findings != certstate.SharedCertificate || find(first.ID.S).Findings != certstate.SharedCertificate {
			t.Errorf("on a second device: %+v and %+v", second, find(first.ID.S))
		}
		if err := s.Delete(t.Context(), tn, second.ID.S, nil, by); err != nil {
			t.Fatal(err)
		}
		if alone := find(first.ID.S); alone.Findings != 0 {
			t.Errorf("alone again: %+v", alone)
		}
		stated := report(0, "uno", "d1", func(r *store.Registration) {
			r.State.Serial = edm.Str("4256")
			r.Set |= certstate.KeySet << 8
		})
		if stated.ID != first.ID || stated.Findings != certstate.SerialRadix {
			t.Errorf("with a serial number in decimal: %+v", stated)
		}
		if n, err := s.Live(t.Context(), tn); err != nil || n != 2 {
			t.Errorf("%d records, %v", n, err)
		}

		bad := []store.Registration{{State: certstate.State{Certificate: edm.Bin(certificates()[2])}}, {State: certstate.State{}}}
		if _, err := s.Register(t.Context(), tn, bad, by); certstate.ErrorCode(err) != certstate.Invalid || !strings.Contains(err.Error(), "At 1 of 'states'") {
			t.Errorf("one without a certificate: %v", err)
		}
		if n, err := s.Live(t.Context(), tn); err != nil || n != 2 {
			t.Errorf("%d records, %v", n, err)
		}
		if err := s.Verify(t.Context(), func(int64) {}); err != nil {
			t.Error(err)
		}
	})
}
