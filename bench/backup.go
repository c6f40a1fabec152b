package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"sync"
	"text/tabwriter"
	"time"

	"certstate"
	"certstate/auth/authtest"
	"certstate/odata"
	"certstate/store"
	"certstate/store/storetest"
)

// writers are how many clients create records, one after another, while the
// server is backed up.
const writers = 4

// maxBlocked is how long a backup may keep a write waiting.
const maxBlocked = 250 * time.Millisecond

// backups measures a backup of a server that is written to and its restore into each
// engine, and compares what was restored with the source at the change the backup ends with.
func backups(ctx context.Context, out io.Writer, o options, dir, program string, set *dataset, is *authtest.Issuer) error {
	server, err := startServer(ctx, dir, program, set, is)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "backup.gz")
	alone, err1 := beside(ctx, server, func() error { return pause(ctx, time.Duration(o.seconds*float64(time.Second))) })
	backed, err2 := beside(ctx, server, func() error {
		_, err := command(ctx, program, "backup", "--database", "sqlite:"+set.server, file)
		return err
	})
	server.stop()
	if err := errors.Join(err1, err2); err != nil {
		return errors.Join(err, server.lastWords())
	}
	raw, err := timed(func() error { return copyFile(filepath.Join(dir, "raw.db"), set.server) })
	if err != nil {
		return err
	}
	cluster, err := storetest.Start()
	if err != nil {
		return err
	}
	defer cluster.Stop()
	postgres, err := cluster.Create(ctx, "restored")
	if err != nil {
		return err
	}
	b := &backupReport{out: tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight), rows: o.rows}
	fmt.Fprintf(out, "backup of %d records and their changes while %d clients create more\n\n", o.rows, writers)
	fmt.Fprintln(b.out, "\tseconds\trecords/s\tMiB\tof the copy\t")
	b.row("copy of the file, synced", raw, set.server, raw)
	b.row("backup", backed.took, file, raw)
	for _, to := range []struct{ name, url, file string }{
		{"restore into SQLite", "sqlite:" + filepath.Join(dir, "restored.db"), filepath.Join(dir, "restored.db")},
		{"restore into PostgreSQL, which does not sync", postgres, ""},
	} {
		took, err := timed(func() error {
			_, err := command(ctx, program, "restore", "--database", to.url, file)
			return err
		})
		if err != nil {
			return err
		}
		if err := equal(ctx, "sqlite:"+set.server, to.url); err != nil {
			return fmt.Errorf("%s: %w", to.name, err)
		}
		b.row(to.name, took, to.file, raw)
	}
	if err := b.out.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nEach restored register equals the source at the change the backup ends with.\nThe slowest of %d writes took %s ms beside the backup, of %d without %s ms.\n",
		backed.writes, ms(backed.slowest), alone.writes, ms(alone.slowest))
	if backed.slowest > maxBlocked && backed.slowest > 2*alone.slowest {
		return fmt.Errorf("a write waited for %s beside the backup", backed.slowest)
	}
	return nil
}

type backupReport struct {
	out  *tabwriter.Writer
	rows int
}

func (b *backupReport) row(name string, took time.Duration, file string, raw time.Duration) {
	size := ""
	if st, err := os.Stat(file); err == nil {
		size = fmt.Sprint(st.Size() >> 20)
	}
	fmt.Fprintf(b.out, "%s\t%.1f\t%.0f\t%s\t%.0f %%\t\n", name, took.Seconds(), float64(b.rows)/took.Seconds(), size, 100*raw.Seconds()/took.Seconds())
}

func timed(fn func() error) (time.Duration, error) {
	began := time.Now()
	err := fn()
	return time.Since(began), err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// load is what the writers saw while something went on.
type load struct {
	took, slowest time.Duration
	writes        int
}

// beside has clients create records while fn runs.
func beside(ctx context.Context, t *target, fn func() error) (l load, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	for range writers {
		c, err := dial(t, nil, time.Hour)
		if err != nil {
			return l, err
		}
		wg.Go(func() {
			defer c.conn.Close() // it has its answers
			for ctx.Err() == nil {
				took, err := timed(c.create)
				mu.Lock()
				l.writes, l.slowest = l.writes+1, max(l.slowest, took)
				failed = errors.Join(failed, err)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	l.took, err = timed(fn)
	stop()
	wg.Wait()
	return l, errors.Join(err, failed)
}

// equal compares a register with another at the change that ends it.
func equal(ctx context.Context, source, restored string) error {
	from, t, err := openTenant(ctx, source)
	if err != nil {
		return err
	}
	defer from.Close() // only read
	to, u, err := openTenant(ctx, restored)
	if err != nil {
		return err
	}
	defer to.Close() // only read
	end, err := to.FirstRound(ctx, u)
	if err != nil {
		return err
	}
	was, err := digestAt(ctx, from, t, end.Head)
	if err != nil {
		return err
	}
	is, err := digestAt(ctx, to, u, end.Head)
	if err == nil && is != was {
		err = fmt.Errorf("up to change %d it is not what the source was", end.Head.N)
	}
	return err
}

func openTenant(ctx context.Context, url string) (*store.Store, store.Tenant, error) {
	s, err := store.Open(ctx, url, store.Options{})
	if err != nil {
		return nil, store.Tenant{}, err
	}
	t, err := s.Tenant(ctx, authtest.Tenant)
	return s, t, err
}

// digestAt is a digest of a tenant's changes up to a mark, and of its records as
// they were then.
func digestAt(ctx context.Context, s *store.Store, t store.Tenant, m store.Mark) (string, error) {
	sum := fnv.New128a()
	if err := s.Changes(ctx, t, 0, int(m.N), func(c *certstate.Change) error {
		_, err := fmt.Fprintln(sum, c.Seq, c.ID, c.Kind, c.Actor, c.Reason, c.At)
		return err
	}); err != nil {
		return "", err
	}
	r, q := store.Round{From: -1, Head: m}, odata.Query{Select: certstate.All}
	for more := true; more; {
		var err error
		if r, more, err = s.Delta(ctx, t, &q, r, 10_000, func(told store.Told) error {
			_, err := fmt.Fprintf(sum, "%+v\n", *told.State)
			return err
		}); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
