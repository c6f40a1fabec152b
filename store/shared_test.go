package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"certstate"
	"certstate/edm"
	"certstate/store"
)

// sharedRounds is how often two stores race. When a creation looked before it locked,
// half of its rounds missed each other.
const sharedRounds = 90

// certificateSet are the properties that say which device has which certificate.
var certificateSet = func() (set certstate.Set) {
	for _, name := range []string{"managedDeviceDisplayName", "certificate"} {
		i, _ := certstate.Lookup(name)
		set |= 1 << i
	}
	return set
}()

// puts are the ways in which a device gets a certificate.
var puts = []struct {
	name string
	put  func(ctx context.Context, s *store.Store, tn store.Tenant, has certstate.State) error
}{
	{"created", func(ctx context.Context, s *store.Store, tn store.Tenant, has certstate.State) error {
		_, err := s.Create(ctx, tn, has, by)
		return err
	}},
	{"updated", func(ctx context.Context, s *store.Store, tn store.Tenant, has certstate.State) error {
		made, err := s.Create(ctx, tn, certstate.State{ID: has.ID, DeviceName: has.DeviceName}, by)
		if err == nil {
			_, err = s.Update(ctx, tn, made.ID.S, &has, certificateSet, nil, by)
		}
		return err
	}},
	{"registered", func(ctx context.Context, s *store.Store, tn store.Tenant, has certstate.State) error {
		_, err := s.Register(ctx, tn, []store.Registration{{State: has, Set: certificateSet | certstate.KeySet}}, by)
		return err
	}},
	{"brought in", func(ctx context.Context, s *store.Store, tn store.Tenant, has certstate.State) error {
		list := []store.Entry{{Registration: store.Registration{State: has, Set: certificateSet | certstate.KeySet}}}
		_, faults, err := s.Bring(ctx, tn, list, false, by)
		if err == nil {
			err = faults[0]
		}
		return err
	}},
}

// Two devices that get one certificate at once, at two servers of one database, are
// both found, however each gets it.
func TestSharedAtOnce(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		a, tn := open(t, url)
		b, _ := open(t, url)
		missed := map[string]int{}
		for round := range sharedRounds {
			first, second := puts[round%len(puts)], puts[round/len(puts)%len(puts)]
			der := edm.Bin(newCertificate(fmt.Sprint("shared ", round), round))
			device := func(which string) certstate.State {
				name := edm.Str(fmt.Sprint(which, round))
				return certstate.State{ID: name, DeviceName: name, Certificate: der}
			}
			var wg sync.WaitGroup
			for _, x := range []struct {
				s   *store.Store
				put func(context.Context, *store.Store, store.Tenant, certstate.State) error
				has certstate.State
			}{{a, first.put, device("a")}, {b, second.put, device("b")}} {
				wg.Go(func() {
					if err := x.put(t.Context(), x.s, tn, x.has); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			for _, which := range []string{"a", "b"} {
				st, err := a.Get(t.Context(), tn, fmt.Sprint(which, round), certstate.All)
				if err != nil {
					t.Fatal(err)
				}
				if st.Findings&certstate.SharedCertificate == 0 {
					missed["one is "+first.name+", the other "+second.name]++
				}
			}
		}
		if len(missed) > 0 {
			t.Errorf("of %d rounds these were not found: %v", sharedRounds, missed)
		}
	})
}
