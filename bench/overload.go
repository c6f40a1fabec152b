package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"certstate/auth/authtest"
)

const (
	peakClients = 64
	overConns   = 3000 // connections of a load over capacity
	times       = 10   // how much over
	quietRate   = 10   // requests a second of the tenant beside
)

// overload sends the server ten times what it can do, and says whether it went
// on doing what it can; then the same from one tenant while another sends little.
func overload(ctx context.Context, out io.Writer, o options, dir, program string, set *dataset, is *authtest.Issuer) error {
	length := time.Duration(o.seconds * float64(time.Second))
	var err error
	if set.apart, err = divide(); err != nil {
		return err
	}
	server, err := startServer(ctx, dir, program, set, is)
	if err != nil {
		return err
	}
	missed := flood(ctx, out, server, set, length)
	server.stop()
	for _, throttle := range []string{"graph", "off"} {
		fmt.Fprintf(out, "\na busy neighbour, --throttle %s\n", throttle)
		if server, err = startServer(ctx, dir, program, set, is, "--throttle", throttle); err != nil {
			return err
		}
		missed = errors.Join(missed, neighbour(ctx, out, server, set, is, length, throttle != "off"))
		server.stop()
	}
	return missed
}

// flood measures the peak, goes ten times over it, and looks how soon the server
// is back.
func flood(ctx context.Context, out io.Writer, t *target, set *dataset, length time.Duration) error {
	capacity, calm, err := measurePeak(ctx, out, t, set)
	if err != nil {
		return err
	}
	w := newWatch(ctx, t, time.Second)
	before := t.cpu()
	sum, err := t.stream(set.ids, times*capacity, overConns).run(ctx, length)
	used := t.cpu() - before
	w.stop()
	if err != nil {
		return err
	}
	said := verdicts{out: out}
	goodput := float64(sum.Done) / length.Seconds()
	fmt.Fprintf(out, "the server's processor time: %.2f of one processor, %.0f percent of it for what was done\n", used.Seconds()/length.Seconds(), 100*float64(sum.Done)*calm.CPU.Seconds()/used.Seconds())
	fmt.Fprintf(out, "offered %.0f/s for %s: %d sent, %d not for want of one of %d connections; %d done, %d shed, %d failed\n",
		times*capacity, length, sum.Done+sum.Shed+sum.Failed, sum.Unsent, overConns, sum.Done, sum.Shed, sum.Failed)
	if sum.FirstFailure != "" {
		fmt.Fprintln(out, "the first failure:", sum.FirstFailure)
	}
	said.atLeast("goodput, percent of the peak", 100*goodput/capacity, 80)
	said.atMost("p99 of those done, ms", millis(part(sum.Times, 99)), 2000)
	said.atMost("p50 of those shed, from when they were sent, ms", millis(part(sum.Refused, 50)), 1200)
	fmt.Fprintf(out, "  p99 of those shed: %.0f ms\n", millis(part(sum.Refused, 99)))
	said.atMost("p99 of health answers, ms", millis(part(w.health, 99)), 100)
	said.atMost("health answers that were not 200", float64(w.sick), 0)
	said.atMost("resident memory, MiB", float64(w.most(func(h held) int { return h.rss })), 512)
	said.atMost("goroutines", float64(w.most(func(h held) int { return h.goroutines })), 2*overConns+500) // net/http has two for a connection that waits
	said.atMost("failures", float64(sum.Failed), 0)
	back, err := recovery(ctx, t, set, capacity/2, part(calm.Times, 99))
	if err != nil {
		return err
	}
	said.atMost("back to the p99 of the peak, at half of it, after s", back.Seconds(), 10)
	return said.err()
}

func measurePeak(ctx context.Context, out io.Writer, t *target, set *dataset) (float64, *tally, error) {
	if _, _, err := peak(ctx, t, set.ids, peakClients, 2*time.Second); err != nil { // warm-up
		return 0, nil, err
	}
	before := t.cpu()
	rate, sum, err := peak(ctx, t, set.ids, peakClients, 10*time.Second)
	if err == nil {
		sum.CPU = (t.cpu() - before) / time.Duration(sum.Done)
		fmt.Fprintf(out, "peak: %.0f requests/s of the mix by %d clients, p50 %.1f ms, p99 %.1f ms, %.2f ms of processor time each\n", rate, peakClients, millis(part(sum.Times, 50)), millis(part(sum.Times, 99)), millis(sum.CPU))
	}
	return rate, sum, err
}

// recovery is how long it takes until a second of bearable load is answered within
// a time again.
func recovery(ctx context.Context, t *target, set *dataset, rate float64, within time.Duration) (time.Duration, error) {
	begin := time.Now()
	for time.Since(begin) < 30*time.Second {
		sum, err := t.stream(set.ids, rate, peakClients).run(ctx, time.Second)
		if err != nil {
			return 0, err
		}
		if sum.Shed+sum.Failed == 0 && sum.Done > 0 && part(sum.Times, 99) <= within {
			break
		}
	}
	return time.Since(begin), nil
}

// neighbour has one tenant send ten times the peak while another sends little,
// and compares what the other sees with what it sees alone.
func neighbour(ctx context.Context, out io.Writer, t *target, set *dataset, is *authtest.Issuer, length time.Duration, binding bool) error {
	capacity := 3000.0
	if !binding { // with limits the peak cannot be measured
		var err error
		if capacity, _, err = measurePeak(ctx, out, t, set); err != nil {
			return err
		}
	}
	quiet := *t
	quiet.header = "Host: " + t.addr + "\r\nAccept: application/json\r\n" + authorization(is, authtest.TenantB)
	ids, err := seed(&quiet, 50)
	if err != nil {
		return err
	}
	other := quiet.stream(ids, quietRate, 16)
	alone, err := other.run(ctx, length)
	if err != nil {
		return err
	}
	var a *tally
	failed := make(chan error, 1)
	go func() {
		var err error
		a, err = t.stream(set.ids, times*capacity, overConns).run(ctx, length)
		failed <- err
	}()
	beside, err := other.run(ctx, length)
	if err := errors.Join(err, <-failed); err != nil {
		return err
	}
	fmt.Fprintf(out, "busy: offered %.0f/s, %d done, %d shed, %d failed\n", times*capacity, a.Done, a.Shed, a.Failed)
	fmt.Fprintf(out, "other: alone p50 %.1f ms, p99 %.1f ms; beside it p50 %.1f ms, p99 %.1f ms, %d done, %d shed, %d failed\n", millis(part(alone.Times, 50)), millis(part(alone.Times, 99)),
		millis(part(beside.Times, 50)), millis(part(beside.Times, 99)), beside.Done, beside.Shed, beside.Failed)
	said := verdicts{out: out}
	said.atMost("requests of the other that were not done", float64(beside.Shed+beside.Failed+beside.Unsent), 0)
	said.atMost("its p99, times that of it alone", float64(part(beside.Times, 99))/float64(part(alone.Times, 99)), 3)
	if !binding {
		return nil
	}
	return said.err()
}

// seed creates some records and returns their ids.
func seed(t *target, n int) (ids []string, err error) {
	c, err := dial(t, nil, time.Minute)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close() // it has its answers
	for range n {
		answer, err := c.do(c.post, 201)
		if err != nil {
			return nil, err
		}
		ids = append(ids, string(between(`"id":"`, `"`, "")(answer)))
	}
	return ids, nil
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// verdicts compares figures with what they are to be.
type verdicts struct {
	out    io.Writer
	missed int
}

func (v *verdicts) atLeast(what string, got, want float64) {
	v.say(what, got, "≥", want, got >= want)
}
func (v *verdicts) atMost(what string, got, want float64) { v.say(what, got, "≤", want, got <= want) }

func (v *verdicts) say(what string, got float64, sign string, want float64, ok bool) {
	mark := "ok  "
	if !ok {
		mark = "MISS"
		v.missed++
	}
	fmt.Fprintf(v.out, "  %s %s: %.1f, want %s %.0f\n", mark, what, got, sign, want)
}

func (v *verdicts) err() error {
	if v.missed > 0 {
		return fmt.Errorf("%d figures are not what they should be", v.missed)
	}
	return nil
}
