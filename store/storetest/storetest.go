// Package storetest gives tests a database of every engine there is.
package storetest

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// ServerVariable names the environment variable with the URL of a PostgreSQL
// server on which tests may create databases. Without it they start one of
// their own, if it is installed.
const ServerVariable = "CERTSTATE_TEST_POSTGRES"

// Engines are the engines there are. URL makes an empty database of one, and
// skips the test if it cannot.
var Engines = []struct {
	Name string
	URL  func(t testing.TB) string
}{
	{"sqlite", func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "register.db") }},
	{"postgres", Postgres},
}

// EachEngine runs a test on an empty database of each engine.
func EachEngine(t *testing.T, fn func(t *testing.T, url string)) {
	t.Helper()
	for _, e := range Engines {
		t.Run(e.Name, func(t *testing.T) { fn(t, e.URL(t)) })
	}
}

// Main runs a package's tests and then stops the server that they started.
func Main(m *testing.M) int {
	defer func() {
		if shared.cluster != nil {
			shared.cluster.Stop()
		}
	}()
	return m.Run()
}

var shared struct {
	once    sync.Once
	server  string // its URL
	cluster *Cluster
	err     error
	mu      sync.Mutex
	made    int
}

// Postgres creates a database for the test and returns its URL. It skips the
// test if there is no server.
func Postgres(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() {
		if shared.server = os.Getenv(ServerVariable); shared.server == "" {
			if shared.cluster, shared.err = Start(); shared.err == nil {
				shared.server = shared.cluster.URL("postgres")
			}
		}
	})
	if shared.err != nil {
		t.Skip("no PostgreSQL: ", shared.err)
	}
	shared.mu.Lock()
	shared.made++
	name := fmt.Sprintf("certstate_test_%d_%d", os.Getpid(), shared.made)
	shared.mu.Unlock()
	url, err := createDatabase(t.Context(), shared.server, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dropDatabase(shared.server, name); err != nil {
			t.Error(err)
		}
	})
	return url
}
