package store_test

import (
	"errors"
	"flag"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"certstate"
	"certstate/store"
	"certstate/store/storetest"
)

var failovers = flag.Int("failovers", 2, "failovers of TestFailover")

// TestFailover has two servers write to a primary that is killed, its synchronous
// standby becoming the primary, and the killed one its standby, again and again.
// Nothing acknowledged is lost, nothing is done twice, the log has no gap, and who
// follows by delta holds what the table has.
func TestFailover(t *testing.T) {
	if testing.Short() {
		*failovers = 1
	}
	t.Parallel()
	if err := failover(t, storetest.AnyStandby, *failovers, nil); err != nil {
		t.Error(err)
	}
}

// A standby that commits did not wait for lacks some of what was acknowledged:
// the same rig reports the loss.
func TestFailoverLossIsFound(t *testing.T) {
	t.Parallel()
	err := failover(t, storetest.NoStandby, 1, func(standby *storetest.Cluster) error { return standby.Unfollow(t.Context()) })
	if err == nil {
		t.Error("acknowledged writes that were lost are not missed")
	}
	t.Log(err)
}

// failover reports what is not as it was acknowledged after failovers. fault is
// what happens to the standby while its primary goes on.
func failover(t *testing.T, synchronous string, times int, fault func(standby *storetest.Cluster) error) (err error) {
	t.Helper()
	primary := startCluster(t)
	dsn, err := primary.Create(t.Context(), "moving")
	if err != nil {
		t.Fatal(err)
	}
	if fault == nil {
		plain(t, dsn)
	}
	standby, err := primary.Standby()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standby.Stop)
	log := &logText{}
	var servers [2]*store.Store
	var tn store.Tenant
	for i := range servers {
		servers[i], tn = openWith(t, storetest.URLOf("moving", primary, standby), store.Options{Serve: true, Log: slog.New(slog.NewTextHandler(log, nil))})
	}
	m := newModel()
	f := newFollower(servers[0], tn, "", 0)
	stop := startWriters(t, m, tn, 4, servers[:]...)
	for n := range times {
		if err := primary.Synchronous(t.Context(), synchronous); err != nil {
			t.Fatal(err)
		}
		writesGoOn(t, m)
		if fault == nil {
			f.round(t)
		} else if err := fault(standby); err != nil {
			t.Fatal(err)
		}
		writesGoOn(t, m)
		time.Sleep(rand.N(100 * time.Millisecond))
		primary.Crash()
		if err := standby.Promote(t.Context()); err != nil {
			t.Fatal(err)
		}
		primary, standby = standby, primary
		if fault != nil { // who misses what was acknowledged writes no more
			break
		}
		writesGoOn(t, m)
		if n < times-1 {
			if err := standby.Follow(primary); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = stop()
	err = errors.Join(err, m.check(t.Context(), servers[1], tn))
	t.Logf("%d failovers: %s; %d commits were found to have happened", times, m, log.count("found to have happened"))
	if err == nil {
		f.round(t)
		f.equalsTable(t)
	}
	return err
}

// A commit that waits for a synchronous standby which is away is not
// acknowledged, however long it takes; once the standby is there, it is.
func TestCommitAwaitsTheStandby(t *testing.T) {
	t.Parallel()
	primary := startCluster(t)
	dsn, err := primary.Create(t.Context(), "waiting")
	if err != nil {
		t.Fatal(err)
	}
	s, tn := open(t, plain(t, dsn))
	s.SetTransactionTime(500*time.Millisecond, 3*time.Second)
	if err := primary.Synchronous(t.Context(), storetest.NobodyYet); err != nil {
		t.Fatal(err)
	}
	_, err = s.Create(t.Context(), tn, certstate.State{}, by)
	if certstate.ErrorCode(err) != certstate.Unavailable {
		t.Errorf("no standby has the record, and its creation is answered %v", err)
	}
	created := make(chan error, 1)
	go func() {
		_, err := s.Create(t.Context(), tn, certstate.State{}, by)
		created <- err
	}()
	select {
	case err := <-created:
		t.Fatalf("no standby has the record, and its creation is answered %v", err)
	case <-time.After(time.Second):
	}
	if err := primary.Synchronous(t.Context(), storetest.NoStandby); err != nil {
		t.Fatal(err)
	}
	if err := <-created; err != nil {
		t.Error(err)
	}
}
