package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// reloadingCertificate is a TLS configuration whose certificate follows its
// files: they are looked at again at most once a second, when a client comes.
// Files that cannot be read or do not fit leave the last good certificate.
func reloadingCertificate(certFile, keyFile string, log *slog.Logger) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, usageError{fmt.Errorf("--tls-cert %s, --tls-key %s: %w", certFile, keyFile, err)}
	}
	r := &reloader{certFile: certFile, keyFile: keyFile, log: log, pair: &pair, changed: changeTime(certFile, keyFile)}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return r.current(), nil },
	}, nil
}

type reloader struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	looked  time.Time
	changed time.Time // of the newer file, when pair was loaded
}

func (r *reloader) current() *tls.Certificate {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.looked) < time.Second {
		return r.pair
	}
	r.looked = time.Now()
	changed := changeTime(r.certFile, r.keyFile)
	if changed.Equal(r.changed) {
		return r.pair
	}
	pair, err := tls.LoadX509KeyPair(r.certFile, r.keyFile)
	if err != nil {
		r.log.Warn("the new certificate is not used", "error", err)
		return r.pair
	}
	r.pair, r.changed = &pair, changed
	r.log.Info("certificate reloaded", "file", r.certFile)
	return r.pair
}

// changeTime is when the newer of the files last changed.
func changeTime(files ...string) (latest time.Time) {
	for _, name := range files {
		if st, err := os.Stat(name); err == nil && st.ModTime().After(latest) {
			latest = st.ModTime()
		}
	}
	return latest
}
