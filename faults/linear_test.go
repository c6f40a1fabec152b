package faults

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"certstate/store/storetest"
)

var (
	histories     = flag.Int("histories", 1, "histories of TestLinearizable on each setting")
	historyLength = flag.Int("history-length", 1200, "operations of each")
	historyKills  = flag.Int("history-kills", 3, "kill -9s in each")
)

// searchTime is how long porcupine may look for an order of one history.
const searchTime = 60 * time.Second

// settings are the servers and engines that TestLinearizable runs on. SQLite has
// one server at a time.
var settings = []struct {
	name    string
	servers int
	url     func(testing.TB) string
}{
	{"sqlite/one server", 1, storetest.Engines[0].URL},
	{"postgres/one server", 1, storetest.Postgres},
	{"postgres/three servers", 3, storetest.Postgres},
}

// Sixteen clients work on ten records while servers are killed with kill -9 and
// started again. For each record there is one order of all operations that
// explains every answer, and all else that the judges know holds too.
func TestLinearizable(t *testing.T) {
	for _, s := range settings {
		t.Run(s.name, func(t *testing.T) {
			for n := range *histories {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					r := newRegister(t, s.url(t))
					servers := r.serveAll(t, s.servers)
					l := newLoad(newClient(r, transport()), urls(servers), *historyLength)
					l.underFire(t, *historyKills, func() error { return servers[rand.IntN(len(servers))].restart() })
					l.judge(t, r)
				})
			}
		})
	}
}

// serveAll starts several servers with the same settings.
func (r *register) serveAll(t testing.TB, n int) []*server {
	t.Helper()
	servers := []*server{r.serve(t)}
	for len(servers) < n {
		servers = append(servers, r.serve(t, "--base-url", servers[0].url))
	}
	return servers
}

func urls(servers []*server) (list []string) {
	for _, s := range servers {
		list = append(list, s.url)
	}
	return list
}

// step is an operation as the model takes it.
type step struct {
	id      string
	kind    kind
	value   string // that it writes
	matched bool   // there is an If-Match
	match   string // the value that it stands for
}

type result struct {
	outcome outcome
	value   string // that a get saw
}

// model is what one record can do. Its state is the record's value, "" for none.
var model = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		was, in, out := state.(string), input.(step), output.(result)
		will, is := in.apply(was)
		if out.outcome == unknown {
			return true, is
		}
		return out.outcome == will && (in.kind != get || out.value == was), is
	},
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		byID := map[string]int{}
		for _, o := range history {
			id := o.Input.(step).id
			at, known := byID[id]
			if !known {
				at = len(parts)
				byID[id], parts = at, append(parts, nil)
			}
			parts[at] = append(parts[at], o)
		}
		return parts
	},
	DescribeOperation: func(input, output any) string {
		in, out := input.(step), output.(result)
		text := fmt.Sprintf("%s %s", in.kind, in.id)
		if in.value != "" {
			text += fmt.Sprintf(" := %q", in.value)
		}
		if in.matched {
			text += fmt.Sprintf(" if %q", in.match)
		}
		if out.value != "" {
			return fmt.Sprintf("%s -> %q", text, out.value)
		}
		return text + " -> " + string(out.outcome)
	},
	DescribeState: func(state any) string { return fmt.Sprintf("%q", state) },
}

// apply is what a step does to a record of a value, and what its client is told.
func (s *step) apply(was string) (outcome, string) {
	switch {
	case s.kind == create && was != "":
		return conflict, was
	case s.kind == create:
		return done, s.value
	case was == "":
		return absent, was
	case s.kind == get:
		return done, was
	case s.matched && s.match != was:
		return mismatch, was
	case s.kind == remove:
		return done, ""
	}
	return done, s.value
}

// forPorcupine is the history in its terms. Reads without an answer, and what was
// turned away, say nothing. What is unknown may happen until the end.
func (h *history) forPorcupine() (list []porcupine.Operation) {
	values := map[string]string{} // ETag → value
	for i := range h.operations {
		if o := &h.operations[i]; o.etag != "" {
			values[o.etag] = o.value
		}
	}
	for i := range h.operations {
		o := &h.operations[i]
		if o.id == "" || !o.outcome.answered() && (o.outcome != unknown || o.kind == get) {
			continue
		}
		in, out := step{o.id, o.kind, o.value, o.match != "", values[o.match]}, result{outcome: o.outcome}
		if o.kind == get {
			in.value, out.value = "", o.value
		}
		returned := int64(o.returned)
		if o.outcome == unknown {
			returned = math.MaxInt64
		}
		list = append(list, porcupine.Operation{ClientId: max(o.client, 0), Input: in, Call: int64(o.called), Output: out, Return: returned})
	}
	return list
}

// order looks for an order of the operations on each record that explains every
// answer.
func (h *history) order() (porcupine.CheckResult, porcupine.LinearizationInfo) {
	return porcupine.CheckOperationsVerbose(model, h.forPorcupine(), searchTime)
}
