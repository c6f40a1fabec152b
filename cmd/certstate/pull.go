package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"certstate/auth"
	"certstate/graph"
)

// pullSettings are the flags of import that are about another service.
type pullSettings struct {
	from                         string // URL
	tenant, id, secretFile       string // of the application
	authority, url, scope        string // of its tokens
	tokenFile, caFile, stateFile string
	pageSize                     int
	patience                     time.Duration
}

func (p *pullSettings) flags(f *pflag.FlagSet) {
	f.StringVar(&p.from, "from-graph", "", "`URL` of a service to pull all records from, such as https://graph.microsoft.com, or of its list with options such as $filter")
	f.StringVar(&p.tenant, "source-tenant", "", "`tenant` at that service, a GUID or a domain (default: --tenant)")
	f.StringVar(&p.id, "client-id", "", "`id` of the application that reads there; it needs DeviceManagementConfiguration.Read.All")
	f.StringVar(&p.secretFile, "client-secret-file", "", "`file` with the application's secret")
	f.StringVar(&p.authority, "authority", "", "`URL` of the authority that gives tokens (default: Entra, of the service's cloud)")
	f.StringVar(&p.url, "token-url", "", "`URL` of the token endpoint, where it is not Entra's place at --authority")
	f.StringVar(&p.scope, "scope", "", "`scope` of the token (default: the service's URL and /.default)")
	f.StringVar(&p.tokenFile, "token-file", "", "`file` with a token, instead of an application; it is read again when a token is refused")
	f.StringVar(&p.caFile, "ca", "", "PEM `file` of the service's and its authority's authority, if the system does not trust it")
	f.StringVar(&p.stateFile, "resume", "", "`file` that keeps how far a pull got: one that was ended goes on there")
	f.IntVar(&p.pageSize, "page-size", 500, "how many `records` to ask for at once")
	f.DurationVar(&p.patience, "patience", graph.DefaultPatience, "for how `long` to ask again while the service does not answer, or says that it is asked too much")
}

// check finds what is wrong with the flags of a pull.
func (p *pullSettings) check() error {
	u, err := url.Parse(p.from)
	switch {
	case err != nil:
		return fmt.Errorf("--from-graph: %w", err)
	case u.Scheme != "https" && (u.Scheme != "http" || !auth.IsLoopback(u.Hostname())):
		return fmt.Errorf("--from-graph %s must be https: a token is sent there", p.from)
	case p.tokenFile == "" && (p.id == "" || p.secretFile == ""):
		return errors.New("--from-graph needs --client-id and --client-secret-file, or --token-file")
	case p.pageSize < 1:
		return fmt.Errorf("--page-size %d: give a number from 1 up", p.pageSize)
	case p.patience <= 0:
		return fmt.Errorf("--patience %s: give a time such as 15m", p.patience)
	}
	return nil
}

// open makes a pull of the flags, into a tenant of a database.
func (p *pullSettings) open(ctx context.Context, database, tenant string, a *app) (*pull, error) {
	client, err := p.client()
	if err != nil {
		return nil, err
	}
	ask := &graph.Client{HTTP: client, Patience: p.patience, Tell: a.said()}
	source, err := graph.NewSource(p.from, ask)
	if err != nil {
		return nil, usageError{fmt.Errorf("--from-graph: %w", err)}
	}
	source.PageSize = p.pageSize
	if ask.Token, err = p.tokens(context.WithValue(ctx, oauth2.HTTPClient, client), tenant, source.Root()); err != nil {
		return nil, err
	}
	it := &pull{source: source, tell: func(what string) { fmt.Fprintln(a.err, what) }, count: -1}
	if p.stateFile != "" {
		it.state, err = readPullState(pullState{file: p.stateFile, List: source.List(), Database: mask(database), Tenant: tenant})
	}
	return it, err
}

// client follows no redirects, for they would be followed with the token.
func (p *pullSettings) client() (*http.Client, error) {
	c := &http.Client{}
	if p.caFile != "" {
		var err error
		if c, err = trusting(p.caFile); err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		c.Transport.(*http.Transport).Proxy = http.ProxyFromEnvironment // as without --ca
	}
	c.Timeout = 2 * time.Minute // for an answer with its body, or a token
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// authorities are Entra's, by the host of Graph in each cloud
// (https://learn.microsoft.com/graph/deployments).
var authorities = map[string]string{
	"graph.microsoft.us":              "https://login.microsoftonline.us",
	"dod-graph.microsoft.us":          "https://login.microsoftonline.us",
	"microsoftgraph.chinacloudapi.cn": "https://login.chinacloudapi.cn",
	"":                                "https://login.microsoftonline.com",
}

// tokens is what gives a token, and a fresh one once one was refused.
func (p *pullSettings) tokens(ctx context.Context, tenant, root string) (func(context.Context, bool) (string, error), error) {
	if p.tokenFile != "" {
		return func(context.Context, bool) (string, error) {
			text, err := os.ReadFile(p.tokenFile)
			return strings.TrimSpace(string(text)), err
		}, nil
	}
	secret, err := os.ReadFile(p.secretFile)
	if err != nil {
		return nil, fmt.Errorf("--client-secret-file: %w", err)
	}
	cfg := clientcredentials.Config{ClientID: p.id, ClientSecret: strings.TrimSpace(string(secret)), TokenURL: p.tokenURL(tenant, root), AuthStyle: oauth2.AuthStyleInParams}
	cfg.Scopes = []string{p.scope}
	if p.scope == "" {
		cfg.Scopes[0] = root + "/.default"
	}
	source := cfg.TokenSource(ctx)
	return func(_ context.Context, fresh bool) (string, error) {
		if fresh {
			source = cfg.TokenSource(ctx)
		}
		t, err := source.Token()
		if err != nil {
			return "", err
		}
		return t.AccessToken, nil
	}, nil
}

func (p *pullSettings) tokenURL(tenant, root string) string {
	if p.url != "" {
		return p.url
	}
	authority := p.authority
	if u, err := url.Parse(root); err == nil && authority == "" {
		if authority = authorities[strings.ToLower(u.Hostname())]; authority == "" {
			authority = authorities[""]
		}
	}
	if p.tenant != "" {
		tenant = p.tenant
	}
	return strings.TrimSuffix(authority, "/") + "/" + tenant + "/oauth2/v2.0/token"
}
