package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"certstate/store/storetest"
)

// site is a database of PostgreSQL and the way to it.
type site struct {
	cluster  *storetest.Cluster // nil: the tests' own, which others use too
	database string             // its URL without the link
	link     *link
}

func newSite(t testing.TB, alone bool) *site {
	t.Helper()
	if !alone {
		database := storetest.Postgres(t)
		return &site{nil, database, newLink(t, database)}
	}
	cluster, err := storetest.Start()
	if err != nil {
		t.Skip("no PostgreSQL: ", err)
	}
	t.Cleanup(cluster.Stop)
	database, err := cluster.Create(t.Context(), "register")
	if err != nil {
		t.Fatal(err)
	}
	return &site{cluster, database, newLink(t, database)}
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
	alone bool // it needs a server of its own
	cause func(*site) error
	mend  func(*site) error
	until time.Duration // changes are refused
	flaws []string
}{
	{"the database crashes and is started again", true,
		func(s *site) error { s.cluster.Crash(); return nil },
		func(s *site) error { return s.cluster.Restart() }, noticed,
		[]string{unaware, unrecovering, boastful}},
	{"the database hangs", true,
		func(s *site) error { return s.cluster.Pause() },
		func(s *site) error { return s.cluster.Resume() }, hung,
		[]string{unrecovering, boastful}},
	{"nothing arrives any more", false,
		func(s *site) error { s.link.turn(weather{silent: true}); return nil },
		func(s *site) error { s.link.turn(weather{}); return nil }, hung,
		[]string{unrecovering, boastful}},
}

func TestDatabaseOutages(t *testing.T) {
	for _, row := range databaseOutages {
		run := func(t testing.TB, flaws ...string) {
			t.Helper()
			at := newSite(t, row.alone)
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
			at := newSite(t, false)
			r := newRegister(t, at.link.database)
			s := r.serveFlawed(t, flaws)
			l := newLoad(newClient(r, transport()), []string{s.url}, 0)
			at.link.turn(row.weather)
			l.while(t, func() error {
				for range row.times {
					// A write is tried eight times: on a slow machine all of them could
					// meet a disturbance otherwise.
					if err := l.history.awaitWritten(10); err != nil {
						return err
					}
					if err := row.disturb(t, at); err != nil {
						return err
					}
				}
				return l.history.awaitMore(200)
			})
			at.link.turn(weather{})
			// A change is tried for about a second and then refused, as
			// docs/operations.md says: on a slow machine few may be.
			var turnedAway []string
			for _, o := range l.history.operations {
				if !o.outcome.answered() {
					turnedAway = append(turnedAway, fmt.Sprintf("%s of %q: %s", o.kind, o.id, o.detail))
				}
				if o.outcome == unknown {
					t.Errorf("%s of %q: %s", o.kind, o.id, o.detail)
				}
			}
			if len(turnedAway) > row.times/2 {
				t.Errorf("%d disturbances turned away %d:\n%s", row.times, len(turnedAway), strings.Join(turnedAway, "\n"))
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
	conn, err := pgx.Connect(t.Context(), s.database)
	if err != nil {
		return err
	}
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	if err != nil {
		err = fmt.Errorf("terminate: %w", err)
	}
	return err
}
