package faults

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"certstate/store/storetest"
)

// clockSteps are how far the clock is ahead, one step after another.
var clockSteps = []time.Duration{time.Hour, 0, -time.Hour, 0, -10 * time.Minute, 24 * time.Hour, -24 * time.Hour, 0}

// The server's clock steps forward and back under load. Numbers and ETags of changes,
// If-Match and delta know nothing of it; times of changes never fall; a token is good
// when the clock says so.
func TestClockSteps(t *testing.T) {
	for _, e := range storetest.Engines {
		run := func(t testing.TB, flaws ...string) {
			t.Helper()
			r := newRegister(t, e.URL(t))
			r.holdToken(30 * 24 * time.Hour)
			now := time.Now().Unix()
			short := r.issuer.Token(map[string]any{"iat": now, "nbf": now, "exp": now + 30*60})
			s := r.server(t)
			s.program, s.flaws = programWithSeams, flaws
			if err := s.start(s.clock(t, 0)); err != nil {
				t.Fatal(err)
			}
			l := newLoad(newClient(r, transport()), []string{s.url}, 0)
			l.while(t, func() error {
				for _, step := range clockSteps {
					if err := l.history.awaitMore(100); err != nil {
						return err
					}
					s.clock(t, step)
					if err := s.judged(t, short, step); err != nil {
						return err
					}
				}
				return l.history.awaitMore(100)
			})
			for i := range l.history.operations {
				if o := &l.history.operations[i]; !o.outcome.answered() {
					t.Errorf("%s of %q: %s", o.kind, o.id, o.detail)
				}
			}
			l.judge(t, r)
		}
		eachFlaw(t, e.Name, []string{clockbound}, run)
	}
}

// holdToken has clients use a token that was good for a time and will be for as long.
func (r *register) holdToken(d time.Duration) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.token = r.issuer.Token(map[string]any{"iat": now.Add(-d).Unix(), "nbf": now.Add(-d).Unix(), "exp": now.Add(d).Unix()})
	r.until = now.Add(d)
}

// judged looks that a token of half an hour from when the clock was right is good
// while the clock is in that time, give or take the five minutes that clocks may differ,
// and only then.
func (s *server) judged(t testing.TB, token string, ahead time.Duration) error {
	want := http.StatusOK
	if ahead < -5*time.Minute || ahead >= 35*time.Minute {
		want = http.StatusUnauthorized
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+collection+"?$top=1", http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != want {
		return fmt.Errorf("with the clock %s ahead a token is answered %s, want %d", ahead, res.Status, want)
	}
	return nil
}
