package main

import (
	"context"
	"slices"
	"sync"
	"time"
)

// stream is requests that come at a rate, whether or not those before them were
// answered, as from many clients that know nothing of each other.
type stream struct {
	t     *target
	ids   []string
	rate  float64 // requests a second
	conns int     // connections there may be
}

// backlog is how many requests may wait for a free connection. What is due beyond
// that is not sent.
const backlog = 256

// run sends for a while and returns what became of the requests.
func (s *stream) run(ctx context.Context, length time.Duration) (*tally, error) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	due := make(chan time.Time, backlog)
	tallies := make([]tally, s.conns)
	var wg sync.WaitGroup
	for i := range s.conns {
		wg.Go(func() { s.work(ctx, due, &tallies[i]) })
	}
	sum := &tally{}
	begin := time.Now()
	for sent := 0.0; ctx.Err() == nil; time.Sleep(time.Millisecond) {
		now := time.Now()
		for ; sent < s.rate*now.Sub(begin).Seconds(); sent++ {
			select {
			case due <- now:
			default:
				sum.unsent++
			}
		}
	}
	close(due)
	wg.Wait()
	for i := range tallies {
		sum.add(&tallies[i])
	}
	return sum, nil
}

// work sends what is due on a connection of its own, and makes a new one when
// that fails.
func (s *stream) work(ctx context.Context, due <-chan time.Time, t *tally) {
	var c *client
	defer func() {
		if c != nil {
			_ = c.conn.Close()
		}
	}()
	for at := range due {
		if ctx.Err() != nil { // what still waits was due and not sent
			t.unsent++
			continue
		}
		if c == nil {
			var err error
			if c, err = dial(s.t, s.ids, time.Hour); err != nil {
				t.count(0, err, at, at)
				c = nil
				continue
			}
		}
		sent := time.Now()
		status, _, err := c.exchange(c.mixed())
		t.count(status, err, at, sent)
		if err != nil || c.closed {
			_ = c.conn.Close()
			c = nil
		}
	}
}

// peak is what the server does at most: the rate at which so many clients, each
// of which sends the next request when the last was answered, are answered.
func peak(ctx context.Context, t *target, ids []string, clients int, length time.Duration) (rate float64, sum *tally, err error) {
	sum = &tally{}
	tallies := make([]tally, clients)
	list := make([]*client, clients)
	for i := range list {
		if list[i], err = dial(t, ids, length+time.Minute); err != nil {
			return 0, nil, err
		}
		defer list[i].conn.Close() // it has its answers
	}
	var wg sync.WaitGroup
	begin := time.Now()
	for i, c := range list {
		wg.Go(func() {
			for now := begin; ctx.Err() == nil && now.Sub(begin) < length && tallies[i].failed == 0; now = time.Now() {
				status, _, err := c.exchange(c.mixed())
				tallies[i].count(status, err, now, now)
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	for i := range tallies {
		sum.add(&tallies[i])
	}
	return float64(sum.done) / took.Seconds(), sum, sum.firstFailure
}

// part is the time within which so many of a hundred were answered.
func part(times []time.Duration, percent int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[(len(times)-1)*percent/100]
}
