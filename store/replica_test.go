package store_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
	"certstate/store/storetest"
)

var replicaTime = flag.Duration("replica-time", 2*time.Second, "how long each half of TestReadsSeeWhatWasAcknowledged lasts")

// startReplica makes a database with a replica that follows it.
func startReplica(t *testing.T) (primary, standby *storetest.Cluster, dsn, read string) {
	t.Helper()
	t.Parallel()
	primary = startCluster(t)
	dsn, err := primary.Create(t.Context(), "replicated")
	if err != nil {
		t.Fatal(err)
	}
	if standby, err = primary.Standby(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standby.Stop)
	return primary, standby, dsn, standby.URL("replicated")
}

// Reads that a replica answers mean what they mean, and it does answer them.
func TestQueriesOnAReplica(t *testing.T) {
	_, _, dsn, read := startReplica(t)
	log := &strings.Builder{}
	queriesMeanTheSame(t, dsn, store.Options{ReadDatabase: read, Log: slog.New(slog.NewTextHandler(log, nil))}, *queries/10)
	if log.Len() > 0 {
		t.Error("a replica that follows is complained of: ", log)
	}
	s, tn := openWith(t, dsn, store.Options{ReadDatabase: read})
	if _, err := s.Get(t.Context(), tn, "nothing", certstate.All); certstate.ErrorCode(err) != certstate.NotFound || s.AnsweredElsewhere() != 0 {
		t.Error("a get went to the replica, or ", err)
	}
	readEverything(t, s, tn)
	if n := s.AnsweredElsewhere(); n != 5 {
		t.Errorf("the replica answered %d of a list, a count, groups, a history and a page of delta", n)
	}
}

// readEverything does a read of each kind.
func readEverything(t *testing.T, s *store.Store, tn store.Tenant) {
	t.Helper()
	made, err := s.Create(t.Context(), tn, certstate.State{KeyUsages: edm.Int(1)}, by)
	if err != nil {
		t.Fatal(err)
	}
	filter := odataQuery(t, "$filter=id eq '"+made.ID.S+"'")
	listed := 0
	_, err = s.List(t.Context(), tn, filter, store.Position{}, 10, func(*certstate.State) error { listed++; return nil })
	if err != nil || listed != 1 {
		t.Errorf("listed %d, %v", listed, err)
	}
	if n, err := s.Count(t.Context(), tn, filter, edm.DateTimeOffset{}, nil); n != 1 || err != nil {
		t.Errorf("counted %d, %v", n, err)
	}
	apply := odataQuery(t, "$apply=aggregate($count as n)")
	if _, err := s.Apply(t.Context(), tn, apply, store.Position{}, 10, func([]odata.Value) error { return nil }); err != nil {
		t.Error(err)
	}
	if err := s.History(t.Context(), tn, made.ID.S, 0, 10, func(*certstate.Change) error { return nil }); err != nil {
		t.Error(err)
	}
	r, err := s.FirstRound(t.Context(), tn)
	if err == nil {
		_, _, err = s.Delta(t.Context(), tn, odataQuery(t, ""), r, 10, func(store.Told) error { return nil })
	}
	if err != nil {
		t.Error(err)
	}
}

func odataQuery(t *testing.T, raw string) *odata.Query {
	t.Helper()
	q, err := odata.ParseQuery(url.PathEscape(raw), odata.ListOptions)
	if err != nil {
		t.Fatal(err)
	}
	return &q
}

// A replica that stands still, is gone or comes back changes no answer; it is
// spoken of once a turn, and the server stays ready.
func TestReplicaStandsStill(t *testing.T) {
	_, standby, dsn, read := startReplica(t)
	log := &logText{}
	s, tn := openWith(t, dsn, store.Options{ReadDatabase: read, Log: slog.New(slog.NewTextHandler(log, nil))})
	follows := func() { t.Helper(); replicaFollows(t, s, tn) }
	follows()
	if err := standby.Execute(t.Context(), "SELECT pg_wal_replay_pause()"); err != nil {
		t.Fatal(err)
	}
	if err := standby.Ask(t.Context(), "SELECT pg_get_wal_replay_pause_state() = 'paused'"); err != nil {
		t.Fatal(err)
	}
	readEverything(t, s, tn) // the first may be delta of a change that has arrived
	before := s.AnsweredElsewhere()
	for range 20 {
		readEverything(t, s, tn)
	}
	if n := s.AnsweredElsewhere(); n != before {
		t.Errorf("a replica that stands still answered %d reads", n-before)
	}
	if err := standby.Execute(t.Context(), "SELECT pg_wal_replay_resume()"); err != nil {
		t.Fatal(err)
	}
	follows()
	standby.Crash()
	for range 20 {
		readEverything(t, s, tn)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error("without its replica the server is not ready: ", err)
	}
	if n := log.count("does not serve"); n != 1 {
		t.Errorf("a lost replica is spoken of %d times: %s", n, log)
	}
	if err := standby.Restart(); err != nil {
		t.Fatal(err)
	}
	follows()
	if n := log.count("answers again"); n != 1 {
		t.Errorf("its return is spoken of %d times: %s", n, log)
	}
}

// replicaFollows returns once the replica answers reads.
func replicaFollows(t *testing.T, s *store.Store, tn store.Tenant) {
	t.Helper()
	before := s.AnsweredElsewhere()
	for end := time.Now().Add(20 * time.Second); s.AnsweredElsewhere() == before; {
		if _, err := s.Count(t.Context(), tn, odataQuery(t, "$search=anything"), edm.DateTimeOffset{}, nil); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatal("the replica is not used")
		}
	}
}

// logText is a log that can be looked at.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logText) count(text string) int { return strings.Count(l.String(), text) }

// A server starts without its replica, and says what cannot be one.
func TestReadDatabase(t *testing.T) {
	_, standby, dsn, read := startReplica(t)
	standby.Crash()
	s, tn := openWith(t, dsn, store.Options{ReadDatabase: read})
	readEverything(t, s, tn)
	for _, tc := range []struct{ database, read, want string }{
		{"sqlite:" + t.TempDir() + "/x.db", dsn, "SQLite has no replicas"},
		{dsn, "sqlite:x.db", "SQLite has no replicas"},
		{dsn, "mysql:x", "write it as"},
		{dsn, "postgres://%zz", "read database"},
	} {
		_, err := store.Open(t.Context(), tc.database, store.Options{ReadDatabase: tc.read, Log: quiet})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s beside %s: %v, want %q", tc.read, tc.database, err, tc.want)
		}
	}
}

// A replica may show a commit that the primary still waits with, and that a
// failover would undo. No read sees it before a read of the primary would.
func TestReplicaAhead(t *testing.T) {
	primary, _, dsn, read := startReplica(t)
	s, tn := openWith(t, dsn, store.Options{ReadDatabase: read})
	all := odataQuery(t, "$filter=certificateKeyUsages ne 2")
	count := func(want int64) {
		t.Helper()
		if n, err := s.Count(t.Context(), tn, all, edm.DateTimeOffset{}, nil); err != nil || n != want {
			t.Errorf("counted %d, %v, want %d", n, err, want)
		}
	}
	s.SetTransactionTime(5*time.Minute, time.Minute) // however slow the machine, the commit waits
	replicaFollows(t, s, tn)
	count(0)
	if err := primary.Synchronous(t.Context(), storetest.NobodyYet); err != nil {
		t.Fatal(err)
	}
	created := make(chan error, 1)
	go func() {
		_, err := s.Create(t.Context(), tn, certstate.State{KeyUsages: edm.Int(1)}, by)
		created <- err
	}()
	conn, err := pgx.Connect(t.Context(), read)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for there := 0; there == 0; {
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM state").Scan(&there); err != nil {
			t.Fatal(err)
		}
	}
	count(0)
	if err := primary.Synchronous(t.Context(), storetest.NoStandby); err != nil {
		t.Fatal(err)
	}
	if err := <-created; err != nil {
		t.Error(err)
	}
	count(1)
}

// TestReadsSeeWhatWasAcknowledged has two servers create records and count them
// on a replica that stands still, goes on, dies and comes back. A count has all
// that was acknowledged before it began, and all that an earlier count had,
// whichever server was asked: also when the replica shows commits before the
// primary does, as a synchronous one may.
func TestReadsSeeWhatWasAcknowledged(t *testing.T) {
	if testing.Short() {
		*replicaTime = time.Second
	}
	primary, standby, dsn, read := startReplica(t)
	var servers [2]*store.Store
	var tn store.Tenant
	for i := range servers {
		servers[i], tn = openWith(t, dsn, store.Options{ReadDatabase: read})
	}
	all := odataQuery(t, "$filter=certificateKeyUsages ne 2")
	var acknowledged, seen atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, err := servers[w%2].Create(t.Context(), tn, certstate.State{KeyUsages: edm.Int(1)}, by)
				switch {
				case err == nil:
					acknowledged.Add(1)
				case certstate.ErrorCode(err) != certstate.Unavailable: // commits wait for a standby that is killed
					t.Error(err)
					return
				}
			}
		})
		wg.Go(func() {
			for ctx.Err() == nil {
				least := max(acknowledged.Load(), seen.Load())
				n, err := servers[w%2].Count(t.Context(), tn, all, edm.DateTimeOffset{}, nil)
				if err != nil && !midway(servers[0], err) || err == nil && n < least {
					t.Errorf("counted %d of at least %d, %v", n, least, err)
					return
				}
				for old := seen.Load(); n > old && !seen.CompareAndSwap(old, n); old = seen.Load() {
				}
			}
		})
	}
	for _, synchronous := range []string{storetest.NoStandby, storetest.AnyStandby} {
		if err := primary.Synchronous(t.Context(), synchronous); err != nil {
			t.Fatal(err)
		}
		before := servers[0].AnsweredElsewhere() + servers[1].AnsweredElsewhere()
		answered := func() int64 { return servers[0].AnsweredElsewhere() + servers[1].AnsweredElsewhere() - before }
		end := time.Now().Add(*replicaTime)
		for late := end.Add(time.Minute); (time.Now().Before(end) || answered() < 20 && time.Now().Before(late)) && !t.Failed(); {
			disturb(t, standby)
		}
		if n := answered(); n < 20 {
			t.Errorf("synchronous %q: the replica answered %d", synchronous, n)
		} else {
			t.Logf("synchronous %q: %d acknowledged, %d reads on the replica", synchronous, acknowledged.Load(), n)
		}
	}
	stop()
	wg.Wait()
}

// midway reports whether a read broke off with the replica that answered it: it
// had begun to be answered.
func midway(s *store.Store, err error) bool {
	return certstate.ErrorCode(s.Judge(err)) == certstate.Unavailable
}

// disturb lets a replica be for a moment, has it stand still for one, or kills it.
func disturb(t *testing.T, standby *storetest.Cluster) {
	t.Helper()
	var err error
	switch rand.IntN(8) {
	case 0, 1, 2:
		err = standby.Execute(t.Context(), "SELECT pg_wal_replay_pause()")
		time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
		if err == nil {
			err = standby.Execute(t.Context(), "SELECT pg_wal_replay_resume()")
		}
	case 3:
		standby.Crash()
		err = standby.Restart()
	}
	if err != nil {
		t.Fatal(fmt.Errorf("disturb the replica: %w", err))
	}
	time.Sleep(time.Duration(50+rand.IntN(300)) * time.Millisecond)
}
