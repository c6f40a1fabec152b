package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"certstate/sources"
	"certstate/store"
)

// sourceConns is how many connections of sources there may be at once: an authority
// has a few, and waits for each answer.
const sourceConns = 256

// follow reads the sources when they are due, and listens for what they tell if there
// is an address for it. stop ends both, and returns once nothing of them runs.
func follow(ctx context.Context, set *settings, db *store.Store, log *slog.Logger) (stop func(), err error) {
	srv, l, err := receiver(set, db, log)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { (&sources.Runner{Store: db, Log: log}).Run(ctx) })
	if srv != nil {
		log.Info("listening for sources", "address", l.Addr().String())
		wg.Go(func() {
			if err := srv.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
				log.Error("sources are no longer listened for", "error", err)
			}
		})
	}
	return func() {
		cancel()
		if srv != nil {
			ctx, done := context.WithTimeout(context.Background(), shutdownTime)
			defer done()
			if err := srv.Shutdown(ctx); err != nil {
				log.Warn("a notification was cut off", "error", err)
			}
		}
		wg.Wait()
	}, nil
}

// receiver makes what listens for sources, nil if there is no address for it.
func receiver(set *settings, db *store.Store, log *slog.Logger) (*http.Server, net.Listener, error) {
	if set.SourcesListen == "" {
		return nil, nil, nil
	}
	certs, err := reloadingCertificate(set.SourcesTLSCert, set.SourcesTLSKey, log)
	if err != nil {
		return nil, nil, err
	}
	l, err := net.Listen("tcp", set.SourcesListen)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: choose another address with --sources-listen", err)
	}
	limit := limitConns(l, sourceConns)
	h := &sources.Receiver{Store: db, Log: log}
	return &http.Server{
		ConnState:         limit.track,
		ConnContext:       limit.mark,
		Handler:           h,
		TLSConfig:         h.TLS(certs),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      45 * time.Second, // a change is answered within 30
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}, limit, nil
}
