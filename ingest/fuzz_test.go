package ingest_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"certstate/certificate"
	"certstate/ingest"
)

// The files of testdata hold certificates made with OpenSSL, and no key.
func testdata(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no %s: %v", pattern, err)
	}
	files := map[string][]byte{}
	for _, path := range paths {
		files[filepath.Base(path)] = must(os.ReadFile(path))
	}
	return files
}

// Each file but one holds a and b, under the password x.
func TestFiles(t *testing.T) {
	for name, data := range testdata(t, "*.*") {
		want := 2
		if name == "a.der" {
			want = 1
		}
		if found, err := ingest.ReadCertificates(data, "x"); err != nil || len(found) != want {
			t.Errorf("%s: %d found, %v", name, len(found), err)
		}
	}
}

// FuzzFiles holds what a file may do to its reader: no panic, no long time, and
// nothing out of it that is a private key or that Parse cannot judge.
func FuzzFiles(f *testing.F) {
	ingest.LimitIterations.Max = 1000 // so that a run's time tells of the reader, not of the key derivation
	for _, data := range testdata(f, "*.*") {
		f.Add(data, "x")
	}
	a := newIdentity(f, "a")
	f.Add(must(x509.MarshalPKCS8PrivateKey(a.key)), "")
	f.Add(must(x509.MarshalECPrivateKey(a.key)), "")
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(a.key))}), "")
	f.Fuzz(readHostile)
}

// FuzzPKCS7 and FuzzPKCS12 begin with their kind alone, and so stay with it.
func FuzzPKCS7(f *testing.F) {
	for _, data := range testdata(f, "*.p7b") {
		f.Add(data, "")
	}
	f.Fuzz(readHostile)
}

func FuzzPKCS12(f *testing.F) {
	ingest.LimitIterations.Max = 1000
	for _, data := range testdata(f, "*.p12") {
		f.Add(data, "x")
	}
	f.Fuzz(readHostile)
}

func readHostile(t *testing.T, data []byte, password string) {
	start := time.Now()
	found, _ := ingest.ReadCertificates(data, password)
	total := 0
	for _, c := range found {
		if (c.DER == nil) == (c.Err == nil) {
			t.Fatalf("neither a certificate nor a fault, or both: %+v", c)
		}
		if total += len(c.DER); isPrivateKey(c.DER) {
			t.Fatalf("a private key got out: %x", c.DER)
		}
		if c.Err == nil {
			_, _ = certificate.Parse(c.DER)
		}
	}
	if total > len(data) {
		t.Fatalf("%d octets of certificates from %d", total, len(data))
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Fatalf("took %v", took)
	}
}

func isPrivateKey(der []byte) bool {
	_, pkcs8 := x509.ParsePKCS8PrivateKey(der)
	_, pkcs1 := x509.ParsePKCS1PrivateKey(der)
	_, sec1 := x509.ParseECPrivateKey(der)
	return pkcs8 == nil || pkcs1 == nil || sec1 == nil
}
