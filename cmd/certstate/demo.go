package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"certstate/api"
	"certstate/auth"
	"certstate/identity"
	"certstate/store"
)

// demoSettings are the demo's flags.
type demoSettings struct {
	Data, Listen, Throttle, LogFormat, LogLevel string
	Count                                       int
}

func (s *demoSettings) flags(f *pflag.FlagSet) {
	f.StringVar(&s.Data, "data", "certstate-demo", "`folder` for the demo's database, keys and demo.env")
	f.StringVar(&s.Listen, "listen", "localhost:8443", "`address` to listen on, HOST:PORT")
	f.IntVar(&s.Count, "count", 1000, "`number` of certificates to make when the database is new")
	throttleFlag(f, &s.Throttle)
	logFlags(f, &s.LogFormat, "text", &s.LogLevel)
}

func (a *app) demo() *cobra.Command {
	set := demoSettings{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Serve a register with content, tokens and TLS of its own",
		Long: `Serve a register that needs nothing else: an embedded database, HTTPS under an
authority made for the purpose, an identity provider shaped like Entra ID at the
same address, two tenants, and a thousand real certificates of three small CAs.

The folder keeps all of it, so a second start continues where the first ended.
Everything a client needs is printed, and written to demo.env in the folder.

The demo accepts tokens of its own provider for Microsoft Graph's audience, so
that the SDKs work unchanged. It is for trying out, not for real use.`,
		Example: `  certstate demo
  certstate demo --listen localhost:9443 --count 50000`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := newLogWriter(a.err)
			defer out.Close()
			log, err := newLogger(set.LogFormat, set.LogLevel, out)
			if err == nil && set.Count < 0 {
				err = fmt.Errorf("--count %d is negative", set.Count)
			}
			if err != nil {
				return usageError{err}
			}
			return a.runDemo(cmd.Context(), &set, log)
		},
	}
	set.flags(cmd.Flags())
	return cmd
}

// graphResource is the audience Microsoft's SDKs ask tokens for.
const graphResource = "https://graph.microsoft.com"

func (a *app) runDemo(ctx context.Context, set *demoSettings, log *slog.Logger) (err error) {
	throttle, err := api.ParseThrottle(set.Throttle)
	if err != nil {
		return usageError{fmt.Errorf("--throttle: %w", err)}
	}
	if err := os.MkdirAll(set.Data, 0o700); err != nil {
		return err
	}
	l, err := net.Listen("tcp", set.Listen)
	if err != nil {
		return fmt.Errorf("%w: choose another address with --listen", err)
	}
	defer l.Close() // which the server does too, if it gets that far
	d, err := openDemo(set.Data, baseURL(set.Listen, l.Addr()))
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(set.Data, "register.db"), store.Options{Serve: true, Log: log, Repeats: repeatMinutes * time.Minute, RenewalThreshold: renewalThreshold})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	// Scripts wait for demo.env: it must not be there before the server is. Until the
	// database is this demo's, it is that of another which runs.
	if err := os.Remove(filepath.Join(set.Data, envFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := d.enrol(ctx, db, set.Count, a); err != nil {
		return err
	}
	certs, caFile, err := demoTLS(set.Data, d.host(), time.Now())
	if err != nil {
		return err
	}
	handler, drain, err := d.handler(ctx, db, caFile, throttle, log)
	if err != nil {
		return err
	}
	if err := d.announce(a, set.Data, caFile); err != nil {
		return err
	}
	defer work(ctx, db, log)()
	return listen(ctx, l, 0, certs, handler, drain, log)
}

// baseURL is the address clients use: the name given to --listen, with the
// port that was got.
func baseURL(listen string, got net.Addr) string {
	host, _, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	_, port, _ := net.SplitHostPort(got.String())
	return "https://" + net.JoinHostPort(host, port)
}

// demo is what the folder remembers of itself in demo.json.
type demo struct {
	base    string
	Tenants []demoTenant `json:"tenants"`
}

type demoTenant struct {
	ID       string  `json:"id"`
	Name     string  `json:"name"`
	Writer   demoApp `json:"writer"`
	Reader   demoApp `json:"reader"`
	SignIn   string  `json:"signIn"` // client id of a public app for people
	UserID   string  `json:"userId"`
	User     string  `json:"user"`
	Password string  `json:"password"`
}

type demoApp struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// openDemo reads the folder's identities, or makes them.
func openDemo(dir, base string) (*demo, error) {
	d := &demo{base: base}
	file := filepath.Join(dir, "demo.json")
	text, err := os.ReadFile(file)
	switch {
	case err == nil:
		if err := json.Unmarshal(text, d); err != nil || len(d.Tenants) != 2 {
			return nil, errors.Join(fmt.Errorf("%s is damaged; delete it to have new identities made", file), err)
		}
		return d, nil
	case !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	newApp := func() demoApp { return demoApp{uuid.NewString(), rand.Text()} }
	for _, name := range []string{"Fleet Example", "Other Example"} {
		domain := strings.ToLower(strings.Fields(name)[0]) + ".example"
		d.Tenants = append(d.Tenants, demoTenant{ID: uuid.NewString(), Name: name, Writer: newApp(), Reader: newApp(),
			SignIn: uuid.NewString(), UserID: uuid.NewString(), User: "admin@" + domain, Password: rand.Text()[:12]})
	}
	if text, err = json.MarshalIndent(d, "", "  "); err != nil {
		return nil, err
	}
	return d, writePrivate(file, append(text, '\n'))
}

func (d *demo) host() string {
	host, _, _ := net.SplitHostPort(strings.TrimPrefix(d.base, "https://"))
	return host
}

// enrol enrols both tenants and fills the first.
func (d *demo) enrol(ctx context.Context, db *store.Store, count int, a *app) error {
	for i, t := range d.Tenants {
		if _, err := db.AddTenant(ctx, t.ID, t.Name); err != nil {
			return err
		}
		handle, err := db.Tenant(ctx, t.ID)
		if err != nil {
			return err
		}
		if i == 0 {
			if err := fill(ctx, db, handle, count, time.Now(), a.err); err != nil {
				return err
			}
		}
	}
	return nil
}

// handler joins the API and the identity provider at one address: a path that
// begins with a version is the API's, one that begins with a tenant the
// provider's.
func (d *demo) handler(ctx context.Context, db *store.Store, caFile string, throttle api.Throttle, log *slog.Logger) (http.Handler, func(), error) {
	// The provider's library logs to the default logger, and says hello there.
	slog.SetDefault(slog.New(leveled{log.Handler(), slog.LevelWarn}))
	key, err := loadRSAKey(filepath.Join(filepath.Dir(caFile), "identity-key.pem"))
	if err != nil {
		return nil, nil, err
	}
	provider, err := identity.New(d.identityConfig(key))
	if err != nil {
		return nil, nil, err
	}
	client, err := trusting(caFile)
	if err != nil {
		return nil, nil, err
	}
	issuers, err := auth.ParseIssuer(d.base + "/{tenantid}/v2.0")
	if err != nil {
		return nil, nil, err
	}
	server, err := newAPI(ctx, db, api.Config{
		BaseURL: d.base, AuthorizationURI: authorizationURI(issuers[0].Template), ClientID: auth.GraphAudiences[0], Throttle: throttle, Log: log,
	}, auth.Config{Issuers: issuers, Audiences: []string{graphResource, graphResource + "/", auth.GraphAudiences[0]}, Client: client, Log: log})
	if err != nil {
		return nil, nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if first == "common" || first == "organizations" || uuid.Validate(first) == nil {
			provider.ServeHTTP(w, r)
			return
		}
		server.ServeHTTP(w, r)
	}), server.Drain, nil
}

// trusting is a client that trusts the demo's authority: the server asks its
// own provider for keys, as any other would.
func trusting(caFile string) (*http.Client, error) {
	text, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", caFile)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig.RootCAs = pool
	return &http.Client{Transport: transport}, nil
}
