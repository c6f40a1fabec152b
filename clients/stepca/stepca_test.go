// Package stepca has a real step-ca issue certificates over SCEP, ACME and by token,
// while the register that follows it is killed and started again.
package stepca

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"certstate/sources/dbtest"
	"certstate/store/storetest"
)

const tenant = "8d9f61b2-0f1e-4c6d-9a51-3f5b1c1e7a10"

// register is a register's server and its database.
type register struct {
	database  string
	flags     []string
	tell      string // where it listens for sources
	process   *program
	authority *authority
}

func newRegister(t *testing.T, a *authority) *register {
	t.Helper()
	r := &register{database: "sqlite:" + filepath.Join(t.TempDir(), "register.db"), tell: freeAddress(t), authority: a}
	cert, key := a.registerPair(t)
	r.flags = []string{"serve", "--database", r.database, "--listen", "localhost:0", "--base-url", "http://localhost:1", "--issuer", "entra:global", "--audience", "api://certstate",
		"--sources-listen", r.tell, "--sources-tls-cert", cert, "--sources-tls-key", key}
	r.do(t, "tenant", "add", tenant)
	return r
}

// do runs a verb of certstate and returns what it writes.
func (r *register) do(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(certstate, append(args, "--database", r.database)...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("certstate %s: %v: %s", strings.Join(args, " "), err, &said)
	}
	return string(out)
}

func (r *register) start(t *testing.T) {
	t.Helper()
	r.process = run(t, "certstate", exec.Command(certstate, r.flags...))
	r.process.until(t, "listens", func() bool { return strings.Contains(r.process.log.String(), "listening for sources") })
}

// source is how the source stands.
func (r *register) source(t *testing.T) map[string]string {
	t.Helper()
	var list []map[string]string
	if err := json.Unmarshal([]byte(r.do(t, "source", "list", "--tenant", tenant, "-o", "json")), &list); err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	return list[0]
}

// records are the fingerprints of what a filter selects, in order.
func (r *register) records(t *testing.T, filter string) (list []string) {
	t.Helper()
	for line := range strings.Lines(r.do(t, "export", "--tenant", tenant, "--format", "ndjson", "--select", "certificateSha256Thumbprint", "--filter", filter)) {
		var row map[string]string
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		list = append(list, row["certificateSha256Thumbprint"])
	}
	slices.Sort(list)
	return list
}

// issuing is what a step-ca has issued.
type issuing struct {
	*authority
	ways map[string]way
	list map[string][]*x509.Certificate // by way
}

// issue has so many certificates issued, two in three over SCEP.
func (i *issuing) issue(t *testing.T, n int) {
	t.Helper()
	for k := range n {
		name := []string{"scep", "jwk", "scep", "scep", "acme", "scep"}[k%6]
		c, err := i.ways[name](t, i.authority, fmt.Sprintf("device-%d-%s", len(i.list["scep"])+len(i.list["jwk"])+len(i.list["acme"]), name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		i.list[name] = append(i.list[name], c)
	}
}

func (i *issuing) fingerprints() (list []string) {
	for name := range maps.Keys(i.list) {
		list = append(list, fingerprints(i.list[name])...)
	}
	slices.Sort(list)
	return list
}

func fingerprints(certs []*x509.Certificate) (list []string) {
	for _, c := range certs {
		sum := sha256.Sum256(c.Raw)
		list = append(list, hex.EncodeToString(sum[:]))
	}
	slices.Sort(list)
	return list
}

// startDatabase starts a PostgreSQL server for a step-ca.
func startDatabase(t *testing.T) (url string) {
	t.Helper()
	cluster, err := storetest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	if url, err = cluster.Create(t.Context(), "stepca"); err != nil {
		t.Fatal(err)
	}
	return url
}

// Every certificate that a step-ca issues is a record, though the register was dead
// for a third of the time: what it was not told is a gap, and what nobody is told of
// is found too. What is revoked meanwhile is revoked.
func TestFollow(t *testing.T) {
	t.Run("postgresql", func(t *testing.T) {
		url := startDatabase(t)
		follow(t, map[string]any{"type": "postgresql", "dataSource": url}, url)
	})
	t.Run("mysql", func(t *testing.T) {
		server := dbtest.Start(t)
		follow(t, map[string]any{"type": "mysql", "dataSource": server.DataSource(""), "database": "stepca"}, "mysql://root@localhost/stepca?socket="+server.Socket)
	})
}

func follow(t *testing.T, database map[string]any, url string) {
	t.Helper()
	a := newAuthority(t)
	r := newRegister(t, a)
	a.configure(t, database, "https://"+r.tell+"/"+tenant+"/lab")
	a.start(t)
	r.do(t, "source", "add", "lab", "--tenant", tenant, "--roots", a.path("root.crt"), "--ca-database", url, "--every", "1s")
	r.start(t)
	r.process.until(t, "has read the source", func() bool { return r.source(t)["watermark"] != "-" })

	i := &issuing{a, map[string]way{"scep": overSCEP(newRSA(t)), "jwk": byToken, "acme": overACME}, map[string][]*x509.Certificate{}}
	began := time.Now()
	i.issue(t, *count/3)
	r.process.end(syscall.SIGKILL)
	up := len(i.list["scep"])
	i.issue(t, *count/3)
	missed := fingerprints(i.list["scep"][up:])
	revoked := []*x509.Certificate{i.list["scep"][0], i.list["scep"][up], i.list["jwk"][0]}
	for _, c := range revoked {
		a.revoke(t, c)
	}
	r.start(t)
	i.issue(t, *count-2*(*count/3))
	t.Logf("%d certificates issued in %s: %d over SCEP, %d of them while the register was dead, %d over ACME, %d by token", *count, time.Since(began).Round(time.Second),
		len(i.list["scep"]), len(missed), len(i.list["acme"]), len(i.list["jwk"]))

	end := time.Now().UTC().Format(time.RFC3339)
	r.process.until(t, "has read all", func() bool {
		src := r.source(t)
		return src["watermark"] > end && src["known"] == strconv.Itoa(*count)
	})
	want := i.fingerprints()
	if got := r.records(t, "source eq 'lab'"); !slices.Equal(got, want) {
		t.Errorf("%d records, and %d certificates were issued: %v, %v", len(got), len(want), got, want)
	}
	src := r.source(t)
	t.Logf("the source: %v", src)
	if src["gaps"] != strconv.Itoa(len(missed)) || src["notified"] != strconv.Itoa(len(i.list["scep"])-len(missed)) || src["fault"] != "-" {
		t.Errorf("the source says %v, want %d gaps", src, len(missed))
	}
	var gaps []map[string]string
	if err := json.Unmarshal([]byte(r.do(t, "source", "gaps", "lab", "--tenant", tenant, "-o", "json")), &gaps); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, g := range gaps {
		found = append(found, g["sha256"])
		if g["recoveredBy"] != "reconcile" || g["issuedBy"] != "scep (SCEP)" {
			t.Errorf("gap %v", g)
		}
	}
	if slices.Sort(found); !slices.Equal(found, missed) {
		t.Errorf("gaps %v, want %v", found, missed)
	}
	if got := r.records(t, "certificateRevokeStatus eq 'revoked'"); !slices.Equal(got, fingerprints(revoked)) {
		t.Errorf("revoked: %v", got)
	}
	r.do(t, "check")
}

// databases are those of a step-ca that are no PostgreSQL: what its configuration
// names, and where it is read, by type.
var databases = map[string]func(t *testing.T) (configured map[string]any, place string){
	"badger": files, "badgerv1": files, "badgerv2": files, "bbolt": files,
	"mysql": func(t *testing.T) (map[string]any, string) {
		server := dbtest.Start(t)
		return map[string]any{"dataSource": server.DataSource(""), "database": "stepca"}, server.DataSource("stepca")
	},
}

func files(t *testing.T) (map[string]any, string) {
	path := filepath.Join(t.TempDir(), "db")
	return map[string]any{"dataSource": path}, path
}

// What a step-ca keeps, in files of its own or in MariaDB, is imported once it is
// stopped.
func TestImport(t *testing.T) {
	for kind, database := range databases {
		t.Run(kind, func(t *testing.T) {
			a := newAuthority(t)
			r := newRegister(t, a)
			configured, place := database(t)
			configured["type"] = kind
			a.configure(t, configured, "")
			a.start(t)
			i := &issuing{a, map[string]way{"scep": overSCEP(newRSA(t)), "jwk": byToken, "acme": overACME}, map[string][]*x509.Certificate{}}
			i.issue(t, 6)
			a.revoke(t, i.list["acme"][0])
			a.process.end(syscall.SIGTERM)
			for _, want := range []string{"6 records created, 0 left out", "0 records created, 6 there already, 0 left out"} {
				if said := r.do(t, "import", "--tenant", tenant, "--from-step-ca", place); !strings.HasPrefix(said, want) {
					t.Errorf("import: %s, want %s", said, want)
				}
			}
			if got := r.records(t, "source eq 'step-ca'"); !slices.Equal(got, i.fingerprints()) {
				t.Errorf("records %v, want %v", got, i.fingerprints())
			}
			if got := r.records(t, "certificateRevokeStatus eq 'revoked'"); !slices.Equal(got, fingerprints(i.list["acme"])) {
				t.Errorf("revoked: %v", got)
			}
		})
	}
}
