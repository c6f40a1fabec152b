package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
)

// sighting is one of certificates(), as a source reports it.
func sighting(n int, via store.Via) store.Sighting {
	st := certstate.State{Certificate: edm.Bin(certificates()[n]), DeviceName: edm.Str(fmt.Sprint("device ", n)), Source: edm.Str("ca")}
	return store.Sighting{Key: fmt.Sprint(n), Via: via, Registration: store.Registration{State: st, Set: setOf("managedDeviceDisplayName", "source")}, Origin: "scep"}
}

func addSource(t *testing.T, s *store.Store, tn store.Tenant, name string) {
	t.Helper()
	if added, err := s.AddSource(t.Context(), tn, store.Source{Name: name, Kind: "test", Settings: []byte("{}")}); err != nil || !added {
		t.Fatal(added, err)
	}
}

// reader takes the lease of a source.
func reader(t *testing.T, s *store.Store, tn store.Tenant, name string) {
	t.Helper()
	if held, err := s.ReadSource(t.Context(), tn, name); err != nil || !held {
		t.Fatal(held, err)
	}
}

func sight(t *testing.T, s *store.Store, tn store.Tenant, name string, list ...store.Sighting) {
	t.Helper()
	faults, err := s.Sight(t.Context(), tn, name, list, by)
	if err := errors.Join(append(faults, err)...); err != nil {
		t.Fatal(err)
	}
}

// findings are those of the records of one of certificates().
func findings(t *testing.T, s *store.Store, tn store.Tenant, n int) (list []certstate.Findings) {
	t.Helper()
	for _, st := range all(t, s, tn) {
		if st.Certificate == edm.Bin(certificates()[n]) {
			list = append(list, st.Findings&certstate.NoLongerReported)
		}
	}
	return list
}

func all(t *testing.T, s *store.Store, tn store.Tenant) (list []certstate.State) {
	t.Helper()
	if _, err := s.List(t.Context(), tn, &odata.Query{Select: certstate.All}, store.Position{}, 1<<20, func(st *certstate.State) error {
		list = append(list, *st)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

// counts are what a source is known to have done.
func counts(t *testing.T, s *store.Store, tn store.Tenant, name string) [4]int64 {
	t.Helper()
	src, err := s.Source(t.Context(), tn, name)
	if err != nil {
		t.Fatal(err)
	}
	return [4]int64{src.Notified, src.Recovered, src.Unannounced, src.Gone}
}

// A source's certificates are records once, however they come to be known; what
// it should have told of is a gap until it does; what it reports no longer is
// marked and stays.
func TestSource(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		addSource(t, s, tn, "ca")
		want := func(what string, counted ...int64) {
			t.Helper()
			if got := counts(t, s, tn, "ca"); got != [4]int64(counted) {
				t.Errorf("%s: notified, recovered, unannounced, gone %v, want %v", what, got, counted)
			}
			if err := s.Verify(t.Context(), func(int64) {}); err != nil {
				t.Fatal(what, err)
			}
		}
		reader(t, s, tn, "ca")
		sight(t, s, tn, "ca", sighting(0, store.Recovered))
		want("what was there before", 0, 0, 1, 0)
		mark := edm.Time(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		if err := s.SourceRead(t.Context(), tn, "ca", mark, ""); err != nil {
			t.Fatal(err)
		}
		if src, err := s.Source(t.Context(), tn, "ca"); err != nil || src.Watermark != mark || src.Fault != "" || src.Seen.Ticks == 0 {
			t.Errorf("%+v, %v", src, err)
		}
		for range 2 {
			if err := s.Notify(t.Context(), tn, "ca", []store.Sighting{sighting(1, store.Notified)}, by); err != nil {
				t.Fatal(err)
			}
		}
		want("told twice", 1, 0, 1, 0)
		reader(t, s, tn, "ca")
		sight(t, s, tn, "ca", sighting(1, store.Recovered), sighting(2, store.Recovered), sighting(3, store.Unannounced), store.Sighting{Key: "authority", Via: store.Unannounced})
		want("read", 1, 1, 3, 0)
		var gaps []store.Gap
		if err := s.Gaps(t.Context(), tn, "ca", "", 10, func(g store.Gap) error { gaps = append(gaps, g); return nil }); err != nil || len(gaps) != 1 || gaps[0].Key != "2" || gaps[0].Origin != "scep" || gaps[0].SHA256 == "" {
			t.Errorf("gaps %+v, %v", gaps, err)
		}
		if err := s.Notify(t.Context(), tn, "ca", []store.Sighting{sighting(2, store.Notified)}, by); err != nil {
			t.Fatal(err)
		}
		want("told late", 2, 0, 3, 0)
		if n := len(all(t, s, tn)); n != 4 {
			t.Errorf("%d records, want 4", n)
		}
		if err := s.Vanish(t.Context(), tn, "ca", []string{"1", "1", "authority", "never was"}, by); err != nil {
			t.Fatal(err)
		}
		want("no longer reported", 2, 0, 3, 2)
		if got := findings(t, s, tn, 1); len(got) != 1 || got[0] != certstate.NoLongerReported {
			t.Errorf("no longer reported: %v", got)
		}
		sight(t, s, tn, "ca", sighting(1, store.Recovered))
		if got := findings(t, s, tn, 1); len(got) != 1 || got[0] != 0 {
			t.Errorf("reported again: %v", got)
		}
		want("reported again", 2, 0, 3, 1)
	})
}

// A record is marked once no source reports its certificate any more, and the mark
// stays when other things of it change.
func TestNoLongerReportedByAny(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		for _, name := range []string{"ca", "other"} {
			addSource(t, s, tn, name)
			reader(t, s, tn, name)
			sight(t, s, tn, name, sighting(0, store.Unannounced))
		}
		for i, name := range []string{"ca", "other"} {
			if err := s.Vanish(t.Context(), tn, name, []string{"0"}, by); err != nil {
				t.Fatal(err)
			}
			if got := findings(t, s, tn, 0); len(got) != 1 || got[0] != []certstate.Findings{0, certstate.NoLongerReported}[i] {
				t.Errorf("after %s: %v", name, got)
			}
		}
		st := all(t, s, tn)[0]
		if _, err := s.Update(t.Context(), tn, st.ID.S, &certstate.State{Subject: edm.Str("CN=else")}, setOf("certificateSubjectName"), nil, by); err != nil {
			t.Fatal(err)
		}
		if got := findings(t, s, tn, 0); got[0] != certstate.NoLongerReported {
			t.Errorf("after another change: %v", got)
		}
		addSource(t, s, tn, "third")
		if err := s.Notify(t.Context(), tn, "third", []store.Sighting{sighting(0, store.Notified)}, by); err != nil {
			t.Fatal(err)
		}
		if got := findings(t, s, tn, 0); got[0] != 0 {
			t.Errorf("reported by a third: %v", got)
		}
	})
}

// A source's revocation is the record's, once, with its reason in the history.
func TestSourceRevokes(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		addSource(t, s, tn, "ca")
		reader(t, s, tn, "ca")
		sight(t, s, tn, "ca", sighting(0, store.Unannounced), sighting(1, store.Unannounced))
		at := edm.Time(time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC))
		for range 2 {
			if err := s.Revoke(t.Context(), tn, "ca", []store.Revocation{{Key: "0", At: at, Reason: "lost"}, {Key: "unknown", At: at}}, by); err != nil {
				t.Fatal(err)
			}
		}
		for _, st := range all(t, s, tn) {
			if st.Certificate != edm.Bin(certificates()[0]) {
				continue
			}
			if st.RevokeStatus != certstate.Revoked || st.RevokeStatusChanged != at {
				t.Errorf("%v at %v", st.RevokeStatus, st.RevokeStatusChanged)
			}
			var reasons []string
			if err := s.History(t.Context(), tn, st.ID.S, 0, 10, func(c *certstate.Change) error { reasons = append(reasons, c.Reason); return nil }); err != nil || len(reasons) != 2 || reasons[1] != "lost" {
				t.Errorf("history %q, %v", reasons, err)
			}
		}
		list, err := s.Reports(t.Context(), tn, "ca", "", "", 10)
		if err != nil || len(list) != 2 || !list[0].Revoked || list[1].Revoked {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// One program at a time reads a source, and one that was silent for too long
// changes nothing more.
func TestOneReader(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		a, tn := open(t, url)
		b, _ := open(t, url)
		addSource(t, a, tn, "ca")
		reader(t, a, tn, "ca")
		reader(t, a, tn, "ca") // who has it may go on
		if held, err := b.ReadSource(t.Context(), tn, "ca"); held || err != nil {
			t.Fatal(held, err)
		}
		if err := a.EndLease(t.Context(), "ca"); err != nil {
			t.Fatal(err)
		}
		reader(t, b, tn, "ca")
		sight(t, b, tn, "ca", sighting(0, store.Unannounced))
		for what, do := range map[string]func() error{
			"sight": func() error {
				_, err := a.Sight(t.Context(), tn, "ca", []store.Sighting{sighting(1, store.Unannounced)}, by)
				return err
			},
			"vanish": func() error { return a.Vanish(t.Context(), tn, "ca", []string{"0"}, by) },
			"revoke": func() error { return a.Revoke(t.Context(), tn, "ca", []store.Revocation{{Key: "0"}}, by) },
			"end":    func() error { return a.SourceRead(t.Context(), tn, "ca", edm.DateTimeOffset{Ticks: 7}, "") },
			"keep":   func() error { return a.KeepReading(t.Context(), tn, "ca") },
		} {
			if err := do(); !errors.Is(err, store.ErrNotReader) {
				t.Errorf("%s by a reader whose lease ended: %v", what, err)
			}
		}
		if got := counts(t, a, tn, "ca"); got != [4]int64{0, 0, 1, 0} {
			t.Errorf("counts %v", got)
		}
		if err := a.RemoveSource(t.Context(), tn, "ca"); certstate.ErrorCode(err) != certstate.Conflict {
			t.Errorf("removed while it is read: %v", err)
		}
		if err := b.RemoveSource(t.Context(), tn, "ca"); err != nil {
			t.Error(err)
		}
		if _, err := b.Source(t.Context(), tn, "ca"); certstate.ErrorCode(err) != certstate.NotFound {
			t.Errorf("after it was removed: %v", err)
		}
		if n := len(all(t, a, tn)); n != 1 {
			t.Errorf("%d records are left, want 1", n)
		}
	})
}

// Tenants never meet, even with sources of one name; and a backup has them.
func TestSourcesOfTenants(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		const otherID = "22222222-2222-4333-8444-555555555555"
		if _, err := s.AddTenant(t.Context(), otherID, ""); err != nil {
			t.Fatal(err)
		}
		other := tenant(t, s, otherID)
		for _, t1 := range []store.Tenant{tn, other} {
			addSource(t, s, t1, "ca")
			reader(t, s, t1, "ca")
			sight(t, s, t1, "ca", sighting(0, store.Unannounced))
		}
		if err := s.Vanish(t.Context(), tn, "ca", []string{"0"}, by); err != nil {
			t.Fatal(err)
		}
		if got := findings(t, s, other, 0); len(got) != 1 || got[0] != 0 {
			t.Errorf("the other tenant's record is marked: %v", got)
		}
		if got := findings(t, s, tn, 0); got[0] != certstate.NoLongerReported {
			t.Errorf("the other tenant's report counts: %v", got)
		}
		if got := counts(t, s, other, "ca"); got != [4]int64{0, 0, 1, 0} {
			t.Errorf("the other tenant's counts: %v", got)
		}
		var b bytes.Buffer
		if _, err := s.Backup(t.Context(), &b, func(int64) {}); err != nil {
			t.Fatal(err)
		}
		if err := s.RemoveTenant(t.Context(), tenantID, true); err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(t.Context(), func(int64) {}); err != nil {
			t.Error(err)
		}
		if list, err := s.Sources(t.Context(), other); err != nil || len(list) != 1 {
			t.Errorf("%v, %v", list, err)
		}
		restored, err := store.Open(t.Context(), "sqlite:"+t.TempDir()+"/r.db", store.Options{Serve: true, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer restored.Close()
		if _, err := restored.Restore(t.Context(), &b, func(int64) {}); err != nil {
			t.Fatal(err)
		}
		if got := counts(t, restored, tenant(t, restored, tenantID), "ca"); got != [4]int64{0, 0, 1, 1} {
			t.Errorf("restored: %v", got)
		}
		if err := restored.Verify(t.Context(), func(int64) {}); err != nil {
			t.Error(err)
		}
	})
}
