package store_test

import (
	"cmp"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/store"
)

var renewingDevices = flag.Int("renewing-devices", 600, "devices of TestStalledRenewals, on each engine")

// fleet is devices that renew their certificates of a hundred days when a fifth of
// the time is left, or some days later; but for those that have stopped.
type fleet struct {
	*mathrand.Rand
	clock   at
	store   *store.Store
	tenant  store.Tenant
	stopped []bool      // by device
	ends    []time.Time // of its newest certificate
	issued  []int       // certificates
}

const (
	lifetime  = 100 * 24 * time.Hour
	threshold = 20 // percent, as Intune's profiles have it
	patience  = lifetime / 100 * threshold / 2
)

// issue has the devices get certificates.
func (f *fleet) issue(t *testing.T, devices []int) {
	t.Helper()
	var list []store.Entry
	for _, d := range devices {
		f.issued[d]++
		f.ends[d] = f.clock.time().Add(lifetime)
		st := certstate.State{ID: edm.Str(fmt.Sprintf("%d-%d", d, f.issued[d])), DeviceID: edm.Str(fmt.Sprint(d)), PolicyID: edm.Str("wifi"),
			KeyUsages: edm.Int(160), ExtendedKeyUsages: edm.Str("1.3.6.1.5.5.7.3.2"), NotBefore: edm.Time(f.clock.time()), NotAfter: edm.Time(f.ends[d])}
		list = append(list, store.Entry{Registration: store.Registration{State: st, Set: certstate.All}})
	}
	for chunk := range slices.Chunk(list, 500) {
		if _, faults, err := f.store.Bring(t.Context(), f.tenant, chunk, false, by); err != nil || slices.ContainsFunc(faults, func(err error) bool { return err != nil }) {
			t.Fatal(err, faults)
		}
	}
}

// pass has a day go by: devices renew, some late, and the register looks at those
// whose time has come.
func (f *fleet) pass(t *testing.T) {
	t.Helper()
	f.clock.set(f.clock.time().Add(24 * time.Hour))
	var renewing []int
	for d, stopped := range f.stopped {
		left := f.ends[d].Sub(f.clock.time())
		due := left < lifetime*threshold/100 && (f.IntN(4) == 0 || left < patience+36*time.Hour)
		if due && !stopped {
			renewing = append(renewing, d)
		}
	}
	f.issue(t, renewing)
	if err := f.store.Revisit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// truth is which records have stalled.
func (f *fleet) truth() (ids []string) {
	for d, stopped := range f.stopped {
		if stopped && f.ends[d].Sub(f.clock.time()) <= patience {
			ids = append(ids, fmt.Sprintf("%d-%d", d, f.issued[d]))
		}
	}
	slices.Sort(ids)
	return ids
}

// Of a fleet of which 3 % stop renewing, the register finds exactly those, day by
// day, past their end too, and nothing of what was renewed; those that go on are
// found no longer, from the moment on.
func TestStalledRenewals(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		n := *renewingDevices
		f := &fleet{Rand: mathrand.New(mathrand.NewPCG(mathrand.Uint64(), 1)), clock: at{now: firstDay}, stopped: make([]bool, n), ends: make([]time.Time, n), issued: make([]int, n)}
		f.store, f.tenant = openWith(t, url, store.Options{Now: f.clock.time, RenewalThreshold: threshold})
		for range 40 { // certificates of many ages
			var some []int
			for d := range n {
				if f.issued[d] == 0 && f.IntN(40) == 0 {
					some = append(some, d)
				}
			}
			f.issue(t, some)
			f.pass(t)
		}
		for d := range n {
			if f.issued[d] == 0 {
				f.issue(t, []int{d})
			}
		}
		halted := f.Perm(n)[:n*3/100]
		for _, d := range halted {
			f.stopped[d] = true
		}
		found := 0
		for range 120 {
			f.pass(t)
			got, want := stalledIDs(t.Context(), t, f.store, f.tenant), f.truth()
			if !slices.Equal(got, want) {
				t.Fatalf("on %s: found %q, want %q", f.clock.time(), got, want)
			}
			found = max(found, len(got))
		}
		if found != len(halted) {
			t.Errorf("%d of %d have stalled", found, len(halted))
		}
		f.issue(t, halted[1:]) // they come back
		if got := stalledIDs(t.Context(), t, f.store, f.tenant); len(got) != 1 {
			t.Errorf("still found: %q", got)
		}
		f.neverFound(t, halted)
		if err := f.store.Verify(t.Context(), quietly); err != nil {
			t.Error(err)
		}
	})
}

// neverFound checks that no device was ever found but those that had stopped, each
// once.
func (f *fleet) neverFound(t *testing.T, halted []int) {
	t.Helper()
	times := map[string]int{}
	if err := f.store.Changes(t.Context(), f.tenant, 0, 1<<30, func(c *certstate.Change) error {
		if c.Reason == "renewal: stalled" {
			device, _, _ := strings.Cut(c.ID, "-")
			times[device]++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, d := range halted {
		if times[fmt.Sprint(d)] != 1 {
			t.Errorf("device %d was found %d times", d, times[fmt.Sprint(d)])
		}
		delete(times, fmt.Sprint(d))
	}
	if len(times) > 0 {
		t.Errorf("found, and had not stopped: %v", times)
	}
}

// What makes a renewal that has stalled one that has not: each in one change, in
// the transaction of what did it.
func TestStalledNoLonger(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		clock := &at{now: firstDay}
		s, tn := openWith(t, url, store.Options{Now: clock.time, RenewalThreshold: 20})
		make := func(id string) certstate.State {
			t.Helper()
			st := certstate.State{ID: edm.Str(id), DeviceID: edm.Str(id[:1]), PolicyID: edm.Str("p"), KeyUsages: edm.Int(128), NotBefore: day(len(id)), NotAfter: day(len(id) + 100)}
			out, err := s.Create(t.Context(), tn, st, by)
			if err != nil {
				t.Fatal(err)
			}
			return *out
		}
		for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
			make(id)
		}
		clock.set(firstDay.AddDate(0, 0, 300))
		for range 2 { // the second finds no more
			if err := s.Revisit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := stalledIDs(t.Context(), t, s, tn); len(got) != 6 {
			t.Fatalf("found %q", got)
		}
		update := func(id string, patch certstate.State, names ...string) {
			t.Helper()
			if _, err := s.Update(t.Context(), tn, id, &patch, setOf(names...), nil, by); err != nil {
				t.Fatal(err)
			}
		}
		update("a", certstate.State{RevokeStatus: certstate.Pending}, "certificateRevokeStatus")
		update("b", certstate.State{NotAfter: day(1000)}, "certificateExpirationDateTime")
		update("c", certstate.State{}, "deviceId")
		update("e", certstate.State{Source: edm.Str("x"), Serial: edm.Str("1")}, "source", "certificateSerialNumber")
		make("dd")
		if got := stalledIDs(t.Context(), t, s, tn); !slices.Equal(got, []string{"dd", "e", "f"}) {
			t.Errorf("found %q", got)
		}
		if err := s.Delete(t.Context(), tn, "dd", nil, by); err != nil { // its predecessor has none again
			t.Fatal(err)
		}
		update("b", certstate.State{NotAfter: day(101)}, "certificateExpirationDateTime")
		update("a", certstate.State{}, "certificateRevokeStatus")
		if err := s.Revisit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := stalledIDs(t.Context(), t, s, tn); !slices.Equal(got, []string{"a", "b", "d", "e", "f"}) {
			t.Errorf("found %q", got)
		}
		if err := s.Verify(t.Context(), quietly); err != nil {
			t.Error(err)
		}
	})
}

// What is brought in overdue is found stalled as it is written, by a store that was
// told no threshold too: looking at it changes nothing.
func TestOverdueWhenBrought(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		clock := &at{now: firstDay.AddDate(0, 0, 80)}
		s, tn := openWith(t, url, store.Options{Now: clock.time})
		list := make([]store.Entry, 100)
		var want []string
		for left := range list { // days
			id := fmt.Sprintf("%02d", left)
			list[left].Set = certstate.All
			list[left].State = certstate.State{ID: edm.Str(id), DeviceID: edm.Str(id), PolicyID: edm.Str("p"), KeyUsages: edm.Int(128), NotBefore: day(left - 20), NotAfter: day(left + 80)}
			if left <= 10 {
				want = append(want, id)
			}
		}
		err := s.WithoutIndexes(t.Context(), func() error {
			_, _, err := s.Bring(t.Context(), tn, list, false, by)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got := stalledIDs(t.Context(), t, s, tn); !slices.Equal(got, want) {
				t.Errorf("found %q, want %q", got, want)
			}
			if err := s.Revisit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := headOf(t, s, tn).N; n != int64(len(list)) {
			t.Errorf("%d changes for %d records", n, len(list))
		}
		if err := s.Verify(t.Context(), quietly); err != nil {
			t.Error(err)
		}
	})
}

// Another threshold goes for what was looked at before, too.
func TestRenewalThreshold(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		clock := &at{now: firstDay}
		first, tn := openWith(t, url, store.Options{Now: clock.time, RenewalThreshold: store.NoThreshold})
		for left := range 60 { // days that are left on day 60
			st := certstate.State{ID: edm.Str(fmt.Sprintf("%02d", left)), DeviceID: edm.Str(fmt.Sprint(left)), PolicyID: edm.Str("p"), KeyUsages: edm.Int(128), NotBefore: day(left - 40), NotAfter: day(left + 60)}
			if _, err := first.Create(t.Context(), tn, st, by); err != nil {
				t.Fatal(err)
			}
		}
		clock.set(firstDay.AddDate(0, 0, 60))
		for _, threshold := range []int{20, 80, 99, 0, 10, 20} {
			s, tn := openWith(t, url, store.Options{Now: clock.time, RenewalThreshold: cmp.Or(threshold, store.NoThreshold)})
			for range 2 {
				if err := s.Revisit(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			var want []string
			for left := range 60 {
				if threshold > 0 && 2*left <= threshold {
					want = append(want, fmt.Sprintf("%02d", left))
				}
			}
			if got := stalledIDs(t.Context(), t, s, tn); !slices.Equal(got, want) {
				t.Errorf("with %d percent: found %q, want %q", threshold, got, want)
			}
			if err := s.Verify(t.Context(), quietly); err != nil {
				t.Error(err)
			}
		}
	})
}
