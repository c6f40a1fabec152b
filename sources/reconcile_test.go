package sources

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/store"
	"certstate/store/storetest"
)

// reads reads a source, and wants to find so much.
func reads(t *testing.T, s *store.Store, tn store.Tenant, want Result) {
	t.Helper()
	if found, err := Reconcile(t.Context(), s, tn, "lab", quiet); err != nil || found != want {
		t.Errorf("found %+v, %v, want %+v", found, err, want)
	}
	if err := s.Verify(t.Context(), func(int64) {}); err != nil {
		t.Error(err)
	}
}

// What a step-ca has is found: what it did not tell, what it tells nobody, what it
// revoked, and what it has no longer. What is as it was is left alone.
func TestReconcile(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		ca := newStepCA(t)
		add(t, s, tn, "lab", ca.settings())
		early := ca.issues(t, "early", "SCEP")
		ca.revokes(t, early)
		began := edm.Time(time.Now().Add(-time.Minute).UTC())
		reads(t, s, tn, Result{Read: 1, New: 1})
		if st := records(t, s, tn, "source eq 'lab'")["early"]; st.RevokeStatus != certstate.Revoked || st.RevokeStatusChanged != edm.Time(revokedAt) {
			t.Errorf("%+v", st)
		}
		lost, silent := ca.issues(t, "lost", "SCEP"), ca.issues(t, "silent", "JWK")
		reads(t, s, tn, Result{Read: 3, New: 2})
		src := status(t, s, tn, "lab")
		if src.Recovered != 1 || src.Unannounced != 2 || src.Watermark.Ticks < began.Ticks || src.Fault != "" {
			t.Errorf("%+v", src)
		}
		if err := s.Gaps(t.Context(), tn, "lab", "", 10, func(g store.Gap) error {
			if g.Key != key(t, lost) || g.Origin != "lab (SCEP)" || g.Issued.Ticks == 0 {
				t.Errorf("%+v", g)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		ca.revokes(t, silent)
		reads(t, s, tn, Result{Read: 3, Revoked: 1})
		if got := records(t, s, tn, "certificateRevokeStatus eq 'revoked'"); len(got) != 2 || got["silent"].RevokeStatusChanged != edm.Time(revokedAt) {
			t.Errorf("revoked: %v", got)
		}
		why := ""
		if err := s.History(t.Context(), tn, records(t, s, tn, "managedDeviceDisplayName eq 'silent'")["silent"].ID.S, 0, 10, func(c *certstate.Change) error {
			why = c.Actor + ": " + c.Reason
			return nil
		}); err != nil || why != "source:lab: revoked by the step-ca: keyCompromise, lost" {
			t.Errorf("history says %q, %v", why, err)
		}
		ca.exec(t, `DELETE FROM "x509_certs" WHERE nkey = $1`, []byte(key(t, lost)))
		reads(t, s, tn, Result{Read: 2, Gone: 1})
		if got := records(t, s, tn, "certificateFindings has 'noLongerReported'"); len(got) != 1 || got["lost"].ID.S == "" {
			t.Errorf("marked: %v", got)
		}
		before := records(t, s, tn, "true eq true")
		reads(t, s, tn, Result{Read: 2})
		if after := records(t, s, tn, "true eq true"); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("a reading that found nothing changed\n%v\nto\n%v", before, after)
		}
		ca.exec(t, fmt.Sprintf(put, certsTable), []byte(key(t, lost)), lost)
		reads(t, s, tn, Result{Read: 3, New: 1})
		if got := records(t, s, tn, "certificateFindings has 'noLongerReported'"); len(got) != 0 {
			t.Errorf("marked: %v", got)
		}
	})
}

// More than a page has is found, and a database that is another one, or away, leaves
// everything as it is and says so.
func TestReconcileMany(t *testing.T) {
	s, tn := open(t, storetest.Engines[0].URL(t))
	ca := newStepCA(t)
	add(t, s, tn, "lab", ca.settings())
	const n = 2*pageKeys + 100
	for i := range n {
		ca.issues(t, fmt.Sprint("device ", i), "ACME")
	}
	reads(t, s, tn, Result{Read: n, New: n})
	reads(t, s, tn, Result{Read: n})
	ca.exec(t, `DELETE FROM "x509_certs" WHERE nkey IN (SELECT nkey FROM "x509_certs" ORDER BY nkey OFFSET 1000)`)
	reads(t, s, tn, Result{Read: 1000, Gone: n - 1000})
	ca.exec(t, `DELETE FROM "x509_certs"`)
	for what, say := range map[string]string{
		"no rows":     "is it the right database? Nothing was changed",
		"no tables":   "it is not a step-ca's",
		"no database": "cannot be reached",
	} {
		switch what {
		case "no tables":
			ca.exec(t, `ALTER TABLE "x509_certs" RENAME TO away`)
		case "no database":
			set := ca.settings()
			set.Database = "postgres://nobody@127.0.0.1:1/none"
			add(t, s, tn, "lab", set)
		}
		before := status(t, s, tn, "lab")
		if _, err := Reconcile(t.Context(), s, tn, "lab", quiet); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %v", what, err)
		}
		after := status(t, s, tn, "lab")
		if !strings.Contains(after.Fault, say) || after.Tried.Ticks <= before.Tried.Ticks || after.Watermark != before.Watermark || after.Gone != before.Gone {
			t.Errorf("%s:\n%+v\n%+v", what, before, after)
		}
		add(t, s, tn, "lab", ca.settings())
		if what == "no tables" {
			ca.exec(t, `ALTER TABLE away RENAME TO "x509_certs"`)
		}
	}
}

// Two servers read a source: each certificate comes in once, and one at a time is at it.
func TestTwoReaders(t *testing.T) {
	url := storetest.Postgres(t)
	a, tn := open(t, url)
	b, _ := open(t, url)
	ca := newStepCA(t)
	add(t, a, tn, "lab", ca.settings())
	for i := range 700 {
		ca.issues(t, fmt.Sprint("device ", i), "SCEP")
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	found, held := 0, 0
	for i := range 8 {
		wg.Go(func() {
			got, err := Reconcile(t.Context(), []*store.Store{a, b}[i%2], tn, "lab", quiet)
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, ErrHeld) {
				held++
			} else if err != nil && !errors.Is(err, store.ErrNotReader) {
				t.Error(err)
			}
			found += got.New
		})
	}
	wg.Wait()
	if found < 700 || held == 0 {
		t.Errorf("%d found, %d held off", found, held)
	}
	if n, err := a.Live(t.Context(), tn); n != 700 || err != nil {
		t.Errorf("%d records, %v", n, err)
	}
	if err := a.Verify(t.Context(), func(int64) {}); err != nil {
		t.Error(err)
	}
}

// between does something once, after a page of keys was read.
type between struct {
	Database
	do func()
}

func (b *between) keys(ctx context.Context, table, after string, limit int) ([]string, error) {
	keys, err := b.Database.keys(ctx, table, after, limit)
	if b.do != nil {
		b.do()
		b.do = nil
	}
	return keys, err
}

// A certificate that is told of while the source is read is not taken for gone.
func TestToldWhileRead(t *testing.T) {
	s, tn := open(t, storetest.Engines[0].URL(t))
	ca := newStepCA(t)
	add(t, s, tn, "lab", ca.settings())
	ca.issues(t, "first", "SCEP")
	reads(t, s, tn, Result{Read: 1, New: 1})
	if held, err := s.ReadSource(t.Context(), tn, "lab"); err != nil || !held {
		t.Fatal(held, err)
	}
	db, err := OpenDatabase(t.Context(), ca.url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	set := ca.settings()
	r := &reading{s: s, t: tn, name: "lab", log: quiet, src: status(t, s, tn, "lab"), set: set, renewed: time.Now(), db: &between{db, func() {
		der := ca.issues(t, "meanwhile", "SCEP")
		list, err := set.sightings("lab", success(t, der))
		if err == nil {
			err = s.Notify(t.Context(), tn, "lab", list, certstate.Cause{})
		}
		if err != nil {
			t.Error(err)
		}
	}}}
	if err := r.pages(t.Context(), certsTable, r.compare); err != nil || r.found != (Result{Read: 1}) {
		t.Errorf("%+v, %v", r.found, err)
	}
	if got := records(t, s, tn, "certificateFindings has 'noLongerReported'"); len(got) != 0 {
		t.Errorf("marked: %v", got)
	}
}

// The runner reads what is due, and goes on when a source is away.
func TestRunner(t *testing.T) {
	s, tn := open(t, storetest.Engines[0].URL(t))
	ca := newStepCA(t)
	add(t, s, tn, "lab", ca.settings())
	away := ca.settings()
	away.Database = "postgres://nobody@127.0.0.1:1/none"
	add(t, s, tn, "away", away)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { (&Runner{Store: s, Log: quiet}).Run(ctx); close(done) }()
	ca.issues(t, "one", "JWK")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		lab, gone := status(t, s, tn, "lab"), status(t, s, tn, "away")
		if lab.Known() == 1 && gone.Fault != "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v\n%+v", lab, gone)
		}
	}
	stop()
	<-done
}

// What is due is so by the time of the last attempt, and sooner after a failure.
func TestDue(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		every, ago int
		fault      string
		want       bool
	}{{300, 299, "", false}, {300, 301, "", true}, {300, 31, "away", true}, {300, 29, "away", false}, {5, 6, "away", true}} {
		set := StepCA{Database: "/x", Every: c.every, DeviceFrom: "cn"}
		src, err := set.Source("lab")
		if err != nil {
			t.Fatal(err)
		}
		src.Tried, src.Fault = edm.Time(now.Add(-time.Duration(c.ago)*time.Second).UTC()), c.fault
		if got := due(&src, now); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
