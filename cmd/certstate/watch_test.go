package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"certstate/store"
)

// What comes into a watched folder, or changes there, is brought in; a file that is
// being written is left until it is whole; after a restart nothing is doubled.
func TestWatch(t *testing.T) {
	dir, url := t.TempDir(), "sqlite:"+filepath.Join(t.TempDir(), "register.db")
	const tenant = "8d9f61b2-0f1e-4c6d-9a51-3f5b1c1e7a10"
	if code := run(t.Context(), []string{"tenant", "add", tenant, "--database", url}, nil, nil, io.Discard, io.Discard); code != 0 {
		t.Fatal(code)
	}
	issue := deviceCertificates(t)
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start := func() (stop func() string) {
		ctx, cancel := context.WithCancel(t.Context())
		var out lockedBuffer
		ended := make(chan int)
		go func() {
			ended <- run(ctx, []string{"import", "--watch", "--watch-every", "20ms", "--tenant", tenant, "--database", url, dir}, nil, nil, &out, &out)
		}()
		return func() string {
			cancel()
			if code := <-ended; code != 0 {
				t.Errorf("exit code %d: %s", code, out.String())
			}
			return out.String()
		}
	}
	write("LAPTOP-1.pem", issue("one"))
	stop := start()
	waitRecords(t, url, tenant, 1)
	write("LAPTOP-2.pem", issue("two"))
	waitRecords(t, url, tenant, 2)
	write("LAPTOP-2.pem", issue("another"))
	waitRecords(t, url, tenant, 3)
	if err := os.Mkdir(filepath.Join(dir, "site"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("site/LAPTOP-3.pem", issue("three"))
	waitRecords(t, url, tenant, 4)
	stop()
	write("LAPTOP-4.pem", issue("four"))
	stop = start()
	waitRecords(t, url, tenant, 5)
	if said := stop(); !strings.Contains(said, " there already") {
		t.Errorf("after a restart: %s", said)
	}
	waitRecords(t, url, tenant, 5)
}

// A file is ready once it is the same at two looks, or has been for long.
func TestWatcherWaits(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.pem")
	now := time.Now()
	w := newWatcher([]string{dir}, time.Second)
	looks := func(what string, want int) {
		t.Helper()
		ready, err := w.ready(now)
		if err != nil || len(ready) != want {
			t.Errorf("%s: %v, %v", what, ready, err)
		}
		for path, is := range ready {
			w.done[path] = is
		}
	}
	grow := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	grow("-----BEGIN", now)
	looks("just written", 0)
	grow("-----BEGIN CERTIFICATE", now)
	looks("it grows", 0)
	looks("as it was", 1)
	looks("done", 0)
	grow("x", now.Add(-time.Hour))
	looks("old, and other than it was", 1)
}

// lockedBuffer can be written to and read from at once.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// waitRecords waits until the tenant has so many records.
func waitRecords(t *testing.T, url, tenant string, want int64) {
	t.Helper()
	s, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tn, err := s.Tenant(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for deadline := time.Now().Add(time.Minute); n != want; time.Sleep(20 * time.Millisecond) {
		if n, err = s.Live(t.Context(), tn); err != nil || time.Now().After(deadline) {
			t.Fatalf("%d records, want %d, %v", n, want, err)
		}
	}
}

// deviceCertificates issues certificates in PEM.
func deviceCertificates(t *testing.T) (issue func(name string) []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial := int64(0)
	return func(name string) []byte {
		t.Helper()
		serial++
		c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
}
