package odata_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"certstate"
	"certstate/odata"
)

func FuzzDecodeBatch(f *testing.F) {
	f.Add([]byte(`{"requests":[{"id":"1","method":"get","url":"/x?%24top=1","headers":{"Accept":"a"},"body":{"a":[1]},"dependsOn":["2"]},
		{"id":"2","method":"PATCH","url":"https://graph.microsoft.com/beta/../x","body":null,"dependsOn":[],"@a":1}],"@b":{}}`))
	f.Add([]byte(`{"requests":[{"id":"a","method":"GET","url":"x","dependsOn":["B","c"]},{"id":"b","method":"GET","url":"x","dependsOn":["C"]},{"id":"c","method":"GET","url":"x"}]}`))
	f.Add([]byte(`{"requests":[{"id":"a","method":"GET","url":"x","dependsOn":["b"]},{"id":"b","method":"GET","url":"x","dependsOn":["a"]}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := odata.DecodeBatch(in)
		if err != nil {
			if _, ok := errors.AsType[*certstate.Error](err); !ok {
				t.Errorf("%q: %v is not for the client", in, err)
			}
			return
		}
		if n := len(b.Items); n < 1 || n > odata.MaxBatch {
			t.Errorf("%q: %d items", in, n)
		}
		for i, it := range b.Items {
			if it.ID == "" || slices.ContainsFunc(b.Items[:i], func(o odata.BatchItem) bool { return strings.EqualFold(o.ID, it.ID) }) {
				t.Errorf("%q: id %q", in, it.ID)
			}
			if it.Body != nil && !json.Valid(it.Body) {
				t.Errorf("%q: body %q", in, it.Body)
			}
			u, err := it.Target("beta", "https://register.example")
			if err != nil {
				continue
			}
			parts := strings.Split(u.EscapedPath(), "/")
			if u.Scheme != "" || u.Host != "" || u.User != nil || parts[0] != "" || !slices.Contains(odata.Versions, strings.ToLower(parts[1])) {
				t.Errorf("%q: %q leads to %v", in, it.URL, u)
			}
			for _, part := range parts {
				if s, err := url.PathUnescape(part); err != nil || s == ".." || s == "." {
					t.Errorf("%q: %q leads to %v", in, it.URL, u)
				}
			}
		}
		checkOrder(t, in, b)
	})
}

// checkOrder holds an order to its promise: every item once, each after those
// it depends on, and never before an earlier one that could have run.
func checkOrder(t *testing.T, in []byte, b *odata.Batch) {
	done := make([]bool, len(b.Items))
	ready := func(i int) bool {
		return !done[i] && !slices.ContainsFunc(b.Items[i].DependsOn, func(j int) bool { return !done[j] })
	}
	for _, i := range b.Order {
		if !ready(i) || slices.ContainsFunc(b.Order, func(j int) bool { return j < i && ready(j) }) {
			t.Errorf("%q: %d is out of order in %v", in, i, b.Order)
		}
		done[i] = true
	}
	if slices.Contains(done, false) {
		t.Errorf("%q: order %v leaves some out", in, b.Order)
	}
}

func TestBatchOrder(t *testing.T) {
	for in, want := range map[string][]int{
		`[[],[],[]]`:             {0, 1, 2},
		`[["1"],["2"],[]]`:       {2, 1, 0},
		`[["3"],[],["0"],[]]`:    {1, 3, 0, 2},
		`[[],["3"],["0"],["2"]]`: {0, 2, 3, 1},
	} {
		var depends [][]string
		if err := json.Unmarshal([]byte(in), &depends); err != nil {
			t.Fatal(err)
		}
		type item struct {
			ID        string   `json:"id"`
			Method    string   `json:"method"`
			URL       string   `json:"url"`
			DependsOn []string `json:"dependsOn"`
		}
		var items []item
		for i, d := range depends {
			items = append(items, item{string(rune('0' + i)), "GET", "/x", d})
		}
		text, err := json.Marshal(map[string]any{"requests": items})
		if err != nil {
			t.Fatal(err)
		}
		b, err := odata.DecodeBatch(text)
		if err != nil || !slices.Equal(b.Order, want) {
			t.Errorf("%s: %+v, %v, want %v", in, b, err, want)
		}
	}
}
