package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"certstate/store"
)

// tenant enrols tenants. Its verbs work beside a running server.
func (a *app) tenant() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tenant",
		Short: "Enrol, list, suspend and remove tenants",
		Long: `A tenant is served only once it is enrolled, as Graph serves Intune only to
tenants with a licence. The verbs work beside a running server, which follows
within a second.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.tenantAdd(), a.tenantList(), a.tenantSuspend(), a.tenantRemove())
	return cmd
}

// withStore opens the database beside any server, runs fn and closes it.
func (a *app) withStore(cmd *cobra.Command, url string, fn func(*store.Store) error) error {
	if url == "" {
		return usageError{errors.New("--database is required: " + store.URLForms)}
	}
	s, err := store.Open(cmd.Context(), url, store.Options{Log: slog.New(slog.NewTextHandler(a.err, nil))})
	if err != nil {
		return err
	}
	return errors.Join(fn(s), s.Close())
}

func (a *app) tenantAdd() *cobra.Command {
	var url, name string
	cmd := &cobra.Command{
		Use:   "add GUID",
		Short: "Enrol a tenant, or take a suspended one back",
		Args:  arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := store.ParseTenantID(args[0])
			if err != nil {
				return usageError{err}
			}
			return a.withStore(cmd, url, func(s *store.Store) error {
				added, err := s.AddTenant(cmd.Context(), id, name)
				if err != nil {
					return err
				}
				what := "was enrolled already and is active"
				if added {
					what = "enrolled"
				}
				fmt.Fprintf(a.stdout, "tenant %s %s\n", id, what)
				return nil
			})
		},
	}
	databaseFlag(cmd.Flags(), &url)
	cmd.Flags().StringVar(&name, "name", "", "`name` for people")
	return cmd
}

func (a *app) tenantList() *cobra.Command {
	var url, form string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the enrolled tenants",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd, url, func(s *store.Store) error {
				tenants, err := s.Tenants(cmd.Context())
				if err != nil {
					return err
				}
				var rows [][]string
				for _, t := range tenants {
					n, err := s.Live(cmd.Context(), t)
					if err != nil {
						return err
					}
					status := "active"
					if t.Suspended {
						status = "suspended"
					}
					rows = append(rows, []string{t.ID, t.Name, status, fmt.Sprint(n), t.Created.Text()})
				}
				return a.print(form, []string{"tenant", "name", "status", "certificates", "enrolled"}, rows)
			})
		},
	}
	databaseFlag(cmd.Flags(), &url)
	outputFlag(cmd.Flags(), &form)
	return cmd
}

func (a *app) tenantSuspend() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "suspend GUID",
		Short: "Refuse a tenant's requests; its records stay",
		Args:  arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd, url, func(s *store.Store) error {
				if err := s.SuspendTenant(cmd.Context(), args[0]); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "tenant %s suspended; \"certstate tenant add\" takes it back\n", args[0])
				return nil
			})
		},
	}
	databaseFlag(cmd.Flags(), &url)
	return cmd
}

func (a *app) tenantRemove() *cobra.Command {
	var url string
	var withData bool
	cmd := &cobra.Command{
		Use:   "remove GUID",
		Short: "Forget a tenant",
		Long: `Forget a tenant. One that has records, or a log of records it had, is removed
only with --with-data, and then nothing of it is left.`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd, url, func(s *store.Store) error {
				if err := s.RemoveTenant(cmd.Context(), args[0], withData); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "tenant %s removed\n", args[0])
				return nil
			})
		},
	}
	databaseFlag(cmd.Flags(), &url)
	cmd.Flags().BoolVar(&withData, "with-data", false, "delete its records and its change log too")
	return cmd
}
