package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// watch looks at a server from outside while it works: what it holds, and how
// fast it says that it is well.
type watch struct {
	held   []held
	health []time.Duration
	sick   int // health answers other than 200
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// held is what a process holds at a moment.
type held struct {
	at         time.Time
	rss        int // MiB, mapped files not counted
	fds        int
	goroutines int // 0: it did not say
	heap       int // MiB of Go's
}

// newWatch begins to look at the server: every so often at what it holds, and ten
// times a second at its health.
func newWatch(ctx context.Context, t *target, every time.Duration) *watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{cancel: cancel}
	w.wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				w.held = append(w.held, t.holds())
			}
		}
	})
	w.wg.Go(func() { w.probe(ctx, "http://"+t.addr) })
	return w
}

// probeArg as the first argument makes this program a probe: of a process of its
// own, since this one is busy sending.
const probeArg = "probe"

// probe reads what a probe says until the watch ends.
func (w *watch) probe(ctx context.Context, url string) {
	self, err := os.Executable()
	if err != nil {
		w.sick++
		return
	}
	said, _ := exec.CommandContext(ctx, self, probeArg, url).Output() // ends by being killed
	for line := range strings.Lines(string(said)) {
		var status int
		var took time.Duration
		if n, _ := fmt.Sscan(line, &status, &took); n == 2 {
			w.health = append(w.health, took)
			if status != http.StatusOK {
				w.sick++
			}
		}
	}
}

// probe asks for a server's health ten times a second, each time on a new
// connection as balancers do, and writes how it was answered.
func probe(ctx context.Context, url string, out io.Writer) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for i := 0; ctx.Err() == nil; i++ {
		begin := time.Now()
		res, err := client.Get(url + []string{"/healthz", "/readyz"}[i%2])
		status := 0
		if err == nil {
			status = res.StatusCode
			_ = res.Body.Close()
		}
		if _, err := fmt.Fprintln(out, status, int64(time.Since(begin))); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil
}

// stop ends the watch, after which its fields may be read.
func (w *watch) stop() {
	w.cancel()
	w.wg.Wait()
}

// most is the greatest number of something that was held.
func (w *watch) most(of func(held) int) (n int) {
	for _, h := range w.held {
		n = max(n, of(h))
	}
	return n
}

// holds asks the process and the system what it holds.
func (t *target) holds() held {
	h := held{at: time.Now()}
	_, h.rss = t.memory()
	if list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", t.cmd.Process.Pid)); err == nil {
		h.fds = len(list)
	}
	if s, err := t.state(); err == nil {
		h.goroutines, h.heap = s.Goroutines, s.Heap>>20
	}
	return h
}

// state is what the server tells of itself in its log.
type state struct {
	Msg        string
	Goroutines int
	Heap       int `json:"heap_bytes"`
}

func (t *target) state() (s state, err error) {
	f, err := os.Open(t.log)
	if err != nil {
		return s, err
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return s, err
	}
	if err := t.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return s, err
	}
	var said []byte
	for range 100 {
		time.Sleep(20 * time.Millisecond)
		more, err := io.ReadAll(f)
		if err != nil {
			return s, err
		}
		said = append(said, more...)
		for line := range bytes.Lines(said) {
			if bytes.Contains(line, []byte(`"msg":"state"`)) && json.Unmarshal(line, &s) == nil {
				return s, nil
			}
		}
	}
	return s, errors.New("the server does not tell its state")
}

// trend is the line through what was held, by least squares: its slope an hour,
// and the standard error of that.
func (w *watch) trend(of func(held) int) (first, last int, slope, noise float64) {
	n := float64(len(w.held))
	if n < 3 {
		return 0, 0, math.Inf(1), 0
	}
	var x, y float64
	at := func(h held) float64 { return h.at.Sub(w.held[0].at).Hours() }
	for _, h := range w.held {
		x, y = x+at(h)/n, y+float64(of(h))/n
	}
	var xx, xy float64
	for _, h := range w.held {
		xx, xy = xx+(at(h)-x)*(at(h)-x), xy+(at(h)-x)*(float64(of(h))-y)
	}
	slope = xy / xx
	var rest float64
	for _, h := range w.held {
		d := float64(of(h)) - y - slope*(at(h)-x)
		rest += d * d
	}
	return of(w.held[0]), of(w.held[len(w.held)-1]), slope, math.Sqrt(rest / (n - 2) / xx)
}
