package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"certstate/store/storetest"
)

// site is a PostgreSQL server of a test's own, and the way to it.
type site struct {
	cluster *storetest.Cluster
	link    *link
}

func newSite(t testing.TB) *site {
	t.Helper()
	cluster, err := storetest.Start()
	if err != nil {
		t.Skip("no PostgreSQL: ", err)
	}
	t.Cleanup(cluster.Stop)
	database, err := cluster.Create(t.Context(), "register")
	if err != nil {
		t.Fatal(err)
	}
	return &site{cluster, newLink(t, database)}
}

const (
	unreachable = "changes are refused"
	// A transaction may take ten seconds, and what became of its commit is looked
	// for for fifteen.
	hung = 30 * time.Second
)

// databaseOutages are what can go wrong with a database elsewhere, for so long that
// clients hear of it.
var databaseOutages = []struct {
	name  string
	cause func(*site) error
	mend  func(*site) error
	until time.Duration // changes are refused
	flaws []string
}{
	{"the database crashes and is started again",
		func(s *site) error { s.cluster.Crash(); return nil },
		func(s *site) error { return s.cluster.Restart() }, noticed,
		[]string{unaware, unrecovering, boastful}},
	{"the database hangs",
		func(s *site) error { return s.cluster.Pause() },
		func(s *site) error { return s.cluster.Resume() }, hung,
		[]string{unrecovering, boastful}},
	{"nothing arrives any more",
		func(s *site) error { s.link.turn(weather{silent: true}); return nil },
		func(s *site) error { s.link.turn(weather{}); return nil }, hung,
		[]string{unrecovering, boastful}},
}

func TestDatabaseOutages(t *testing.T) {
	for _, row := range databaseOutages {
		run := func(t testing.TB, flaws ...string) {
			t.Helper()
			at := newSite(t)
			r := newRegister(t, at.link.database)
			s := r.serveFlawed(t, flaws)
			l := newLoad(newClient(r, transport()), []string{s.url}, 0)
			l.suffer(t, r, s, outage{
				cause:  func() error { return row.cause(at) },
				mend:   func() error { return row.mend(at) },
				status: 503, says: unreachable, within: row.until,
			})
		}
		eachFlaw(t, row.name, row.flaws, run)
	}
}

// disturbances are faults that clients hear nothing of.
var disturbances = []struct {
	name    string
	weather weather
	times   int
	disturb func(testing.TB, *site) error
	flaws   []string
}{
	{"connections are terminated", weather{}, 20, terminate, []string{resigned}},
	{"connections are reset", weather{}, 20, func(_ testing.TB, s *site) error { s.link.reset(); return nil }, []string{resigned}},
	{"the answers to commits are lost", weather{}, 10, loseAnswer, []string{impatient}},
	{"the database is far away", weather{delay: 10 * time.Millisecond}, 0, nil, nil},
	{"bytes come a few at a time", weather{delay: 100 * time.Microsecond, slice: 50}, 0, nil, nil},
}

func TestDatabaseDisturbances(t *testing.T) {
	for _, row := range disturbances {
		run := func(t testing.TB, flaws ...string) {
			t.Helper()
			at := newSite(t)
			r := newRegister(t, at.link.database)
			s := r.serveFlawed(t, flaws)
			l := newLoad(newClient(r, transport()), []string{s.url}, 0)
			at.link.turn(row.weather)
			l.while(t, func() error {
				for range row.times {
					if err := l.history.awaitMore(20); err != nil {
						return err
					}
					if err := row.disturb(t, at); err != nil {
						return err
					}
				}
				return l.history.awaitMore(200)
			})
			at.link.turn(weather{})
			for _, o := range l.history.operations {
				if !o.outcome.answered() {
					t.Errorf("%s of %q: %s", o.kind, o.id, o.detail)
				}
			}
			l.judge(t, r)
		}
		eachFlaw(t, row.name, row.flaws, run)
	}
}

// loseAnswer has the answer to the next commit be lost.
func loseAnswer(_ testing.TB, s *site) error {
	s.link.cutting.Store(true)
	return await("a commit", patience, func() bool { return !s.link.cutting.Load() })
}

// terminate ends the connections that servers have, by the database.
func terminate(t testing.TB, s *site) error {
	conn, err := pgx.Connect(t.Context(), s.cluster.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'certstate'")
	if err != nil {
		err = fmt.Errorf("terminate: %w", err)
	}
	return err
}
