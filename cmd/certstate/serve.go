package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"certstate/api"
	"certstate/auth"
	"certstate/intake"
	"certstate/store"
)

func (a *app) serve() *cobra.Command {
	var set settings
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the register",
		Long: `Serve the register to the tenants that are enrolled (certstate tenant add).

Tokens are those of the issuers and audiences named here. Register an
application for this server in Entra and give its id or App ID URI as
--audience; tokens for Microsoft Graph itself are refused, since they are
Graph's alone to judge.

With --tls-cert and --tls-key the server speaks HTTPS. Without them it speaks
plain HTTP, on loopback only unless --behind-proxy says that a proxy does TLS.`,
		Example: `  certstate tenant add 8d9f61b2-0f1e-4c6d-9a51-3f5b1c1e7a10 --database sqlite:/var/lib/certstate/register.db
  certstate serve --database sqlite:/var/lib/certstate/register.db \
    --listen :443 --base-url https://register.example.com \
    --tls-cert fullchain.pem --tls-key key.pem \
    --issuer entra:global --audience api://certstate`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := set.check(); err != nil {
				return err
			}
			out := newLogWriter(a.err)
			defer out.Close()
			log, err := newLogger(set.LogFormat, set.LogLevel, out)
			if err != nil {
				return err
			}
			return a.runServer(cmd.Context(), &set, log)
		},
	}
	set.flags(cmd.Flags())
	return cmd
}

func (a *app) runServer(ctx context.Context, set *settings, log *slog.Logger) (err error) {
	var certs *tls.Config
	if set.TLSCert != "" {
		if certs, err = reloadingCertificate(set.TLSCert, set.TLSKey, log); err != nil {
			return err
		}
	}
	db, err := store.Open(ctx, set.Database, store.Options{Serve: true, Log: log, ReadDatabase: set.ReadDatabase,
		History: time.Duration(set.HistoryDays) * 24 * time.Hour, Repeats: time.Duration(set.RepeatMinutes) * time.Minute,
		Uploads: store.UploadLimits{Tenant: int64(set.UploadTenant) << 20, Total: int64(set.UploadTotal) << 20}, RenewalThreshold: cmp.Or(set.Renewal, store.NoThreshold)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	server, err := newAPI(ctx, db, api.Config{
		BaseURL:          set.BaseURL,
		AuthorizationURI: authorizationURI(set.issuers[0].Template),
		ClientID:         cmp.Or(set.ClientID, set.Audiences[0]),
		Throttle:         set.throttle,
		InFlight:         set.InFlight,
		Log:              log,
	}, auth.Config{Issuers: set.issuers, Audiences: set.Audiences, Log: log})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", set.Listen)
	if err != nil {
		return fmt.Errorf("%w: choose another address with --listen", err)
	}
	defer work(ctx, db, log)()
	log.Info("serving", "address", l.Addr().String(), "base_url", set.BaseURL, "tls", certs != nil, "version", buildVersion())
	stop, err := follow(ctx, set, db, log)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer stop()
	drain := func() {
		server.Drain()
		time.Sleep(time.Duration(set.Drain) * time.Second) // a balancer has to see it
	}
	defer reportOnSignal(log, server.Waiting)()
	return listen(ctx, l, set.Connections, certs, server, drain, log)
}

// work has the server work on import jobs until stop is called.
func work(ctx context.Context, db *store.Store, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	worker := intake.Worker{Store: db, Log: log}
	var running sync.WaitGroup
	running.Go(func() { worker.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// newAPI joins the rooms: store, auth, api.
func newAPI(ctx context.Context, db *store.Store, cfg api.Config, who auth.Config) (*api.Server, error) {
	who.Enrolled = func(ctx context.Context) (ids []string, err error) {
		tenants, err := db.Tenants(ctx)
		for _, t := range tenants {
			ids = append(ids, t.ID)
		}
		return ids, err
	}
	cfg.Store, cfg.Auth = db, auth.New(who)
	return api.New(ctx, cfg)
}

// authorizationURI is where an issuer's clients sign in.
func authorizationURI(template string) string {
	base, _, _ := strings.Cut(template, "/{tenantid}")
	return base + "/common/oauth2/authorize"
}

// shutdownTime is how long requests under way may take to finish.
const shutdownTime = 20 * time.Second

// listen serves until ctx ends or a signal comes, and while drain runs; then it
// finishes what was accepted. A second signal ends it at once.
func listen(ctx context.Context, l net.Listener, conns int, certs *tls.Config, h http.Handler, drain func(), log *slog.Logger) error {
	limit := limitConns(l, cmp.Or(conns, defaultConns()))
	l = limit
	srv := &http.Server{
		ConnState:         limit.track,
		ConnContext:       limit.mark,
		Handler:           h,
		TLSConfig:         certs,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    32 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 100},
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		if certs != nil {
			ended <- srv.ServeTLS(l, "", "")
		} else {
			ended <- srv.Serve(l)
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stop() // the next signal has its usual effect
	log.Info("shutting down", "allowed", shutdownTime)
	drain()
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	return srv.Shutdown(ctx)
}
