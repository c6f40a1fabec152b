package store_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"certstate"
	"certstate/edm"
	"certstate/store"
	"certstate/store/storetest"
)

var shardKills = flag.Int("shard-kills", 4, "kills of TestShardKilled")

// shards is a register on three servers: one with the tables of the whole
// register, which sends what is a tenant's to the two that have the records.
type shards struct {
	front *storetest.Cluster
	nodes [2]*storetest.Cluster
	url   string
}

func startShards(t *testing.T) *shards {
	t.Helper()
	s := &shards{front: startCluster(t)}
	create := func(c *storetest.Cluster) string {
		url, err := c.Create(t.Context(), "sharded")
		if err != nil {
			t.Fatal(err)
		}
		return url
	}
	s.url = create(s.front)
	var names, urls []string
	for i := range s.nodes {
		s.nodes[i] = startCluster(t)
		names, urls = append(names, fmt.Sprint("node", i)), append(urls, create(s.nodes[i]))
		if err := s.front.Attach(t.Context(), "sharded", names[i], s.nodes[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.CreateShards(t.Context(), s.url, names, urls); err != nil {
		t.Fatal(err)
	}
	return s
}

// nodeOf is the number of the server that has a tenant's records.
func (s *shards) nodeOf(t *testing.T, tenantID string) int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var table string
	const where = "SELECT tableoid::regclass::text FROM seq WHERE tenant = (SELECT no FROM tenant WHERE tenant = $1)"
	if err := conn.QueryRow(t.Context(), where, tenantID).Scan(&table); err != nil {
		t.Fatal(err)
	}
	return int(table[len(table)-1] - '0')
}

// spread enrols tenants until both nodes have one, and returns one of each.
func (s *shards) spread(t *testing.T, st *store.Store) (tenants [2]store.Tenant) {
	t.Helper()
	for i := 0; tenants[0].ID == "" || tenants[1].ID == ""; i++ {
		id := fmt.Sprintf("%08d-2222-4333-8444-555555555555", i)
		if _, err := st.AddTenant(t.Context(), id, ""); err != nil {
			t.Fatal(err)
		}
		tenants[s.nodeOf(t, id)] = tenant(t, st, id)
	}
	return tenants
}

// Queries mean the same on a register of three servers, and each statement that
// serves a request is one server's: the front's own record of its plans says so.
func TestShardsAnswerAlone(t *testing.T) {
	t.Parallel()
	rig := startShards(t)
	for _, setting := range []string{"session_preload_libraries = 'auto_explain'", "auto_explain.log_min_duration = 0", "auto_explain.log_verbose = on", "auto_explain.log_analyze = on", "auto_explain.log_timing = off", "log_min_messages = 'log'"} {
		if err := rig.front.Execute(t.Context(), "ALTER DATABASE sharded SET "+setting); err != nil {
			t.Fatal(err)
		}
	}
	queriesMeanTheSame(t, rig.url, store.Options{}, *queries/20)
	s, tn := openWith(t, rig.url, store.Options{Serve: true})
	touchEverything(t, s, tn)
	log, err := rig.front.Log()
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]bool{}
	for _, plan := range strings.Split(string(log), "\tQuery Text: ")[1:] {
		plan, _, _ = strings.Cut(plan, "LOG:  duration")
		text, _, _ := strings.Cut(plan, "\n")
		if strings.Contains(text, "-- of every tenant") || strings.Contains(text, "tableoid") {
			continue
		}
		nodes := map[string]bool{}
		for _, m := range regexp.MustCompile(`public\.(?:seq|state|past|change|word|stamp|once|certificate|job|piece|reject|source|reported|gap)_(\d)\b[^\n]*\(actual`).FindAllStringSubmatch(plan, -1) {
			nodes[m[1]] = true
		}
		if len(nodes) > 1 {
			t.Fatalf("asks %q: %.4000s", slices.Sorted(maps.Keys(nodes)), plan)
		}
		if len(nodes) == 1 || regexp.MustCompile(`Insert on public\.(seq|state|past|change|word|stamp|once|certificate|job|piece|reject|source|reported|gap)\b`).MatchString(plan) { // of one part's rows
			texts[text] = true
		}
	}
	kinds := map[string]int{}
	for text := range texts {
		verb, _, _ := strings.Cut(text, " ")
		kinds[verb]++
	}
	t.Logf("%d statements, each of one server's: %v", len(texts), kinds)
	if kinds["SELECT"] < 50 || kinds["INSERT"] < 5 || kinds["UPDATE"] < 3 || kinds["DELETE"] < 4 {
		t.Error("the front's log lacks statements")
	}
}

// touchEverything does what requests do, and what the server does by itself.
func touchEverything(t *testing.T, s *store.Store, tn store.Tenant) {
	t.Helper()
	readEverything(t, s, tn)
	made, err := s.Create(t.Context(), tn, certstate.State{DeviceName: edm.Str("a laptop"), KeyUsages: edm.Int(1)}, by)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.EmptyRound(t.Context(), tn)
	if err != nil {
		t.Fatal(err)
	}
	name, _ := certstate.Lookup("managedDeviceDisplayName")
	if _, err := s.Update(t.Context(), tn, made.ID.S, &certstate.State{DeviceName: edm.Str("another")}, 1<<name, nil, by); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(t.Context(), tn, made.ID.S, certstate.All); err != nil {
		t.Error(err)
	}
	if _, err := s.GetAsOf(t.Context(), tn, made.ID.S, certstate.All, made.Version); err != nil {
		t.Error(err)
	}
	if err := s.Delete(t.Context(), tn, made.ID.S, nil, by); err != nil {
		t.Error(err)
	}
	if r, err = s.NextRound(t.Context(), tn, r.Head); err == nil {
		_, _, err = s.Delta(t.Context(), tn, odataQuery(t, "$filter=certificateKeyUsages eq 1"), r, 10, func(store.Told) error { return nil })
	}
	if err != nil {
		t.Error(err)
	}
	if _, err := s.Live(t.Context(), tn); err != nil {
		t.Error(err)
	}
	if err := s.Prune(t.Context(), time.Now().Add(time.Hour), quietly); err != nil {
		t.Error(err)
	}
	touchJobs(t, s, tn)
}

func touchJobs(t *testing.T, s *store.Store, tn store.Tenant) {
	t.Helper()
	j := &store.Job{ID: "job", Kind: store.Import, Asked: "{}"}
	err := s.AddJob(t.Context(), tn, j)
	if err == nil {
		_, err = s.Receive(t.Context(), tn, j, 0, 4, []byte("file"))
	}
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.BeginWork(t.Context(), idle)
	if err != nil || w == nil {
		t.Fatal(w, err)
	}
	if _, err := s.Upload(t.Context(), w).ReadAt(make([]byte, 4), 0); err != nil {
		t.Error(err)
	}
	if err := s.Tell(t.Context(), w, "", 1, []string{"left out"}); err != nil {
		t.Error(err)
	}
	if err := s.EndWork(t.Context(), w, store.JobDone, "", 2, nil); err != nil {
		t.Error(err)
	}
	if list, err := s.Jobs(t.Context(), tn, store.Import); err != nil || len(list) != 1 || list[0].Status != store.JobDone {
		t.Error(list, err)
	}
	if err := s.Rejects(t.Context(), tn, "job", 0, 10, func(int, string) error { return nil }); err != nil {
		t.Error(err)
	}
	if err := s.ForgetJobs(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.DeleteJob(t.Context(), tn, store.Import, "job"); err != nil {
		t.Error(err)
	}
}

// TestShardKilled kills a node again and again, and the front too, while two
// servers write for tenants of both nodes. Changes of the tenant whose node is
// away are refused; the other's go on; and each keeps just what was acknowledged.
func TestShardKilled(t *testing.T) {
	if testing.Short() {
		*shardKills = 1
	}
	t.Parallel()
	rig := startShards(t)
	var servers [2]*store.Store
	for i := range servers {
		servers[i], _ = openWith(t, rig.url, store.Options{Serve: true})
	}
	tenants := rig.spread(t, servers[0])
	models := [2]*model{newModel(), newModel()}
	var stops []func() error
	for i, tn := range tenants {
		stops = append(stops, startWriters(t, models[i], tn, 3, servers[:]...))
	}
	for n := range *shardKills {
		for _, m := range models {
			writesGoOn(t, m)
		}
		time.Sleep(rand.N(100 * time.Millisecond))
		down, victim := n%3, rig.front
		if down < len(rig.nodes) {
			victim = rig.nodes[down]
		}
		victim.Crash()
		if down < len(rig.nodes) {
			if _, err := servers[0].Create(t.Context(), tenants[down], certstate.State{}, by); certstate.ErrorCode(err) != certstate.Unavailable {
				t.Errorf("a change of a tenant whose node is away is answered %v", err)
			}
			writesGoOn(t, models[1-down])
			if _, err := servers[1].Count(t.Context(), tenants[down], odataQuery(t, "$filter=certificateKeyUsages eq 1"), edm.DateTimeOffset{}, nil); certstate.ErrorCode(servers[1].Judge(err)) != certstate.Unavailable {
				t.Errorf("a count of records whose node is away is answered %v", err)
			}
		}
		if err := victim.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range models {
		writesGoOn(t, m)
		if err := stops[i](); err != nil {
			t.Error(err)
		}
	}
	for i, m := range models {
		if err := m.check(t.Context(), servers[1], tenants[i]); err != nil {
			t.Errorf("tenant of node %d: %v", i, err)
		}
		t.Logf("tenant of node %d: %s", i, m)
		f := newFollower(servers[0], tenants[i], "", 0)
		f.round(t)
		f.equalsTable(t)
	}
}
