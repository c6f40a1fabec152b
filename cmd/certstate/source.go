package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"certstate/edm"
	"certstate/ingest"
	"certstate/sources"
	"certstate/store"
)

// source keeps the list of live sources. Its verbs work beside a running server.
func (a *app) source() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "source",
		Short: "Add, list, read and remove live sources of certificates",
		Long: `A live source is an authority whose certificates become records while it issues them.
It tells of them by itself, and is read besides, since what it tells may be lost.
What it should have told of and did not is a gap, which is counted and can be listed.
The verbs work beside a running server, which follows within seconds.

A step-ca, in ten lines:

  # 1. The register listens for it, with a certificate of the step-ca's own authority:
  certstate serve … --sources-listen :9443 --sources-tls-cert register.crt --sources-tls-key register.key
  # 2. The source: the step-ca's roots, and its database with a user that may only read:
  export CERTSTATE_CA_DATABASE='postgres://reader:PASSWORD@ca.example.com/stepca'
  certstate source add lab --tenant $TENANT --roots root_ca.crt
  # 3. In the step-ca's ca.json, under "options" of a provisioner of the type SCEP:
  "webhooks": [{"id": "1", "name": "certstate", "kind": "NOTIFYING", "certType": "X509",
                "url": "https://register.example.com:9443/TENANT/lab"}]
  # 4. Later:
  certstate source list --tenant $TENANT; certstate source gaps lab --tenant $TENANT

docs/sources.md says more.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.sourceAdd(), a.sourceList(), a.sourceShow(), a.sourceGaps(), a.sourceReconcile(), a.sourceRemove())
	return cmd
}

// sourceFlags are those of all verbs.
type sourceFlags struct{ database, tenant, form string }

func (s *sourceFlags) flags(f *pflag.FlagSet, lists bool) {
	databaseFlag(f, &s.database)
	f.StringVar(&s.tenant, "tenant", "", "`GUID` of the enrolled tenant that the source is of")
	if lists {
		outputFlag(f, &s.form)
	}
}

// withTenant opens the database beside any server, and runs fn for the tenant.
func (a *app) withTenant(cmd *cobra.Command, set *sourceFlags, fn func(*store.Store, store.Tenant) error) error {
	if set.tenant == "" {
		return usageError{errors.New("--tenant is required: the GUID of an enrolled tenant")}
	}
	id, err := store.ParseTenantID(set.tenant)
	if err != nil {
		return usageError{err}
	}
	return a.withStore(cmd, set.database, func(s *store.Store) error {
		t, err := enrolled(cmd.Context(), s, id)
		if err != nil {
			return err
		}
		return fn(s, t)
	})
}

// enrolled finds an enrolled tenant.
func enrolled(ctx context.Context, s *store.Store, text string) (store.Tenant, error) {
	id, err := store.ParseTenantID(text)
	if err != nil {
		return store.Tenant{}, err
	}
	t, err := s.Tenant(ctx, id)
	if err != nil {
		return t, fmt.Errorf("%w Enrol it with: certstate tenant add %s", err, id)
	}
	return t, nil
}

// stepCAFlags are what is said of a step-ca.
type stepCAFlags struct {
	kind, roots, clientName, secretFile, database string
	deviceFrom, upnFrom                           string
	authorities                                   bool
	every                                         time.Duration
}

func (a *app) sourceAdd() *cobra.Command {
	var set sourceFlags
	var ca stepCAFlags
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a source, or give it other settings",
		Long: `Add a source, or give one that is there the settings named here: all of them, so name
them all. NAME is the source's in the register, in its URL, and in the property source
of the records.

A source needs --roots, to be notified by it, or --ca-database, to be read, and best
both. Its certificates' device is named by the subject's common name or by the first
DNS name; one that names none is a record all the same.`,
		Example: `  CERTSTATE_CA_DATABASE='postgres://reader:PASSWORD@ca.example.com/stepca' \
    certstate source add lab --tenant $TENANT --roots root_ca.crt`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			src, err := ca.source(args[0])
			if err != nil {
				return usageError{err}
			}
			return a.withTenant(cmd, &set, func(s *store.Store, t store.Tenant) error {
				added, err := s.AddSource(cmd.Context(), t, src)
				if err != nil {
					return err
				}
				what := "has these settings now"
				if added {
					what = "added"
				}
				fmt.Fprintf(a.stdout, "source %s %s\n", src.Name, what)
				return nil
			})
		},
	}
	f := cmd.Flags()
	set.flags(f, false)
	f.StringVar(&ca.kind, "kind", sources.KindStepCA, "`kind` of the source: step-ca is the one there is")
	f.StringVar(&ca.roots, "roots", "", "PEM `file` of the authority's root certificates, which its client certificate must lead to; without it nobody may notify")
	f.StringVar(&ca.clientName, "client-name", sources.DefaultClientName, "`name` (common name or DNS name) in the client certificate; see to it that no device can get a certificate with that name")
	f.StringVar(&ca.secretFile, "secret-file", "", "`file` with the webhook's secret in base64, if the step-ca has one: one that is configured by its file alone has none")
	f.StringVar(&ca.database, "ca-database", "", "`place` of the step-ca's database: "+sources.DatabaseForms+"; the dataSource of its ca.json will do")
	f.DurationVar(&ca.every, "every", sources.DefaultEvery, "`time` between two readings of the database")
	f.StringVar(&ca.deviceFrom, "device-from", ingest.FromCN, "`where` a certificate's device is named: cn (the subject's common name) or san (the first DNS name)")
	f.StringVar(&ca.upnFrom, "upn-from", "san", "`where` a certificate's user principal name is: san (its alternative names) or none")
	f.BoolVar(&ca.authorities, "authorities", false, "make records of the certificates of authorities too")
	return cmd
}

// source makes a source of the flags.
func (ca *stepCAFlags) source(name string) (src store.Source, err error) {
	set := sources.StepCA{ClientName: ca.clientName, Database: ca.database, Every: int(ca.every / time.Second),
		DeviceFrom: ca.deviceFrom, UPN: ca.upnFrom == "san", Authorities: ca.authorities}
	switch {
	case ca.kind != sources.KindStepCA:
		return src, fmt.Errorf("--kind %q is not %s", ca.kind, sources.KindStepCA)
	case ca.upnFrom != "san" && ca.upnFrom != "none":
		return src, fmt.Errorf("--upn-from %q is not one of: san, none", ca.upnFrom)
	}
	if ca.roots != "" {
		text, err := os.ReadFile(ca.roots)
		if err != nil {
			return src, fmt.Errorf("--roots: %w", err)
		}
		set.Roots = string(text)
	}
	if ca.secretFile != "" {
		text, err := os.ReadFile(ca.secretFile)
		if err != nil {
			return src, fmt.Errorf("--secret-file: %w", err)
		}
		if set.Secret, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(text))); err != nil {
			return src, errors.New("--secret-file: what it holds is not base64")
		}
	}
	return set.Source(name)
}

// sourceHead and sourceRow are what is listed of a source.
var sourceHead = []string{"name", "kind", "known", "notified", "gaps", "unannounced", "noLongerReported", "lastSeen", "watermark", "lastTried", "fault"}

func sourceRow(src *store.Source) []string {
	n := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []string{src.Name, src.Kind, n(src.Known()), n(src.Notified), n(src.Recovered), n(src.Unannounced), n(src.Gone),
		moment(src.Seen), moment(src.Watermark), moment(src.Tried), cmp.Or(src.Fault, "-")}
}

// moment is a time for people, or "-" if there was none.
func moment(at edm.DateTimeOffset) string {
	if at.Ticks == 0 {
		return "-"
	}
	at.Ticks -= at.Ticks % 10_000_000
	return at.Text()
}

func (a *app) sourceList() *cobra.Command {
	var set sourceFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List a tenant's sources and how they are",
		Long: `List a tenant's sources: how many certificates are known of each, of how many it told
by itself, of how many it should have told and did not (gaps), how many were read that
it tells nobody of, how many it reports no longer; when it last told anything or was
read, up to when all that it had is known (watermark), and why the last reading
failed, if it did.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withTenant(cmd, &set, func(s *store.Store, t store.Tenant) error {
				list, err := s.Sources(cmd.Context(), t)
				if err != nil {
					return err
				}
				var rows [][]string
				for i := range list {
					rows = append(rows, sourceRow(&list[i]))
				}
				return a.print(set.form, sourceHead, rows)
			})
		},
	}
	set.flags(cmd.Flags(), true)
	return cmd
}

func (a *app) sourceShow() *cobra.Command {
	var set sourceFlags
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a source with its settings",
		Args:  arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withTenant(cmd, &set, func(s *store.Store, t store.Tenant) error {
				src, err := s.Source(cmd.Context(), t, args[0])
				if err != nil {
					return err
				}
				var rows [][]string
				for i, value := range sourceRow(&src) {
					rows = append(rows, []string{sourceHead[i], value})
				}
				ca, err := sources.Settings(&src)
				if err != nil {
					return err
				}
				return a.print(set.form, []string{"property", "value"}, append(rows, stepCARows(&ca, t, src.Name)...))
			})
		},
	}
	set.flags(cmd.Flags(), true)
	return cmd
}

func stepCARows(ca *sources.StepCA, t store.Tenant, name string) [][]string {
	upn, secret, path := "none", "no", "-"
	if ca.UPN {
		upn = "san"
	}
	if len(ca.Secret) > 0 {
		secret = "yes"
	}
	if ca.Roots != "" {
		path = "/" + t.ID + "/" + name
	}
	return [][]string{{"notificationPath", path}, {"clientName", ca.ClientName}, {"secret", secret}, {"caDatabase", cmp.Or(mask(ca.Database), "-")},
		{"every", (time.Duration(ca.Every) * time.Second).String()}, {"deviceFrom", ca.DeviceFrom}, {"upnFrom", upn}, {"authorities", strconv.FormatBool(ca.Authorities)}}
}

func (a *app) sourceGaps() *cobra.Command {
	var set sourceFlags
	cmd := &cobra.Command{
		Use:   "gaps NAME",
		Short: "List the certificates that a source should have told of and did not",
		Long: `List the certificates that a source should have told of and did not, and that were
found by reading it. A gap ends when the source tells of the certificate after all.`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withTenant(cmd, &set, func(s *store.Store, t store.Tenant) error {
				if _, err := s.Source(cmd.Context(), t, args[0]); err != nil {
					return err
				}
				rows := [][]string{}
				err := s.Gaps(cmd.Context(), t, args[0], "", 1<<30, func(g store.Gap) error {
					rows = append(rows, []string{g.Key, moment(g.Issued), moment(g.Found), "reconcile", g.Origin, g.SHA256})
					return nil
				})
				if err != nil {
					return err
				}
				return a.print(set.form, []string{"serial", "issued", "found", "recoveredBy", "issuedBy", "sha256"}, rows)
			})
		},
	}
	set.flags(cmd.Flags(), true)
	return cmd
}

func (a *app) sourceReconcile() *cobra.Command {
	var set sourceFlags
	cmd := &cobra.Command{
		Use:   "reconcile NAME",
		Short: "Read a source now",
		Long: `Read a source's database now, as the server does from time to time: certificates that
are not known become records, those that are revoked are marked so, and so are records
of those that it reports no longer. While the server is at it, this fails.`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withTenant(cmd, &set, func(s *store.Store, t store.Tenant) error {
				found, err := sources.Reconcile(cmd.Context(), s, t, args[0], slog.New(slog.NewTextHandler(a.err, nil)))
				if err != nil {
					return fmt.Errorf("the source %s: %w", args[0], err)
				}
				fmt.Fprintf(a.stdout, "%d certificates read, %d of them new, %d gone, %d revoked\n", found.Read, found.New, found.Gone, found.Revoked)
				if found.Unfit > 0 {
					return exitError{fmt.Errorf("%d certificates cannot be kept", found.Unfit), exitPartly}
				}
				return nil
			})
		},
	}
	set.flags(cmd.Flags(), false)
	return cmd
}

func (a *app) sourceRemove() *cobra.Command {
	var set sourceFlags
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Forget a source and its gaps; its records stay",
		Args:  arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withTenant(cmd, &set, func(s *store.Store, t store.Tenant) error {
				if err := s.RemoveSource(cmd.Context(), t, args[0]); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "source %s removed; its records stay\n", args[0])
				return nil
			})
		},
	}
	set.flags(cmd.Flags(), false)
	return cmd
}
