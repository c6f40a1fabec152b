package store_test

import (
	"strings"
	"testing"

	"certstate/store"
)

// Behind PgBouncer, which hands connections out by the transaction, all is as
// without: queries, history and delta, and changes by two servers whose
// connections are ended again and again.
func TestPooler(t *testing.T) {
	t.Parallel()
	cluster := startCluster(t)
	pooler, err := cluster.Pool()
	if err != nil {
		t.Skip("no PgBouncer: ", err)
	}
	t.Cleanup(pooler.Stop)
	create := func(name string) string {
		if _, err := cluster.Create(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		return pooler.URL(name)
	}
	url := create("queries")
	settings := strings.Replace(url, "&default_query_exec_mode=exec", "", 1)
	if _, err := store.Open(t.Context(), settings, store.Options{Log: quiet}); err == nil || !strings.Contains(err.Error(), "add default_query_exec_mode=exec") {
		t.Errorf("with settings of a session: %v", err)
	}
	queriesMeanTheSame(t, url, store.Options{}, *queries/10)
	s, tn := open(t, url)
	touchEverything(t, s, tn)

	url = plain(t, create("changes"))
	var servers [2]*store.Store
	for i := range servers {
		servers[i], tn = openWith(t, url, store.Options{Serve: true})
	}
	m := newModel()
	f := newFollower(servers[0], tn, "", 0)
	stop := startWriters(t, m, tn, 4, servers[:]...)
	for range 5 {
		writesGoOn(t, m)
		terminate(t, cluster)
	}
	writesGoOn(t, m)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := m.check(t.Context(), servers[1], tn); err != nil {
		t.Error(err)
	}
	t.Log(m)
	f.round(t)
	f.equalsTable(t)
}
