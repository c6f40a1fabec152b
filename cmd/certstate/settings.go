package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"certstate/api"
	"certstate/auth"
	"certstate/store"
)

// settings are what a server needs to know. Each is a flag, an environment
// variable and a line of the configuration file.
type settings struct {
	Database       string   // store.URLForms
	ReadDatabase   string   // a replica of it, for reads that may be long; "" for none
	Listen         string   // HOST:PORT
	BaseURL        string   // public root, https://host[:port], without /beta
	Issuers        []string // see auth.ParseIssuer
	Audiences      []string // the aud claims that mean this server
	ClientID       string   // shown in WWW-Authenticate; default: the first audience
	TLSCert        string   // PEM file, chain included; reloaded when it changes
	TLSKey         string   // PEM file
	HistoryDays    int      // how long changes and past versions are kept, 0 for ever
	RepeatMinutes  int      // how long after it was first sent a request may be repeated, 0 for never
	UploadTenant   int      // MiB of a tenant's uploads that wait to be read
	UploadTotal    int      // MiB of all tenants' together
	Renewal        int      // percent of its validity that a certificate has left when it is to be renewed, 0 to find no stalled renewals
	Connections    int      // at once; 0: defaultConns
	InFlight       int      // see api.Config; 0: api.DefaultInFlight
	BehindProxy    bool     // plain HTTP on an address that is not loopback
	Throttle       string   // see api.ParseThrottle
	Drain          int      // seconds of serving on after the signal to stop, /readyz at 503
	SourcesListen  string   // HOST:PORT for what live sources tell; "": it is not listened for
	SourcesTLSCert string   // PEM file, as TLSCert; default: TLSCert
	SourcesTLSKey  string   // PEM file; default: TLSKey
	LogFormat      string   // json or text
	LogLevel       string   // debug, info, warn, error

	issuers  []auth.Issuer
	throttle api.Throttle
}

func (s *settings) flags(f *pflag.FlagSet) {
	databaseFlag(f, &s.Database)
	f.StringVar(&s.ReadDatabase, "read-database", "", "`URL` of streaming replicas of a PostgreSQL database that lists, counts, searches, history and delta are read from whenever they are up to date")
	f.StringVar(&s.Listen, "listen", "localhost:8443", "`address` to listen on, HOST:PORT")
	f.StringVar(&s.BaseURL, "base-url", "", "public `URL` that clients use, without /beta; every link begins with it")
	f.StringArrayVar(&s.Issuers, "issuer", nil, "trusted token `issuer`: entra:global, entra:usgov, entra:dod, entra:china, or its iss claim with {tenantid}, then alg=… and tenant=… if needed (repeatable)")
	f.StringArrayVar(&s.Audiences, "audience", nil, "`aud` claim that means this server: its application id or App ID URI (repeatable)")
	f.StringVar(&s.ClientID, "client-id", "", "application `id` shown to clients without a token (default: the first audience)")
	f.StringVar(&s.TLSCert, "tls-cert", "", "PEM `file` of the server's certificate and its chain, reloaded when it changes")
	f.StringVar(&s.TLSKey, "tls-key", "", "PEM `file` of the certificate's key")
	f.BoolVar(&s.BehindProxy, "behind-proxy", false, "serve plain HTTP on an address that is not loopback: a proxy in front does TLS")
	f.IntVar(&s.HistoryDays, "history-days", 400, "how many `days` changes and past versions of records are kept, 0 for ever")
	f.IntVar(&s.RepeatMinutes, "repeatability-minutes", repeatMinutes, "how many `minutes` after it was first sent a request may be sent again (Repeatability-Request-ID), 0 for never")
	f.IntVar(&s.UploadTenant, "upload-tenant-mb", int(store.DefaultUploadLimits.Tenant>>20), "how many `MiB` of files that import jobs upload may be in the database at once for a tenant, which is the largest file")
	f.IntVar(&s.UploadTotal, "upload-total-mb", int(store.DefaultUploadLimits.Total>>20), "how many `MiB` of such files there may be for all tenants")
	f.IntVar(&s.Renewal, "renewal-threshold", renewalThreshold, "how many `percent` of a certificate's validity are left when its device begins to renew it, as the profile says: without a successor after half of that time the renewal is found stalled (certificateFindings); 0 finds none")
	f.IntVar(&s.InFlight, "in-flight", 0, "how many `requests` that read, and as many that write, are worked on or wait at once; more get 503 with Retry-After (default: 256 for each processor, at least 512)")
	f.IntVar(&s.Connections, "connections", 0, "how many `connections` there may be at once; idle ones make room for new ones (default: 2048 for each processor, at least 4096)")
	throttleFlag(f, &s.Throttle)
	f.IntVar(&s.Drain, "drain-seconds", 0, "how many `seconds` to go on serving after SIGTERM while /readyz says 503, so that a balancer turns away first; at least twice the interval of its checks")
	f.StringVar(&s.SourcesListen, "sources-listen", "", "`address` to listen on for what live sources tell (certstate source), HOST:PORT; always HTTPS, and for clients with a certificate of the source's authority")
	f.StringVar(&s.SourcesTLSCert, "sources-tls-cert", "", "PEM `file` of the certificate for --sources-listen, which the sources must trust (default: that of --tls-cert)")
	f.StringVar(&s.SourcesTLSKey, "sources-tls-key", "", "PEM `file` of that certificate's key")
	logFlags(f, &s.LogFormat, "json", &s.LogLevel)
}

func databaseFlag(f *pflag.FlagSet, to *string) {
	f.StringVar(to, "database", "", "`URL` of the database: "+store.URLForms)
}

func throttleFlag(f *pflag.FlagSet, to *string) {
	f.StringVar(to, "throttle", "off", "`requests` answered in 20 seconds: off, graph, or tenant=ANY/WRITES,app=ANY/WRITES (graph is tenant=2000/200,app=1000/100)")
}

func logFlags(f *pflag.FlagSet, format *string, form string, level *string) {
	f.StringVar(format, "log-format", form, "`form` of log lines: json or text")
	f.StringVar(level, "log-level", "info", "least `level` logged: debug, info, warn or error")
}

// settingNames are all names a configuration file may use.
func settingNames() (names []string) {
	for _, define := range []func(*pflag.FlagSet){new(settings).flags, new(demoSettings).flags} {
		f := pflag.NewFlagSet("", pflag.ContinueOnError)
		define(f)
		f.VisitAll(func(f *pflag.Flag) {
			if !slices.Contains(names, f.Name) {
				names = append(names, f.Name)
			}
		})
	}
	return names
}

// check reports everything wrong with the settings, together.
func (s *settings) check() error {
	var faults []error
	fail := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if s.Database == "" {
		fail("--database is required: %s", store.URLForms)
	}
	if err := store.CheckReadDatabase(s.Database, s.ReadDatabase); s.Database != "" && err != nil {
		fail("--read-database: %w", err)
	}
	if len(s.Issuers) == 0 {
		fail("--issuer is required: whose tokens to trust, such as entra:global")
	}
	for _, spec := range s.Issuers {
		list, err := auth.ParseIssuer(spec)
		if err != nil {
			fail("--issuer: %w", err)
		}
		s.issuers = append(s.issuers, list...)
	}
	if len(s.Audiences) == 0 {
		fail("--audience is required: the aud claim of tokens for this server, its application id or App ID URI")
	}
	for _, aud := range s.Audiences {
		if err := auth.CheckAudience(aud); err != nil {
			fail("--audience: %w", err)
		}
	}
	if s.HistoryDays < 0 || s.HistoryDays > maxHistoryDays {
		fail("--history-days %d: give a number of days up to %d, or 0 to keep all", s.HistoryDays, maxHistoryDays)
	}
	if s.Drain < 0 || s.Drain > maxDrain {
		fail("--drain-seconds %d: give a number of seconds up to %d, or 0 to stop at once", s.Drain, maxDrain)
	}
	if s.RepeatMinutes < 0 || s.RepeatMinutes > maxRepeatMinutes {
		fail("--repeatability-minutes %d: give a number of minutes up to %d, or 0 to remember no requests", s.RepeatMinutes, maxRepeatMinutes)
	}
	if s.UploadTenant < 1 || s.UploadTotal < s.UploadTenant {
		fail("--upload-tenant-mb %d, --upload-total-mb %d: give a number of MiB from 1 up, and the second not less than the first", s.UploadTenant, s.UploadTotal)
	}
	if s.Renewal < 0 || s.Renewal > maxRenewalThreshold {
		fail("--renewal-threshold %d: give the percentage in the profile that asks for certificates, from 1 to %d, or 0 to find no stalled renewals", s.Renewal, maxRenewalThreshold)
	}
	if s.Connections < 0 {
		fail("--connections %d: give a number from 1 up, or 0 for the default", s.Connections)
	}
	if s.InFlight < 0 || s.InFlight == 1 {
		fail("--in-flight %d: give a number from 2 up, or 0 for the default", s.InFlight)
	}
	var err error
	if s.throttle, err = api.ParseThrottle(s.Throttle); err != nil {
		fail("--throttle: %w", err)
	}
	s.checkListen(fail)
	s.checkSources(fail)
	s.checkBaseURL(fail)
	if _, err := newLogger(s.LogFormat, s.LogLevel, nil); err != nil {
		fail("%w", err)
	}
	if len(faults) > 0 {
		return usageError{errors.Join(faults...)}
	}
	return nil
}

const (
	repeatMinutes    = 5       // as Azure's services
	maxHistoryDays   = 36525   // a century
	maxRepeatMinutes = 24 * 60 // the least that --history-days keeps: answers are told from it
	maxDrain         = 600

	renewalThreshold    = 20 // percent, what Intune's profiles begin with
	maxRenewalThreshold = 99 // what Graph's renewalThresholdPercentage allows
)

func (s *settings) checkListen(fail func(string, ...any)) {
	host, _, err := net.SplitHostPort(s.Listen)
	switch {
	case err != nil:
		fail("--listen %q: write it as HOST:PORT, such as localhost:8443", s.Listen)
	case (s.TLSCert == "") != (s.TLSKey == ""):
		fail("--tls-cert and --tls-key go together")
	case s.TLSCert == "" && !s.BehindProxy && !auth.IsLoopback(host):
		fail("--listen %s would carry tokens in plain HTTP: give --tls-cert and --tls-key, or listen on loopback, or say --behind-proxy if a proxy does TLS", s.Listen)
	}
}

func (s *settings) checkSources(fail func(string, ...any)) {
	if (s.SourcesTLSCert == "") != (s.SourcesTLSKey == "") {
		fail("--sources-tls-cert and --sources-tls-key go together")
	}
	if s.SourcesListen == "" {
		return
	}
	if s.SourcesTLSCert == "" {
		s.SourcesTLSCert, s.SourcesTLSKey = s.TLSCert, s.TLSKey
	}
	if _, _, err := net.SplitHostPort(s.SourcesListen); err != nil {
		fail("--sources-listen %q: write it as HOST:PORT, such as :9443", s.SourcesListen)
	}
	if s.SourcesTLSCert == "" {
		fail("--sources-listen needs --sources-tls-cert and --sources-tls-key: sources prove who they are by TLS")
	}
}

func (s *settings) checkBaseURL(fail func(string, ...any)) {
	s.BaseURL = strings.TrimSuffix(strings.TrimSuffix(s.BaseURL, "/"), "/beta")
	u, err := url.Parse(s.BaseURL)
	switch {
	case s.BaseURL == "":
		fail("--base-url is required: the https URL that clients use")
	case err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		fail("--base-url %q: write it as https://HOST[:PORT]", s.BaseURL)
	case u.Scheme != "https" && (u.Scheme != "http" || !auth.IsLoopback(u.Hostname())):
		fail("--base-url %s must be https: Microsoft's SDKs send no token to anything else", s.BaseURL)
	}
}

// newLogger makes the log. w may be nil to check the names alone.
func newLogger(format, level string, w interface{ Write([]byte) (int, error) }) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is not one of debug, info, warn, error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	}
	return nil, fmt.Errorf("--log-format %q is not one of json, text", format)
}

// leveled is a log handler that passes on only what is at least level.
type leveled struct {
	slog.Handler
	level slog.Level
}

func (h leveled) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}
