package main

import (
	"archive/tar"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"certstate"
	"certstate/odata"
	"certstate/store"
	"certstate/store/storetest"
)

const killTenant = "8d9f61b2-0f1e-4c6d-9a51-3f5b1c1e7a10"

var killRows = flag.Int("kill-rows", 6000, "rows of TestImportKilled; beyond 30,000 a fifth as many certificates")

// TestImportKilled kills an import in the middle twice, runs it again, and compares
// what is there with what an import has that nobody disturbed: nothing is missing,
// nothing is there twice, and running it once more changes nothing.
func TestImportKilled(t *testing.T) {
	for _, in := range []struct {
		name string
		make func(n int) []byte
		rows int
	}{
		{"ndjson", manyLines, *killRows},
		{"csv", manyRows, *killRows},
		{"certificates", func(n int) []byte { return manyCertificates(t, n) }, min(*killRows, max(6_000, *killRows/5))},
	} {
		t.Run(in.name, func(t *testing.T) {
			data := in.make(in.rows)
			whole := fillable(t, storetest.Engines[0].URL(t))
			whole.run(t, data, len(data))
			want := whole.records(t)
			storetest.EachEngine(t, func(t *testing.T, url string) {
				if testing.Short() && !strings.HasPrefix(url, "sqlite:") {
					t.Skip("SKIPPED: -short kills imports into SQLite only")
				}
				r := fillable(t, url)
				for _, part := range []int{len(data) / 2, len(data) / 4 * 3} {
					r.run(t, data, part)
					if n := r.live(t); n == 0 || n >= int64(in.rows) {
						t.Fatalf("killed in the middle, %d of %d records are there: the test saw nothing", n, in.rows)
					}
				}
				out := r.run(t, data, len(data))
				if !strings.Contains(out, " there already, 0") {
					t.Errorf("run again: %s", out)
				}
				if got := r.records(t); !maps.Equal(got, want) || len(got) != in.rows {
					t.Errorf("%d different records, want %d", len(got), in.rows)
				}
				if out := r.run(t, data, len(data)); !strings.HasPrefix(out, fmt.Sprintf("0 records created, %d there already, 0", in.rows)) {
					t.Errorf("run once more: %s", out)
				}
			})
		})
	}
}

// register is a database that a program of its own fills.
type register struct{ url string }

// fillable is an empty one.
func fillable(t *testing.T, url string) *register {
	t.Helper()
	s, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.AddTenant(t.Context(), killTenant, ""); err != nil {
		t.Fatal(err)
	}
	return &register{url}
}

// run imports data, and kills the program once it has taken so much of it: the
// program reads as it writes, but for what the pipe and its buffers hold.
func (r *register) run(t *testing.T, data []byte, upTo int) (out string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := program(exe, &stderr, "import", "--database", r.url, "--tenant", killTenant, "-")
	cmd.Stdout = &stdout
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(data[:upTo]); err != nil {
		t.Errorf("the import takes no more: %v: %s", err, &stderr)
	}
	if upTo < len(data) {
		for deadline := time.Now().Add(30 * time.Second); r.live(t) == 0 && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond)
		}
		_ = cmd.Process.Kill()
	}
	_ = in.Close()
	if err := cmd.Wait(); (err != nil) != (upTo < len(data)) {
		t.Fatalf("import: %v: %s", err, &stderr)
	}
	return stdout.String()
}

// program is this one, as a process of its own.
func program(exe string, out io.Writer, args ...string) *exec.Cmd {
	return &exec.Cmd{Path: exe, Args: append([]string{"certstate"}, args...), Stdout: out, Stderr: out, Env: os.Environ()}
}

// records are what is there, without what differs each time, and how often.
func (r *register) records(t *testing.T) map[[sha256.Size]byte]int {
	t.Helper()
	m := map[[sha256.Size]byte]int{}
	r.each(t, func(st *certstate.State) {
		var text []byte
		for i := range certstate.Properties {
			p := &certstate.Properties[i]
			if random := i == 0 && st.Certificate.Valid; !random && p.Name != "createdDateTime" && p.Name != "lastModifiedDateTime" {
				text = p.Field(st).AppendJSON(append(text, ' '))
			}
		}
		m[sha256.Sum256(text)]++
	})
	return m
}

// with calls fn with the register and its tenant.
func (r *register) with(t *testing.T, fn func(*store.Store, store.Tenant) error) {
	t.Helper()
	s, err := store.Open(t.Context(), r.url, store.Options{Patient: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tn, err := s.Tenant(t.Context(), killTenant)
	if err == nil {
		err = fn(s, tn)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// each calls fn for each record.
func (r *register) each(t *testing.T, fn func(*certstate.State)) {
	t.Helper()
	r.with(t, func(s *store.Store, tn store.Tenant) error {
		_, err := s.List(t.Context(), tn, &odata.Query{Select: certstate.All}, store.Position{}, 1<<30, func(st *certstate.State) error {
			fn(st)
			return nil
		})
		return err
	})
}

// live is how many records there are.
func (r *register) live(t *testing.T) (n int64) {
	t.Helper()
	r.with(t, func(s *store.Store, tn store.Tenant) (err error) {
		n, err = s.Live(t.Context(), tn)
		return err
	})
	return n
}

// manyLines are records, every other with an id.
func manyLines(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		id := ""
		if i%2 == 0 {
			id = fmt.Sprintf(`"id":"r%d",`, i)
		}
		fmt.Fprintf(&b, `{%s"managedDeviceDisplayName":"LAPTOP-%d","certificateThumbprint":"%040X","certificateExpirationDateTime":"2027-01-01T00:00:00Z"}`+"\n", id, i, i)
	}
	return b.Bytes()
}

// manyRows are rows of Intune's report.
func manyRows(n int) []byte {
	var b bytes.Buffer
	b.WriteString("CertificateStatus,DeviceId,DeviceName,IssuerName,KeyUsage,SerialNumber,SubjectName,Thumbprint,UPN,ValidFrom,ValidTo\r\n")
	for i := range n {
		fmt.Fprintf(&b, "Issued,d%d,LAPTOP-%d,\"CN=CA,O=Fleet\",160,%X,CN=LAPTOP-%d,%040X,u%d@fleet.example,2026-01-01 00:00:00.0000000,2027-01-01 00:00:00.0000000\r\n", i, i, i+1, i, i, i)
	}
	return b.Bytes()
}

// manyCertificates is an archive of certificates, each a device's.
func manyCertificates(t testing.TB, n int) []byte {
	t.Helper()
	key := newKey(t)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range n {
		name := fmt.Sprintf("LAPTOP-%d", i)
		der := issued(t, key, name, i)
		err := w.WriteHeader(&tar.Header{Name: "devices/" + name + ".der", Mode: 0o600, Size: int64(len(der))})
		if _, e := io.Copy(w, bytes.NewReader(der)); err != nil || e != nil {
			t.Fatal(errors.Join(err, e))
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issued is a certificate of a device.
func issued(t testing.TB, key *ecdsa.PrivateKey, name string, n int) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(int64(n + 1)), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name + ".fleet.example"}, NotAfter: time.Unix(1<<31, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
