package faults

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"testing"
	"time"
)

// outage is a fault of what a server stands on, and how the server has to bear it.
type outage struct {
	cause func() error // begins it
	mend  func() error // ends it
	// status is what changes are answered with meanwhile, and says what a line of the log
	// has, once.
	status int
	says   string
	still  bool          // nobody writes when it begins
	within time.Duration // until a change is refused, 0 for twice noticed
	reads  bool          // go on meanwhile
	ends   bool          // the server must be restarted, once it is mended
	// last is since when nothing may be acknowledged, nil for any time.
	last func() (time.Time, error)
}

// Times within which a server notices an outage and its end.
const (
	noticed   = 5 * time.Second
	recovered = 10 * time.Second
)

// suffer has a server bear an outage under load, and holds it to its promises: changes
// are answered as Graph answers, with a time to come again; /readyz turns, and turns
// back although nobody writes; the log says what is wrong; nothing acknowledged is lost.
func (l *load) suffer(t testing.TB, r *register, s *server, o outage) {
	t.Helper()
	l.clients = 4
	if o.still {
		l.while(t, func() error { return l.history.awaitMore(100) })
		if err := o.cause(); err != nil {
			t.Fatal(err)
		}
	}
	l.while(t, func() error {
		if !o.still {
			if err := errors.Join(l.history.awaitMore(100), o.cause()); err != nil {
				return err
			}
		}
		err := errors.Join(l.refusal(t, s, o), s.awaitStatus("/readyz", http.StatusServiceUnavailable, noticed), s.awaitStatus("/healthz", http.StatusOK, noticed))
		if o.reads {
			err = errors.Join(err, l.reading(t, s))
		}
		if o.last != nil { // who goes on now is seen to
			err = errors.Join(err, o.mend(), l.history.awaitAsked(100))
		}
		return errors.Join(err, await("the log says: "+o.says, noticed, func() bool { return s.said(o.says) > 0 }))
	})
	if o.last != nil {
		l.nothingSince(t, o.last)
	}
	if o.ends {
		if err := s.kill(); err != nil {
			t.Fatal(err)
		}
	}
	err := o.mend()
	if err == nil && o.ends {
		err = s.launch()
	}
	if err = errors.Join(err, s.awaitStatus("/readyz", http.StatusOK, recovered)); err != nil {
		t.Fatal(err)
	}
	l.while(t, func() error { return l.history.awaitMore(100) })
	if n := s.said(o.says); n != 1 {
		t.Errorf("the log says %d times: %s", n, o.says)
	}
	l.judge(t, r)
}

// nothingSince looks that nothing was acknowledged that was asked for after a moment.
func (l *load) nothingSince(t testing.TB, moment func() (time.Time, error)) {
	t.Helper()
	at, err := moment()
	if err != nil {
		t.Fatal(err)
	}
	for i := range l.history.operations {
		if o := &l.history.operations[i]; o.writes() && o.outcome == done && o.called > at.Sub(l.history.began) {
			t.Fatalf("acknowledged after the disk failed: %s %s", o.kind, o.id)
		}
	}
}

// refusal waits until a change is refused, and looks at the answer.
func (l *load) refusal(t testing.TB, s *server, o outage) (err error) {
	var a *answer
	if err := await("a change is refused", cmp.Or(o.within, 2*noticed), func() bool {
		ask := operation{kind: create, id: fmt.Sprint("outage ", time.Now().UnixNano()), value: l.writes.next()}
		ask.called = l.history.now()
		a, err = l.client.request(t.Context(), s.url, &ask)
		ask.judge(a, err)
		ask.returned = l.history.now()
		l.history.add(ask)
		return err == nil && a.status >= http.StatusInternalServerError
	}); err != nil {
		return err
	}
	return a.apology(o.status)
}

// reading looks that a record and a page can be read.
func (l *load) reading(t testing.TB, s *server) error {
	for _, path := range []string{"", "?$top=3", "/$count"} {
		a, err := l.client.send(t.Context(), http.MethodGet, s.url+collection+path, nil, nil)
		if err != nil {
			return err
		}
		if a.status != http.StatusOK {
			return fmt.Errorf("GET %s: %d %s", path, a.status, a.body)
		}
	}
	return nil
}

// apology looks that an answer is one of Graph's that says when to come again.
func (a *answer) apology(status int) error {
	shape := regexp.MustCompile(`^\{"error":\{"code":"(ServiceUnavailable|InsufficientStorage)","message":"[A-Z][^"]+\.","innerError":\{"date":"[^"]+","request-id":"[^"]+","client-request-id":"[^"]+"\}\}\}$`)
	if a.status != status || !regexp.MustCompile(`^[0-9]+$`).MatchString(a.header.Get("Retry-After")) || !shape.Match(a.body) {
		return fmt.Errorf("answered %d, Retry-After %q, %s", a.status, a.header.Get("Retry-After"), a.body)
	}
	return nil
}

// awaitStatus asks until an answer has a status.
func (s *server) awaitStatus(path string, status int, within time.Duration) error {
	return await(fmt.Sprint(path, " is ", status), within, func() bool {
		res, err := http.Get(s.url + path)
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == status
	})
}

// said is how often the log has a warning or an error that is not a request's.
func (s *server) said(what string) int {
	text, _ := os.ReadFile(s.log)
	return len(regexp.MustCompile(`(?m)^.*"level":"(WARN|ERROR)","msg":"[^"]*`+what).FindAll(text, -1))
}
