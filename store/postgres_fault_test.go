package store_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
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

var postgresFaults = flag.Int("postgres-faults", 50, "faults of TestPostgresFaults")

// ledger is what writers were told of their records.
type ledger struct {
	mu      sync.Mutex
	outcome map[string]string // id → kept, refused or unknown
}

func (l *ledger) create(ctx context.Context, s *store.Store, tn store.Tenant, id string) {
	_, err := s.Create(ctx, tn, certstate.State{ID: edm.Str(id), DeviceName: edm.Str("device " + id)}, by)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.outcome[id] = "kept"
	case strings.Contains(err.Error(), "Whether it was is unknown"):
		l.outcome[id] = "unknown"
	default:
		l.outcome[id] = "refused"
		if certstate.ErrorCode(err) != certstate.Unavailable {
			l.outcome[id] = err.Error()
		}
	}
}

// check holds the register to what was told: what was kept is there once, what
// was refused is not, and the log has neither a gap nor a repeat.
func (l *ledger) check(t *testing.T, s *store.Store, tn store.Tenant) (counts map[string]int) {
	t.Helper()
	if err := s.Verify(t.Context(), quietly); err != nil {
		t.Error(err)
	}
	there, changes, err := foldChanges(t.Context(), s, tn)
	if err != nil {
		t.Error(err)
	}
	rows := map[string]int{}
	if _, err := s.List(t.Context(), tn, &odata.Query{Select: certstate.All}, store.Position{}, 1<<30, func(st *certstate.State) error {
		rows[st.ID.S]++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	counts = map[string]int{}
	for id, outcome := range l.outcome {
		counts[outcome]++
		want := map[string]int{"kept": 1, "refused": 0, "unknown": rows[id]}
		n, known := want[outcome]
		if !known || rows[id] != n || changes[id] != n || there[id] != (n == 1) {
			t.Errorf("%s: told %q, there are %d and %d changes", id, outcome, rows[id], changes[id])
		}
	}
	if len(rows) != len(there) {
		t.Errorf("%d records, the log has %d", len(rows), len(there))
	}
	for id := range rows {
		if l.outcome[id] == "" {
			t.Errorf("%s was never asked for", id)
		}
	}
	return counts
}

// TestPostgresFaults has two servers with four writers each write to a database
// whose processes are killed again and again, one by one and all together.
func TestPostgresFaults(t *testing.T) {
	if testing.Short() {
		*postgresFaults = 8
	}
	t.Parallel()
	if err := postgresFaultsLose(t, "on", *postgresFaults); err != nil {
		t.Error(err)
	}
}

// A database that answers before it has written is found out by the same.
func TestPostgresFaultsAreFound(t *testing.T) {
	t.Parallel()
	if err := postgresFaultsLose(t, "off", 8); err == nil {
		t.Error("acknowledged writes that were lost are not missed")
	} else {
		t.Log(err)
	}
}

// postgresFaultsLose reports what is not as it was acknowledged after faults of a
// database with a setting of synchronous_commit.
func postgresFaultsLose(t *testing.T, synchronousCommit string, faults int) error {
	t.Helper()
	cluster := startCluster(t)
	dsn, err := cluster.Create(t.Context(), "faults")
	if err == nil {
		err = cluster.Execute(t.Context(), "ALTER DATABASE faults SET synchronous_commit = "+synchronousCommit)
	}
	if err != nil {
		t.Fatal(err)
	}
	if synchronousCommit == "on" {
		plain(t, dsn)
	}
	log := &logText{}
	var servers [2]*store.Store
	var tn store.Tenant
	for i := range servers {
		servers[i], tn = openWith(t, dsn, store.Options{Serve: true, Log: slog.New(slog.NewTextHandler(log, nil))})
	}
	m := newModel()
	stop := startWriters(t, m, tn, 4, servers[:]...)
	for n := range faults {
		writesGoOn(t, m)
		time.Sleep(rand.N(100 * time.Millisecond))
		if n%4 == 3 {
			cluster.Crash()
			if err := cluster.Restart(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		terminate(t, cluster)
	}
	writesGoOn(t, m)
	wrote := stop()
	for _, s := range servers {
		becomesReady(t, s)
	}
	err = errors.Join(wrote, m.check(t.Context(), servers[1], tn))
	t.Logf("%d faults: %s; %d commits were found to have happened", faults, m, log.count("found to have happened"))
	return err
}

// writesGoOn returns once some more writes were acknowledged.
func writesGoOn(t *testing.T, m *model) {
	t.Helper()
	want := m.count() + 20
	for end := time.Now().Add(30 * time.Second); m.count() < want && !t.Failed(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no writes are acknowledged any more")
		}
	}
}

// becomesReady returns once the server is ready: connections from before the last
// fault may be what it finds first.
func becomesReady(t *testing.T, s *store.Store) {
	t.Helper()
	err := s.Ready(t.Context())
	for end := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(end); err = s.Ready(t.Context()) {
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Error(err)
	}
}

func startCluster(t *testing.T) *storetest.Cluster {
	t.Helper()
	cluster, err := storetest.Start()
	if err != nil {
		t.Skip("no PostgreSQL: ", err)
	}
	t.Cleanup(cluster.Stop)
	return cluster
}

// terminate ends all the connections that servers have.
func terminate(t *testing.T, cluster *storetest.Cluster) {
	conn, err := pgx.Connect(t.Context(), cluster.URL("postgres"))
	if err == nil {
		_, err = conn.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'certstate'")
		_ = conn.Close(t.Context())
	}
	if err != nil {
		t.Error(err)
	}
}

// While the database is away changes are refused and the server is not ready;
// once it is back, all is as before.
func TestPostgresComesBack(t *testing.T) {
	cluster := startCluster(t)
	dsn, err := cluster.Create(t.Context(), "back")
	if err != nil {
		t.Fatal(err)
	}
	s, tn := open(t, dsn)
	l := &ledger{outcome: map[string]string{}}
	l.create(t.Context(), s, tn, "before")
	cluster.Crash()
	if err := s.Ready(t.Context()); err == nil {
		t.Error("ready without a database")
	}
	l.create(t.Context(), s, tn, "during")
	_, err = s.Get(t.Context(), tn, "before", certstate.All)
	if err = s.Judge(err); certstate.ErrorCode(err) != certstate.Unavailable {
		t.Error(err)
	}
	if err := cluster.Restart(); err != nil {
		t.Fatal(err)
	}
	l.create(t.Context(), s, tn, "after")
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if counts := l.check(t, s, tn); counts["kept"] != 2 || counts["refused"] != 1 {
		t.Error(counts)
	}
}

// A commit whose answer is lost is answered by what happened to it: it is not
// done twice, and not given up.
func TestPostgresLostCommit(t *testing.T) {
	t.Run("plain", func(t *testing.T) { lostCommit(t, plain(t, storetest.Postgres(t))) })
	t.Run("partitioned", func(t *testing.T) { lostCommit(t, storetest.Postgres(t)) })
}

func lostCommit(t *testing.T, dsn string) {
	const cuts = 5
	for when, found := range map[cut][2]int{beforeCommit: {0, 0}, atCommit: {0, cuts}, afterCommit: {cuts, cuts}} {
		t.Run(string(when), func(t *testing.T) {
			p := newProxy(t, dsn)
			log := &logText{}
			s, err := store.Open(t.Context(), p.url, store.Options{Log: slog.New(slog.NewTextHandler(log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := s.AddTenant(t.Context(), tenantID, ""); err != nil {
				t.Fatal(err)
			}
			tn := tenant(t, s, tenantID)
			l := &ledger{outcome: map[string]string{}}
			if err := s.Changes(t.Context(), tn, 0, 1<<30, func(c *certstate.Change) error {
				l.outcome[c.ID] = "kept"
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			for i := range cuts {
				p.next.Store(when)
				l.create(t.Context(), s, tn, fmt.Sprint(when, i))
				if p.next.Load() != cut("") {
					t.Fatal("no commit was cut off")
				}
			}
			if counts := l.check(t, s, tn); counts["kept"] != len(l.outcome) {
				t.Error(counts)
			}
			if n := log.count("found to have happened"); n < found[0] || n > found[1] {
				t.Errorf("%d commits were found to have happened, want %d to %d", n, found[0], found[1])
			}
		})
	}
}

// cut is when a connection is lost.
type cut string

const (
	beforeCommit cut = "before the server has the commit"
	atCommit     cut = "while the server has it"
	afterCommit  cut = "after the server has answered it"
)

// proxy stands between a server and its database and cuts a connection when a
// commit passes.
type proxy struct {
	url  string
	next atomic.Value // cut, "" for none
	sent atomic.Int64 // how often something was sent to the database
}

func newProxy(t *testing.T, dsn string) *proxy {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	u := url.URL{Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: l.Addr().String(), Path: config.Database, RawQuery: "sslmode=disable"}
	p := &proxy{url: u.String()}
	p.next.Store(cut(""))
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client, config)
		}
	}()
	return p
}

func (p *proxy) serve(client net.Conn, config *pgx.ConnConfig) {
	defer client.Close()
	network, address := "tcp", net.JoinHostPort(config.Host, fmt.Sprint(config.Port))
	if strings.HasPrefix(config.Host, "/") {
		network, address = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", config.Host, config.Port)
	}
	server, err := net.Dial(network, address)
	if err != nil {
		return
	}
	defer server.Close()
	var silent atomic.Bool // the server's answer is the end
	go func() {
		defer client.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			if err != nil || silent.Load() {
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		p.sent.Add(1)
		if when := p.next.Load().(cut); when != "" && bytes.Contains(buffer[:n], []byte("COMMIT\x00")) {
			p.next.Store(cut(""))
			switch when {
			case beforeCommit:
				return
			case atCommit:
				_ = client.Close() // the answer has nowhere to go
			case afterCommit:
				silent.Store(true)
			}
			_, _ = server.Write(buffer[:n])
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// A change takes few round trips: a database may be far.
func TestPostgresRoundTrips(t *testing.T) {
	p := newProxy(t, plain(t, storetest.Postgres(t)))
	s, tn := open(t, p.url)
	name, _ := certstate.Lookup("managedDeviceDisplayName")
	for i := range 4 {
		before := p.sent.Load()
		made, err := s.Create(t.Context(), tn, certstate.State{DeviceName: edm.Str(fmt.Sprint("laptop ", i))}, by)
		if err != nil {
			t.Fatal(err)
		}
		created := p.sent.Load() - before
		_, err = s.Update(t.Context(), tn, made.ID.S, &certstate.State{DeviceName: edm.Str(fmt.Sprint("desktop ", i))}, 1<<name, nil, by)
		if updated := p.sent.Load() - before - created; i == 3 && (created > 4 || updated > 4 || err != nil) { // by then all is prepared
			t.Errorf("a creation takes %d round trips, an update %d, %v; want 4 each", created, updated, err)
		}
	}
}

// A server whose number went to another takes a new one, and writes nothing
// with the old.
func TestPostgresLeases(t *testing.T) {
	dsn := plain(t, storetest.Postgres(t))
	a, tn := open(t, dsn)
	b, _ := open(t, dsn)
	l := &ledger{outcome: map[string]string{}}
	write := func(s *store.Store, id string) { l.create(t.Context(), s, tn, id) }
	write(a, "a1")
	write(b, "b1")
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	numbers := func() (held, nodes int) {
		row := conn.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM node WHERE holder <> ''), (SELECT count(DISTINCT k >> 12 & 1023) FROM state)")
		if err := row.Scan(&held, &nodes); err != nil {
			t.Fatal(err)
		}
		return held, nodes
	}
	if held, nodes := numbers(); held != 2 || nodes != 2 {
		t.Errorf("two servers hold %d numbers, and made keys with %d", held, nodes)
	}
	// As if both had been silent for a minute: they go on with what they have.
	if _, err := conn.Exec(t.Context(), "UPDATE node SET until = 1 WHERE holder <> ''"); err != nil {
		t.Fatal(err)
	}
	write(a, "a2")
	// As if another had taken the numbers then.
	if _, err := conn.Exec(t.Context(), "UPDATE node SET holder = 'another' WHERE holder <> ''"); err != nil {
		t.Fatal(err)
	}
	write(a, "a3")
	write(b, "b3")
	if held, nodes := numbers(); held != 4 || nodes != 4 {
		t.Errorf("%d numbers are held, keys made with %d", held, nodes)
	}
	if counts := l.check(t, a, tn); counts["kept"] != 5 {
		t.Error(counts)
	}
}
