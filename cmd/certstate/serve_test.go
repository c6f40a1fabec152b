package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A certificate that changes on disk is used for the next connection; files
// that do not fit leave the old one.
func TestCertificateReloads(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	for _, d := range []string{first, second} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := loadCA(filepath.Join(d, "ca.pem"), filepath.Join(d, "ca-key.pem"), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := filepath.Join(first, "ca.pem"), filepath.Join(first, "ca-key.pem")
	cfg, err := reloadingCertificate(cert, key, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	current := func() []byte {
		c, err := cfg.GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		return c.Certificate[0]
	}
	before := current()
	replace := func(name string, n int) {
		text, err := os.ReadFile(filepath.Join(second, name))
		if err == nil {
			err = writePrivate(filepath.Join(first, name), text)
		}
		if err == nil {
			later := time.Now().Add(time.Duration(n) * time.Minute)
			err = os.Chtimes(filepath.Join(first, name), later, later)
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond)
	}
	replace("ca.pem", 1) // the key does not fit yet
	if !bytes.Equal(current(), before) {
		t.Error("a certificate without its key was used")
	}
	replace("ca-key.pem", 2)
	if bytes.Equal(current(), before) {
		t.Error("the new certificate was not used")
	}
}

// A server that is told to stop finishes what it accepted.
func TestGracefulStop(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	began := make(chan struct{})
	var once sync.Once
	var drained atomic.Bool
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		once.Do(func() { close(began) })
		time.Sleep(300 * time.Millisecond)
		_, _ = io.WriteString(w, "done")
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- listen(ctx, l, 0, nil, h, func() { drained.Store(true) }, slog.New(slog.NewTextHandler(io.Discard, nil)))
	}()
	answer := make(chan error, 1)
	go func() {
		res, err := http.Get("http://" + l.Addr().String())
		if err == nil {
			var body []byte
			body, err = io.ReadAll(res.Body)
			if err == nil && string(body) != "done" {
				err = errors.New("answer cut off: " + string(body))
			}
		}
		answer <- err
	}()
	<-began
	stop()
	if err := <-answer; err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil || !drained.Load() {
		t.Error(err, drained.Load())
	}
}
