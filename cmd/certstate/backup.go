package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"certstate/store"
)

func (a *app) backup() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Back up a database, beside its running server",
		Long: `Write all a database holds to FILE, or to standard output if FILE is -: tenants,
records, their history, and the keys of links. It is what the database holds at
one moment; the server goes on meanwhile. The file is complete and on disk when
it has its name. Keep it as you keep the database: it holds the same secrets.`,
		Example: `  certstate backup --database sqlite:/var/lib/certstate/register.db /backup/register-$(date +%F).gz`,
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd, url, func(s *store.Store) error {
				began := time.Now()
				rows, err := writeWhole(args[0], a.stdout, func(w io.Writer) (int64, error) {
					return s.Backup(cmd.Context(), w, a.progress("rows backed up"))
				})
				if err == nil {
					fmt.Fprintf(a.err, "%d rows backed up in %s\n", rows, time.Since(began).Round(time.Millisecond))
				}
				return err
			})
		},
	}
	databaseFlag(cmd.Flags(), &url)
	return cmd
}

// writeWhole has fill write a file that gets its name only when it is whole and
// on disk; "-" is stdout.
func writeWhole(name string, stdout io.Writer, fill func(io.Writer) (int64, error)) (rows int64, err error) {
	if name == "-" {
		return fill(stdout)
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".partial-*") // mode 0600
	if err != nil {
		return 0, err
	}
	rows, err = fill(f)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return 0, errors.Join(err, os.Remove(f.Name()))
	}
	if err = os.Rename(f.Name(), name); err != nil {
		return 0, errors.Join(err, os.Remove(f.Name()))
	}
	return rows, syncFolder(filepath.Dir(name))
}

// syncFolder has the names in a folder on disk.
func syncFolder(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// input opens a file that a command reads; "-" is standard input.
func input(cmd *cobra.Command, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	return os.Open(name)
}

func (a *app) restore() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Fill a new database from a backup",
		Long: `Fill a database that does not exist yet, or is empty, from a backup, or from
standard input if FILE is -. The backup is checked against its own checksum and
counts: all of it is there afterwards, or nothing. Links for delta queries that
are newer than the backup are refused with 410, and their clients start again.`,
		Example: `  certstate restore --database sqlite:/var/lib/certstate/register.db /backup/register-2026-11-24.gz`,
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if url == "" {
				return usageError{errors.New("--database is required: " + store.URLForms)}
			}
			source, err := input(cmd, args[0])
			if err != nil {
				return err
			}
			defer source.Close() // only read
			s, err := store.Open(cmd.Context(), url, store.Options{Serve: true, Log: slog.New(slog.NewTextHandler(a.err, nil))})
			if err != nil {
				return err
			}
			began := time.Now()
			rows, err := s.Restore(cmd.Context(), source, a.progress("rows restored"))
			if err = errors.Join(err, s.Close()); err == nil {
				fmt.Fprintf(a.stdout, "%d rows restored in %s\n", rows, time.Since(began).Round(time.Millisecond))
			}
			return err
		},
	}
	databaseFlag(cmd.Flags(), &url)
	return cmd
}

func (a *app) check() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Prove that a database is whole",
		Long: `Check a database, beside its running server if it has one: that its pages and
indexes are whole, that its log of changes has no gap and each change the
versions it ended and made, that counts are right, and that keys and words are
those of the records. Exit code 1, and what is wrong, if it is not.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd, url, func(s *store.Store) error {
				if err := s.Verify(cmd.Context(), a.progress("records checked")); err != nil {
					return err
				}
				fmt.Fprintln(a.stdout, "the database is whole")
				return nil
			})
		},
	}
	databaseFlag(cmd.Flags(), &url)
	return cmd
}

// progress says how far long work is, at most once in two seconds.
func (a *app) progress(what string) store.Progress {
	say := a.said()
	return func(rows int64) { say(fmt.Sprint(rows, " ", what)) }
}

// said writes what it is told, at most once in two seconds.
func (a *app) said() func(string) {
	last := time.Now()
	return func(what string) {
		if time.Since(last) >= 2*time.Second {
			last = time.Now()
			fmt.Fprintln(a.err, what)
		}
	}
}
