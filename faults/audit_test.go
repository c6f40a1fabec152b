package faults

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"certstate"
)

// version is a record as it stands in the register.
type version struct{ value, etag string }

// number is the change that made it.
func (v version) number() int64 { return number(v.etag) }

// number is the change that an ETag names, 0 if it is none of ours.
func number(etag string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(etag, `W/"`), `"`), 36, 64)
	return n
}

// audit holds the log and the table of a register to what clients were told,
// and says what does not fit.
func (h *history) audit(log []certstate.Change, table map[string]version) []string {
	h.adopt(table)
	return slices.Concat(h.senseless(), h.against(log), h.disorder(), h.foreign(table), apart(log, table))
}

// table is all records, page by page.
func (l *load) table(ctx context.Context) (map[string]version, error) {
	table := map[string]version{}
	for next := collection + "?$top=7"; next != ""; {
		page, err := l.client.page(ctx, l.servers[0], next)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Value {
			if table[r.ID] != (version{}) {
				return nil, fmt.Errorf("%s is listed twice", r.ID)
			}
			table[r.ID] = version{r.Name, r.ETag}
		}
		next = page.Next
	}
	return table, nil
}

// page is an answer of several records. Its links are without a host: any
// server can follow them.
type page struct {
	Value []record
	Next  string `json:"@odata.nextLink"`
	Delta string `json:"@odata.deltaLink"`
}

func (c *client) page(ctx context.Context, server, path string) (p page, err error) {
	a, err := c.send(ctx, http.MethodGet, server+path, nil, nil)
	if err != nil {
		return p, err
	}
	if a.status != http.StatusOK {
		return p, fmt.Errorf("GET %s: %d %s", path, a.status, a.body)
	}
	err = json.Unmarshal(a.body, &p)
	for _, link := range []*string{&p.Next, &p.Delta} {
		if at := strings.Index(*link, "/beta/"); at > 0 {
			*link = (*link)[at:]
		}
	}
	return p, err
}

// adopt gives creates that nobody heard of again the ids that the server made
// for them.
func (h *history) adopt(table map[string]version) {
	byValue := map[string]string{}
	for id, v := range table {
		byValue[v.value] = id
	}
	for i := range h.operations {
		if o := &h.operations[i]; o.kind == create && o.id == "" && o.outcome == unknown {
			o.id = byValue[o.value]
		}
	}
}

// senseless are answers that no state of the register explains: those there must
// not be, and ETags that stand for two things.
func (h *history) senseless() (list []string) {
	type thing struct{ id, value string }
	tagged := map[string]thing{}
	for i := range h.operations {
		o := &h.operations[i]
		if o.outcome == wrong {
			list = append(list, fmt.Sprintf("%s %s was answered %s", o.kind, o.id, o.detail))
			continue
		}
		if o.etag == "" {
			continue
		}
		is := thing{o.id, o.value}
		if was, known := tagged[o.etag]; known && was != is {
			list = append(list, fmt.Sprintf("%s is %v and %v", o.etag, was, is))
		}
		tagged[o.etag] = is
	}
	return list
}

// logged are the kinds of change that operations make.
var logged = map[kind]certstate.ChangeKind{create: certstate.CreatedKind, update: certstate.UpdatedKind, remove: certstate.DeletedKind}

// against compares what clients know with the change log.
func (h *history) against(log []certstate.Change) (list []string) {
	type what struct {
		id   string
		kind certstate.ChangeKind
	}
	acknowledged, possible, changes := map[what]int{}, map[what]int{}, map[what]int{}
	for i := range log {
		changes[what{log[i].ID, log[i].Kind}]++
	}
	for i := range h.operations {
		o := &h.operations[i]
		w := what{o.id, logged[o.kind]}
		switch {
		case o.writes() && o.outcome == done:
			acknowledged[w]++
			n := number(o.etag)
			if o.kind != remove && (n < 1 || n > int64(len(log)) || log[n-1].ID != w.id || log[n-1].Kind != w.kind) {
				list = append(list, fmt.Sprintf("lost: %s %s was acknowledged with %s", o.kind, o.id, o.etag))
			}
		case o.writes() && o.outcome == unknown:
			possible[w]++
		}
		if changes[w] == 0 {
			changes[w] = 0 // so that it is looked at
		}
	}
	for w, n := range changes {
		if least := acknowledged[w]; n < least || n > least+possible[w] {
			list = append(list, fmt.Sprintf("%q was %s %d times, %d acknowledged and %d perhaps", w.id, w.kind, n, least, possible[w]))
		}
	}
	return list
}

// disorder are writes that began after another had been answered and have a lower
// number, on whichever records.
func (h *history) disorder() (list []string) {
	var acks []*operation
	for i := range h.operations { // in the order in which they returned
		if o := &h.operations[i]; o.writes() && o.outcome == done && o.etag != "" {
			acks = append(acks, o)
		}
	}
	slices.SortStableFunc(acks, func(a, b *operation) int { return cmp.Compare(a.returned, b.returned) })
	called := slices.Clone(acks)
	slices.SortStableFunc(called, func(a, b *operation) int { return cmp.Compare(a.called, b.called) })
	var highest int64
	for _, o := range called {
		for len(acks) > 0 && acks[0].returned < o.called {
			highest, acks = max(highest, number(acks[0].etag)), acks[1:]
		}
		if n := number(o.etag); n <= highest {
			list = append(list, fmt.Sprintf("change %d of %s began after change %d had been answered", n, o.id, highest))
		}
	}
	return list
}

// foreign are records without the value of the write that their version is of.
func (h *history) foreign(table map[string]version) (list []string) {
	type write struct{ id, value string }
	told, perhaps := map[string]write{}, map[write]bool{}
	for i := range h.operations {
		switch o := &h.operations[i]; {
		case o.writes() && o.outcome == done && o.etag != "":
			told[o.etag] = write{o.id, o.value}
		case o.writes() && o.outcome == unknown:
			perhaps[write{o.id, o.value}] = true
		}
	}
	for id, v := range table {
		if is := (write{id, v.value}); told[v.etag] != is && !perhaps[is] {
			list = append(list, fmt.Sprintf("%s is %v, which nobody wrote", id, v))
		}
	}
	return list
}

// apart is where the log has a gap, or a change that cannot follow those before it,
// and where they do not add up to the table.
func apart(log []certstate.Change, table map[string]version) (list []string) {
	there := map[string]int64{}
	for i := range log {
		c := &log[i]
		if c.Seq != int64(i+1) {
			list = append(list, fmt.Sprintf("change %d stands at place %d of the log", c.Seq, i+1))
		}
		if (there[c.ID] == 0) != (c.Kind == certstate.CreatedKind) {
			list = append(list, fmt.Sprintf("change %d: %q cannot be %s here", c.Seq, c.ID, c.Kind))
		}
		there[c.ID] = c.Seq
		if c.Kind == certstate.DeletedKind {
			delete(there, c.ID)
		}
	}
	for id, v := range table {
		if there[id] != v.number() {
			list = append(list, fmt.Sprintf("%q has version %d, the log ends with %d", id, v.number(), there[id]))
		}
		delete(there, id)
	}
	for id, n := range there {
		list = append(list, fmt.Sprintf("%q is not there, the log has it since change %d", id, n))
	}
	return list
}

// A history that is right, and what can go wrong with it.
func TestAuditFinds(t *testing.T) {
	type world struct {
		h     *history
		log   []certstate.Change
		table map[string]version
	}
	right := func() *world {
		h := newHistory()
		for i, o := range []operation{
			{kind: create, id: "a", value: "1", etag: `W/"1"`},
			{kind: update, id: "a", value: "2", etag: `W/"2"`},
			{kind: create, id: "b", value: "3", etag: `W/"3"`},
			{kind: create, id: "c", value: "4", etag: `W/"4"`},
			{kind: remove, id: "c"},
		} {
			o.called, o.returned, o.outcome = time.Duration(10*i), time.Duration(10*i+5), done
			h.add(o)
		}
		log := []certstate.Change{{Seq: 1, ID: "a", Kind: "created"}, {Seq: 2, ID: "a", Kind: "updated"},
			{Seq: 3, ID: "b", Kind: "created"}, {Seq: 4, ID: "c", Kind: "created"}, {Seq: 5, ID: "c", Kind: "deleted"}}
		return &world{h, log, map[string]version{"a": {"2", `W/"2"`}, "b": {"3", `W/"3"`}}}
	}
	for name, harm := range map[string]func(*world){
		"":                    func(*world) {},
		"a change is missing": func(w *world) { w.log = slices.Delete(w.log, 2, 3) },
		"the last change is missing": func(w *world) {
			w.log = w.log[:4]
			w.table["c"] = version{"4", `W/"4"`}
		},
		"a change is there twice": func(w *world) { w.log = append(w.log, certstate.Change{Seq: 6, ID: "a", Kind: "updated"}) },
		"a record is missing":     func(w *world) { delete(w.table, "b") },
		"a record is too many":    func(w *world) { w.table["c"] = version{"4", `W/"4"`} },
		"a record is old":         func(w *world) { w.table["a"] = version{"1", `W/"1"`} },
		"a value is nobody's":     func(w *world) { w.table["a"] = version{"5", `W/"2"`} },
		"numbers are out of order": func(w *world) {
			w.h.operations[2].called, w.h.operations[2].returned = 100, 105
		},
		"an ETag stands for two values": func(w *world) {
			w.h.add(operation{kind: get, id: "a", value: "3", etag: `W/"2"`, outcome: done})
		},
		"an answer makes no sense": func(w *world) { w.h.add(operation{kind: get, id: "a", outcome: wrong}) },
	} {
		w := right()
		harm(w)
		if found := w.h.audit(w.log, w.table); (len(found) > 0) != (name != "") {
			t.Errorf("%q: %q", name, found)
		}
	}
	w := right() // what is unknown may have happened
	w.h.operations[4].outcome = unknown
	w.h.add(operation{kind: update, id: "b", value: "6", outcome: unknown})
	if found := w.h.audit(w.log, w.table); len(found) > 0 {
		t.Error(fmt.Sprint(found))
	}
}
