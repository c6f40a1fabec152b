package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"certstate"
	"certstate/certificate"
	"certstate/edm"
	"certstate/store"
)

// telling is how a source may tell of the first of certificates on a device.
type telling struct {
	name  string
	state func(*certificate.Facts) certstate.State
}

// tellings have nothing in common but the certificate and the device.
var tellings = []telling{
	{"certificate", func(f *certificate.Facts) certstate.State { return certstate.State{Certificate: edm.Bin(f.DER)} }},
	{"thumbprint", func(f *certificate.Facts) certstate.State {
		return certstate.State{Thumbprint: edm.Str(strings.ToLower(f.Thumbprint)), Issuer: edm.Str(f.Issuer), Serial: edm.Str(f.Serial)}
	}},
	{"serial", func(f *certificate.Facts) certstate.State {
		return certstate.State{Serial: edm.Str("0x00:" + f.Serial), Issuer: edm.Str(strings.ReplaceAll(strings.ToUpper(f.Issuer), ",", ", "))}
	}},
	{"sha256", func(f *certificate.Facts) certstate.State {
		return certstate.State{Thumbprint: edm.Str(f.ThumbprintSHA256), Issuer: edm.Str(f.Issuer), Serial: edm.Str(f.Serial)}
	}},
}

// told is what a source tells of a certificate, on a device. It has no id of its own.
func told(t *testing.T, tell func(*certificate.Facts) certstate.State, cert int, device string, n int) store.Entry {
	t.Helper()
	f, err := certificate.Parse(certificates()[cert])
	if err != nil {
		t.Fatal(err)
	}
	e := store.Entry{Way: store.Merge, Registration: store.Registration{State: tell(f)}}
	if e.State.Certificate.Valid {
		e.Way = store.Report
	} else {
		e.State.ID = edm.Str(fmt.Sprintf("made of the row %d", n))
	}
	e.State.DeviceName = edm.Str(device)
	for i := range certstate.Properties {
		p := &certstate.Properties[i]
		if i > 0 && !p.Is(certstate.Computed) && !certificate.Unstated(p.Field(&e.State)) {
			e.Set |= 1 << i
		}
	}
	return e
}

// However a certificate on a device is told of, one after another or in one chunk,
// it is one record, which has the certificate once a source has given it.
func TestKnownHowever(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := openWith(t, url, store.Options{Serve: true})
		n := 0
		for _, empty := range []bool{true, false} {
			load := s.WithoutIndexes
			if !empty { // the register has records now
				load = func(_ context.Context, fn func() error) error { return fn() }
			}
			err := load(t.Context(), func() error {
				for _, together := range []bool{true, false} {
					for _, first := range tellings {
						for _, second := range tellings {
							n++
							device := fmt.Sprintf("device %d", n)
							a, b := told(t, first.state, 0, device, 2*n), told(t, second.state, 0, device, 2*n+1)
							chunks := [][]store.Entry{{a, b}}
							if !together {
								chunks = [][]store.Entry{{a}, {b}}
							}
							for _, list := range chunks {
								if _, faults, err := s.Bring(t.Context(), tn, list, false, by); err != nil || faults[len(faults)-1] != nil {
									t.Fatalf("%s, %s: %v, %v", first.name, second.name, faults, err)
								}
							}
							what := fmt.Sprintf("empty %v, together %v, %s, then %s", empty, together, first.name, second.name)
							checkOne(t, s, tn, device, what, a.State.Certificate.Valid || b.State.Certificate.Valid)
						}
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		if err := s.Verify(t.Context(), func(int64) {}); err != nil {
			t.Error(err)
		}
	})
}

// checkOne checks that a device has one record.
func checkOne(t *testing.T, s *store.Store, tn store.Tenant, device, what string, certified bool) {
	t.Helper()
	list := onDevice(t, s, tn, device)
	if len(list) != 1 {
		t.Errorf("%s: %d records: %+v", what, len(list), list)
		return
	}
	if st := &list[0]; st.Certificate.Valid != certified || certified && (st.KeyType.S != "EC P-256" || st.Findings&^certstate.SharedCertificate != 0) {
		t.Errorf("%s: %+v", what, st)
	}
}

func onDevice(t *testing.T, s *store.Store, tn store.Tenant, device string) (list []certstate.State) {
	t.Helper()
	q := query(t, "$filter=managedDeviceDisplayName eq '"+device+"'")
	q.Select = certstate.All
	if _, err := s.List(t.Context(), tn, &q, store.Position{}, 10, func(st *certstate.State) error {
		list = append(list, *st)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

// What a source told of a certificate before it came is compared with it, and what
// one tells afterwards too.
func TestKnownDifferently(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		wrong := func(f *certificate.Facts) certstate.State {
			return certstate.State{Thumbprint: edm.Str(f.Thumbprint), Issuer: edm.Str("CN=Other"), KeyUsages: edm.Int(32)}
		}
		for i, certificateLast := range []bool{true, false} {
			device := fmt.Sprint(i)
			list := []store.Entry{told(t, tellings[0].state, 0, device, 0), told(t, wrong, 0, device, 1)}
			if certificateLast {
				list[0], list[1] = list[1], list[0]
			}
			for _, e := range list {
				if _, faults, err := s.Bring(t.Context(), tn, []store.Entry{e}, false, by); err != nil || faults[0] != nil {
					t.Fatal(faults, err)
				}
			}
			got := onDevice(t, s, tn, device)
			want := certstate.IssuerMismatch | certstate.KeyUsageMismatch
			if len(got) != 1 || got[0].Findings&^certstate.SharedCertificate != want || got[0].Issuer.S != "CN=Other" || got[0].Serial.S != "10A0" {
				t.Errorf("certificate last %v: %+v", certificateLast, got)
			}
			outcomes, _, err := s.Bring(t.Context(), tn, list, false, by)
			if err != nil || outcomes[0] != store.Present || outcomes[1] != store.Present {
				t.Errorf("again: %v, %v", outcomes, err)
			}
		}
	})
}

// Other devices, other certificates and records whose id the source gives are
// records of their own.
func TestNotKnown(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		serial := tellings[2].state
		withID := told(t, tellings[1].state, 0, "one", 1)
		withID.Set |= certstate.KeySet
		otherThumbprint := told(t, func(f *certificate.Facts) certstate.State {
			return certstate.State{Thumbprint: edm.Str(strings.Repeat("0", 40)), Issuer: edm.Str(f.Issuer), Serial: edm.Str(f.Serial)}
		}, 0, "one", 2)
		list := []store.Entry{
			told(t, tellings[0].state, 0, "one", 0), withID, otherThumbprint,
			told(t, serial, 0, "two", 3), told(t, serial, 1, "one", 4), told(t, serial, 0, "", 5), told(t, tellings[0].state, 0, "", 6),
		}
		outcomes, faults, err := s.Bring(t.Context(), tn, list, false, by)
		for i, o := range outcomes {
			if o != store.Created {
				t.Errorf("%d: %v %v", i, o, faults[i])
			}
		}
		if err != nil {
			t.Error(err)
		}
	})
}
