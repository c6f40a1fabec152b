package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"certstate/auth/authtest"
)

// soak sends half of what the server can do, and looks whether memory, goroutines
// or descriptors grow once it has warmed up. The database must be larger than the
// writer's cache of 256 MiB: each record is changed once before, or the filling of
// that cache is what is seen.
func soak(ctx context.Context, out io.Writer, o options, dir, program string, set *dataset, is *authtest.Issuer) error {
	server, err := startServer(ctx, dir, program, set, is)
	if err != nil {
		return err
	}
	err = soaked(ctx, out, server, set, o.soak)
	server.stop()
	if err != nil {
		return errors.Join(err, server.lastWords())
	}
	return nil
}

func soaked(ctx context.Context, out io.Writer, t *target, set *dataset, length time.Duration) error {
	capacity, _, err := measurePeak(ctx, out, t, set)
	if err != nil {
		return err
	}
	if err := changeAll(ctx, t, set.ids); err != nil {
		return err
	}
	load := t.stream(set.ids, capacity/2, peakClients)
	if _, err := load.run(ctx, length/4); err != nil { // warm-up
		return err
	}
	w := newWatch(ctx, t, max(time.Second, length/200))
	sum, err := load.run(ctx, length)
	w.stop()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%.0f requests/s for %s after %s of warm-up: %d done, %d shed, %d failed, p99 %.1f ms\n",
		load.Rate, length, length/4, sum.Done, sum.Shed, sum.Failed, millis(part(sum.Times, 99)))
	said := verdicts{out: out}
	for _, grows := range []struct {
		what string
		of   func(held) int
		most float64 // an hour
	}{
		{"resident memory, MiB", func(h held) int { return h.rss }, 1},
		{"of that Go's heap, MiB", func(h held) int { return h.heap }, 1},
		{"goroutines", func(h held) int { return h.goroutines }, 5},
		{"descriptors", func(h held) int { return h.fds }, 5},
	} {
		first, last, slope, noise := w.trend(grows.of)
		fmt.Fprintf(out, "  %s: %d at first, %d at last, slope %.2f ± %.2f an hour\n", grows.what, first, last, slope, noise)
		// What the noise of so short a time cannot tell from nothing is nothing.
		said.atMost(grows.what+", growth an hour beyond doubt", slope-2*noise, grows.most)
	}
	said.atMost("requests that were not done", float64(sum.Shed+sum.Failed), 0)
	return said.err()
}

// changeAll changes each record once.
func changeAll(ctx context.Context, t *target, ids []string) error {
	var wg sync.WaitGroup
	failed := make([]error, peakClients)
	for i, part := range slices.Collect(slices.Chunk(ids, len(ids)/peakClients+1)) {
		wg.Go(func() {
			c, err := dial(t, part, time.Hour)
			if err != nil {
				failed[i] = err
				return
			}
			defer c.conn.Close() // it has its answers
			for n := 0; n < len(part) && err == nil && ctx.Err() == nil; n++ {
				_, err = c.do(c.patchOf(part[n]), http.StatusOK)
			}
			failed[i] = err
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}
