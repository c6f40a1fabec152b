package faults

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"certstate/store/storetest"
)

// seeds are servers that do wrong, and which judges must see it.
var seeds = []struct {
	name      string
	serve     func() func(*request) (*answer, error)
	after     func() // waits for what it has yet to do, nil for nothing
	audit     bool
	follower  bool
	porcupine bool
}{
	{name: "none", serve: always(func(r *request) (*answer, error) { return r.send(nil) })},
	{name: "reads are stale", serve: stale, porcupine: true},
	{name: "an update is lost", serve: always(forgetful), audit: true, porcupine: true},
	{name: "If-Match is not atomic", serve: always(twoSteps), porcupine: true},
	{name: "acknowledged before it is done", serve: always(hasty), after: late.Wait, audit: true, porcupine: true},
	{name: "created twice", serve: always(twice), audit: true},
	{name: "delta leaves a record out", serve: always(leaky), follower: true},
}

func TestSeededFaultsAreSeen(t *testing.T) {
	t.Parallel()
	for _, seed := range seeds {
		t.Run(seed.name, func(t *testing.T) {
			t.Parallel()
			r := newRegister(t, storetest.Engines[0].URL(t))
			s := r.serve(t)
			l := newLoad(newClient(r, front{transport(), seed.serve()}), []string{s.url}, 800)
			l.run(t.Context())
			if seed.after != nil {
				seed.after()
			}
			f := newFollower(l.client, l.servers)
			l.client = newClient(r, transport())
			l.settle(t.Context())
			table, err := l.table(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			log, err := r.changes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			audited := l.history.audit(log, table)
			if seed.audit != (len(audited) > 0) {
				t.Errorf("the audit: %q", audited)
			}
			if followed := f.audit(t.Context(), table); seed.follower != (len(followed) > 0) {
				t.Errorf("the follower: %q", followed)
			}
			result, info := l.history.order()
			if seed.porcupine != (result == porcupine.Illegal) {
				t.Error("porcupine: ", result)
			}
			if err := porcupine.VisualizePath(model, info, filepath.Join(r.dir, "history.html")); err != nil {
				t.Error(err)
			}
		})
	}
}

// always makes nothing of its own for a server.
func always(serve func(*request) (*answer, error)) func() func(*request) (*answer, error) {
	return func() func(*request) (*answer, error) { return serve }
}

// stale gives a read what the record was before its last change, where a read
// before it has given the change already.
func stale() func(*request) (*answer, error) {
	type reads struct{ last, before *answer }
	var mu sync.Mutex
	of := map[string]reads{}
	return func(r *request) (*answer, error) {
		mu.Lock()
		known := of[r.URL.Path] // when the read begins
		mu.Unlock()
		a, err := r.send(nil)
		if err != nil || r.Method != http.MethodGet || strings.HasSuffix(r.URL.Path, "/delta") || a.status != http.StatusOK {
			return a, err
		}
		if known.before != nil {
			return known.before, nil
		}
		mu.Lock()
		defer mu.Unlock()
		switch is := of[r.URL.Path]; {
		case is.last == nil:
			of[r.URL.Path] = reads{last: a}
		case !bytes.Equal(is.last.body, a.body):
			of[r.URL.Path] = reads{last: a, before: is.last}
		}
		return a, nil
	}
}

var invented atomic.Int64

// forgetful acknowledges one update in four that it does not make.
func forgetful(r *request) (*answer, error) {
	if r.Method != http.MethodPatch || rand.IntN(4) > 0 {
		return r.send(nil)
	}
	is, a, err := r.look()
	if err != nil || a.status != http.StatusOK || r.Header.Get("If-Match") != "" {
		return r.send(nil)
	}
	err = json.Unmarshal(r.body, &is)
	is.ETag = `W/"` + strconv.FormatInt(1<<40+invented.Add(1), 36) + `"`
	return answering(http.StatusOK, is), err
}

// twoSteps compares the ETag first and writes then.
func twoSteps(r *request) (*answer, error) {
	match := r.Header.Get("If-Match")
	if match == "" {
		return r.send(nil)
	}
	is, a, err := r.look()
	if err != nil || a.status != http.StatusOK {
		return a, err
	}
	if is.ETag != match {
		return answering(http.StatusPreconditionFailed, record{}), nil
	}
	time.Sleep(2 * time.Millisecond) // no more than wide enough to be hit
	return r.send(func(req *http.Request) { req.Header.Del("If-Match") })
}

// late is what hasty has yet to do.
var late sync.WaitGroup

// hasty answers a delete before it is done; one in four never is, as if the
// server had been killed.
func hasty(r *request) (*answer, error) {
	if r.Method != http.MethodDelete || r.Header.Get("If-Match") != "" {
		return r.send(nil)
	}
	if _, a, err := r.look(); err != nil || a.status != http.StatusOK {
		return a, err
	}
	if rand.IntN(4) > 0 {
		late.Go(func() {
			time.Sleep(5 * time.Millisecond)
			_, _ = r.send(nil)
		})
	}
	return &answer{http.StatusNoContent, http.Header{}, nil}, nil
}

// twice sends a create again, as if its first answer had been lost.
func twice(r *request) (*answer, error) {
	if r.Method == http.MethodPost && !strings.Contains(string(r.body), `"id"`) {
		if a, err := r.send(nil); err != nil {
			return a, err
		}
	}
	return r.send(nil)
}

// leaky leaves the last record of a page of delta out.
func leaky(r *request) (*answer, error) {
	a, err := r.send(nil)
	if err != nil || !strings.HasSuffix(r.URL.Path, "/delta") {
		return a, err
	}
	var page map[string]json.RawMessage
	var records []json.RawMessage
	if err := json.Unmarshal(a.body, &page); err != nil {
		return a, err
	}
	if err := json.Unmarshal(page["value"], &records); err != nil || len(records) == 0 {
		return a, err
	}
	page["value"], _ = json.Marshal(records[:len(records)-1])
	a.body, err = json.Marshal(page)
	return a, err
}
