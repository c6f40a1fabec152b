package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"time"
)

// stream is requests that come at a rate, whether or not those before them were
// answered, as from many clients that know nothing of each other. A process of
// its own sends them, so that one stream does not slow down the measurement of
// another.
type stream struct {
	Addr, Path, List, Header string // of a target
	IDs                      []string
	Rate                     float64 // requests a second
	Conns                    int     // connections there may be
	Length                   time.Duration
}

// sendArg as the first argument makes this program the sender of the stream on
// its standard input.
const sendArg = "send"

func (t *target) stream(ids []string, rate float64, conns int) *stream {
	return &stream{Addr: t.addr, Path: t.path, List: t.list, Header: t.header, IDs: ids, Rate: rate, Conns: conns}
}

// run has the stream sent for a while and returns what became of its requests.
func (s *stream) run(ctx context.Context, length time.Duration) (*tally, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s.Length = length
	order, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, sendArg)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(order), os.Stderr
	said, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	sum := &tally{}
	return sum, json.Unmarshal(said, sum)
}

// sendStream is the sender.
func sendStream(ctx context.Context, in io.Reader, out io.Writer) error {
	runtime.GOMAXPROCS(1) // the rest is the server's
	s := &stream{}
	if err := json.NewDecoder(in).Decode(s); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(s.send(ctx))
}

// backlog is how many requests may wait for a free connection. What is due beyond
// that is not sent.
const backlog = 256

// send sends, and returns what became of the requests.
func (s *stream) send(ctx context.Context) *tally {
	ctx, cancel := context.WithTimeout(ctx, s.Length)
	defer cancel()
	due := make(chan time.Time, backlog)
	tallies := make([]tally, s.Conns)
	to := &target{addr: s.Addr, path: s.Path, list: s.List, header: s.Header}
	var wg sync.WaitGroup
	for i := range s.Conns {
		wg.Go(func() { s.work(ctx, to, due, &tallies[i]) })
	}
	sum := &tally{}
	begin := time.Now()
	for sent := 0.0; ctx.Err() == nil; time.Sleep(time.Millisecond) {
		now := time.Now()
		for ; sent < s.Rate*now.Sub(begin).Seconds(); sent++ {
			select {
			case due <- now:
			default:
				sum.Unsent++
			}
		}
	}
	close(due)
	wg.Wait()
	for i := range tallies {
		sum.add(&tallies[i])
	}
	return sum
}

// work sends what is due on a connection of its own, and makes a new one when
// that fails.
func (s *stream) work(ctx context.Context, to *target, due <-chan time.Time, t *tally) {
	var c *client
	defer func() {
		if c != nil {
			_ = c.conn.Close()
		}
	}()
	for at := range due {
		if ctx.Err() != nil { // what still waits was due and not sent
			t.Unsent++
			continue
		}
		if c == nil {
			var err error
			if c, err = dial(to, s.IDs, 2*time.Hour); err != nil {
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
			for now := begin; ctx.Err() == nil && now.Sub(begin) < length && tallies[i].Failed == 0; now = time.Now() {
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
	if sum.FirstFailure != "" {
		err = errors.New(sum.FirstFailure)
	}
	return float64(sum.Done) / took.Seconds(), sum, err
}

// part is the time within which so many of a hundred were answered.
func part(times []time.Duration, percent int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[(len(times)-1)*percent/100]
}
