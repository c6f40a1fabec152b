package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// series is one server's measurements at one workload.
type series []measurement

// median is the middle of the values of, which get finds.
func median[T cmp.Ordered](s series, get func(measurement) T) T {
	values := make([]T, len(s))
	for i, m := range s {
		values[i] = get(m)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func (s series) rate() float64 { return median(s, func(m measurement) float64 { return m.rate }) }

func (s series) cpu() time.Duration {
	return median(s, func(m measurement) time.Duration { return m.cpu })
}

// report prints the table. results are by workload, then floor and server.
func report(out io.Writer, o options, set *dataset, work []workload, results [][]series, floor, server *target) error {
	fmt.Fprintf(out, "certstate against the floor: %d records, medians of %d rounds of %g s\n", o.rows, o.rounds, o.seconds)
	fmt.Fprintf(out, "%d cores shared with the client, %s %s/%s, SQLite %s\n\n",
		runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, set.sqlite)
	tw := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "workload\tserver\tper second\tmin\tmax\tp50 ms\tp99 ms\tCPU µs\tof the floor\t")
	for i, pair := range results {
		name := work[i].name
		for j, t := range []*target{floor, server} {
			s := pair[j]
			low := slices.MinFunc(s, func(a, b measurement) int { return cmp.Compare(a.rate, b.rate) })
			high := slices.MaxFunc(s, func(a, b measurement) int { return cmp.Compare(a.rate, b.rate) })
			fmt.Fprintf(tw, "%s\t%s\t%.0f\t%.0f\t%.0f\t%s\t%s\t%d\t", name, t.name, s.rate(), low.rate, high.rate,
				ms(median(s, func(m measurement) time.Duration { return m.p50 })),
				ms(median(s, func(m measurement) time.Duration { return m.p99 })), s.cpu().Microseconds())
			if t == server {
				fmt.Fprintf(tw, "%.0f %%", 100*s.rate()/pair[0].rate())
			}
			fmt.Fprintln(tw, "\t")
			name = ""
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nCPU is the server's own per request. A creation is durable: answered after its fsync.")
	for _, t := range []*target{floor, server} {
		if all, own := t.memory(); all > 0 {
			fmt.Fprintf(out, "%s: %d MiB resident at the end, %d MiB without mapped files\n", t.name, all, own)
		}
	}
	return nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }
