package faults

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// flaws are what the programs of tests can be told to do wrong. Each test of a fault
// names those that it sees.
const (
	hurried      = "acknowledges before it commits"
	unsynced     = "does not sync"
	heedless     = "goes on after the disk failed"
	unaware      = "does not know the engine's faults"
	unrecovering = "writes nothing more after any fault"
	boastful     = "is always ready"
	impatient    = "takes a commit whose answer was lost for one that failed"
	resigned     = "tries no transaction again"
	clockbound   = "goes by the clock alone"
)

// A hurried program waits before it commits until its clients know.
var flawSeams = []seam{
	{file: "store/writer.go", line: "if err := w.end(ctx); err != nil {",
		before: "if seam.Flawed(" + quoted(hurried) + ") { for i, j := range batch { j.done <- answers[i] }; time.Sleep(20 * time.Millisecond) }"},
	{file: "store/writer.go", line: "j.done <- err", instead: "select { case j.done <- err: default: }"},
	{file: "store/writer.go", line: "j.done <- answers[i]", instead: "select { case j.done <- answers[i]: default: }"},
	{file: "store/sqlite.go", line: "if _, err := conn.(driver.ExecerContext).ExecContext(ctx, c.pragmas, nil); err != nil {",
		instead: "if _, err := conn.(driver.ExecerContext).ExecContext(ctx, seam.Pragmas(c.pragmas), nil); err != nil {"},
	{file: "store/fault.go", line: "func (s *Store) end(cause error) {", after: "if seam.Flawed(" + quoted(heedless) + ") { return }"},
	{file: "store/writer.go", line: "func (w *writer) judge(f *fault, err error) error {",
		after: "if f != nil && seam.Flawed(" + quoted(unrecovering) + ") { g := *f; g.ends = true; f = &g }"},
	{file: "store/ready.go", line: "f := s.d.fault(err)", after: "if seam.Flawed(" + quoted(unaware) + ") { return errors.New(err.Error()) }"},
	{file: "store/ready.go", line: "func (s *Store) Ready(ctx context.Context) error {", after: "if seam.Flawed(" + quoted(boastful) + ") { return nil }"},
	{file: "store/writer.go", line: "if f := w.store.d.fault(err); w.node == nil || f == nil || !f.lost {",
		instead: "if f := w.store.d.fault(err); w.node == nil || f == nil || !f.lost || seam.Flawed(" + quoted(impatient) + ") {"},
	{file: "store/writer.go", line: "if f = w.store.d.fault(err); f == nil ||…",
		before: "if seam.Flawed(" + quoted(resigned) + ") { f = w.store.d.fault(err); return nil, f, w.judge(f, err) }"},
	{file: "store/writer.go", line: "if at > h.now.Ticks {", instead: "if at > h.now.Ticks && !seam.Flawed(" + quoted(clockbound) + ") {"},
}

func quoted(text string) string { return fmt.Sprintf("%q", text) }

// serveFlawed starts a server as operators run it, or with seams if it has flaws.
func (r *register) serveFlawed(t testing.TB, flaws []string) *server {
	t.Helper()
	if len(flaws) == 0 {
		return r.serve(t)
	}
	return r.serveWithSeams(t, flaws)
}

// serveWithSeams starts a server that has flaws, or none.
func (r *register) serveWithSeams(t testing.TB, flaws []string, flags ...string) *server {
	t.Helper()
	s := r.server(t, flags...)
	s.program, s.flaws = programWithSeams, flaws
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// clock sets the clock that a server with seams goes by if it was started with what
// is returned in its environment.
func (s *server) clock(t testing.TB, ahead time.Duration) string {
	t.Helper()
	path := s.log + ".clock"
	err := os.WriteFile(path+".new", fmt.Append(nil, int64(ahead/time.Second)), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return "SEAM_CLOCK=" + path
}

// lost is how the judges say that something acknowledged is not there.
const lost = "lost|acknowledged|not there|porcupine: Illegal"

// flawed is what is said of a server with a flaw in an outage.
var flawed = map[string]string{
	unaware:      "InternalServerError",
	unrecovering: "/readyz is 200",
	boastful:     "/readyz is 503",
	resigned:     "ServiceUnavailable",
	impatient:    lost,
	clockbound:   "times that fall",
	heedless:     "acknowledged after the disk failed",
}

var allFlaws = flag.Bool("all-flaws", false, "have each test of an outage see every flaw that it can; else one of them")

// eachFlaw runs a test on a server without flaws, and looks that it sees those with one.
func eachFlaw(t *testing.T, name string, flaws []string, test func(t testing.TB, flaws ...string)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		test(t)
	})
	if !*allFlaws && len(flaws) > 0 {
		flaws = []string{flaws[rand.IntN(len(flaws))]}
	}
	for _, flaw := range flaws {
		t.Run(name+"/"+flaw, func(t *testing.T) {
			t.Parallel()
			sees(t, flaw, flawed[flaw], func(t testing.TB) { test(t, flaw) })
		})
	}
}

// sees runs a test on a server with a flaw: it must fail, and say what matches want.
func sees(t *testing.T, flaw, want string, test func(testing.TB)) {
	t.Helper()
	w := &witness{TB: t}
	w.run(test)
	if w.skipped != "" {
		t.Skip(w.skipped)
	}
	if !regexp.MustCompile(want).MatchString(w.said.String()) {
		t.Errorf("that a server %s was to be seen by %q: %s", flaw, want, w.said.String())
	}
}

// witness is a test that is to fail.
type witness struct {
	testing.TB
	mu       sync.Mutex
	said     strings.Builder
	failed   bool
	skipped  string
	cleanups []func()
}

func (w *witness) run(test func(testing.TB)) {
	apart := func(fn func()) { // a failure ends its goroutine
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			fn()
		}()
		<-ended
	}
	apart(func() { test(w) })
	w.mu.Lock()
	w.failed = false // so that nothing is kept to be looked at
	w.mu.Unlock()
	for i := len(w.cleanups) - 1; i >= 0; i-- {
		apart(w.cleanups[i])
	}
}

func (w *witness) say(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = true
	fmt.Fprintln(&w.said, text)
}

func (w *witness) Failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

func (w *witness) Helper()                           {}
func (w *witness) Log(...any)                        {}
func (w *witness) Logf(string, ...any)               {}
func (w *witness) Cleanup(fn func())                 { w.cleanups = append(w.cleanups, fn) }
func (w *witness) Error(args ...any)                 { w.say(fmt.Sprint(args...)) }
func (w *witness) Errorf(format string, args ...any) { w.say(fmt.Sprintf(format, args...)) }
func (w *witness) Fatal(args ...any)                 { w.say(fmt.Sprint(args...)); runtime.Goexit() }
func (w *witness) Fatalf(format string, args ...any) { w.Fatal(fmt.Sprintf(format, args...)) }
func (w *witness) Skip(args ...any)                  { w.skipped = fmt.Sprint(args...); runtime.Goexit() }
