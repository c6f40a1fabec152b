package store_test

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"certstate"
	"certstate/store"
)

// What nearly all clients ask of a record is read by a way of its own: it says what
// the other says.
func TestGetMeansTheSame(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		g := generator{rand.New(rand.NewPCG(1, 2))}
		for _, st := range fillRandom(t, g, s, tn, 300) {
			got, err1 := s.Get(t.Context(), tn, st.ID.S, certstate.Defaults)
			whole, err2 := s.Get(t.Context(), tn, st.ID.S, certstate.All)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			if got.Version != whole.Version {
				t.Errorf("%s: version %d, want %d", st.ID.S, got.Version, whole.Version)
			}
			for i := range certstate.Properties {
				if p := &certstate.Properties[i]; certstate.Defaults.Has(i) {
					if a, b := string(p.Field(got).AppendJSON(nil)), string(p.Field(whole).AppendJSON(nil)); a != b {
						t.Errorf("%s of %s: %s, want %s", p.Name, st.ID.S, a, b)
					}
				}
			}
		}
		if _, err := s.Get(t.Context(), tn, "nothing", certstate.Defaults); certstate.ErrorCode(err) != certstate.NotFound {
			t.Errorf("of a record that is not there: %v", err)
		}
	})
}

// A store that is closed ends the gets there are, and refuses more.
func TestGetWhileClosing(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, err := store.Open(t.Context(), url, store.Options{Serve: true, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.AddTenant(t.Context(), tenantID, ""); err != nil {
			t.Fatal(err)
		}
		tn := tenant(t, s, tenantID)
		made, err := s.Create(t.Context(), tn, full(), by)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 * runtime.GOMAXPROCS(0) { // more than there are connections
			wg.Go(func() {
				answered := 0
				for begin := time.Now(); time.Since(begin) < 10*time.Second; answered++ {
					got, err := s.Get(t.Context(), tn, made.ID.S, certstate.Defaults)
					if err != nil {
						if answered == 0 || strings.HasPrefix(url, "sqlite:") && certstate.ErrorCode(err) != certstate.Unavailable {
							t.Errorf("after %d answers: %v", answered, err)
						}
						return
					}
					if got.Subject != made.Subject {
						t.Errorf("got %+v", got)
					}
				}
				t.Error("a closed store answers")
			})
		}
		time.Sleep(200 * time.Millisecond)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
}
