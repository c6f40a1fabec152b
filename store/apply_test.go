package store_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
)

// Random aggregations are what folding the records gives.
func TestAggregationsMeanTheSame(t *testing.T) {
	eachEngine(t, func(t *testing.T, dsn string) {
		seed := rand.Uint64()
		g := generator{rand.New(rand.NewPCG(seed, 2))}
		s, tn := open(t, dsn)
		states := fillRandom(t, g, s, tn, 120)
		now := edm.DateTimeOffset{Ticks: states[0].Created.Ticks}
		refused := 0
		for range *queries / 6 {
			text := g.aggregation()
			q, err := odata.ParseQuery("$apply="+strings.NewReplacer("%", "%25", "+", "%2B", "&", "%26").Replace(text), odata.ListOptions)
			if err != nil || q.Apply == nil || unsupported(dsn, text) {
				refused++
				continue
			}
			want := fold(states, q.Apply, now)
			got := groupsOf(t, s, tn, &q, now, 1+g.IntN(40))
			if !alike(got, want) {
				t.Fatalf("seed %d: %s\ngot  %v\nwant %v", seed, text, got, want)
			}
			n, err := s.Groups(t.Context(), tn, &q, store.Position{Now: now.Ticks})
			if err != nil || int(n) != len(want) {
				t.Fatalf("seed %d: %s\n%d groups, %v; want %d", seed, text, n, err, len(want))
			}
		}
		if refused > *queries/12 {
			t.Errorf("%d were refused", refused)
		}
	})
}

func (g generator) aggregation() string {
	text := ""
	if g.IntN(3) == 0 {
		text = "filter(" + g.condition(2) + ")/"
	}
	var items []string
	for i := range g.IntN(4) {
		method := pick(g, "$count", "countdistinct", "min", "max", "sum", "average")
		types := []odata.Type{odata.StringType, odata.IntType, odata.DateTimeType}
		switch method {
		case "$count":
			items = append(items, fmt.Sprint("$count as a", i))
			continue
		case "sum", "average":
			types = []odata.Type{odata.IntType}
		}
		items = append(items, fmt.Sprint(g.value(pick(g, types...), 1), " with ", method, " as a", i))
	}
	aggregate := "aggregate(" + strings.Join(items, ",") + ")"
	if len(items) > 0 && g.IntN(4) == 0 {
		return text + aggregate
	}
	groups := []string{certstate.Properties[g.IntN(len(certstate.Properties))].Name}
	if g.IntN(2) == 0 {
		groups = append(groups, pick(g, "year", "month", "date", "hour")+"("+g.property(odata.DateTimeType)+") as g")
	}
	text += "groupby((" + strings.Join(groups, ",") + ")"
	if len(items) > 0 {
		text += "," + aggregate
	}
	return text + ")"
}

// key tells groups apart.
func key(values []odata.Value) string {
	var b strings.Builder
	for _, v := range values {
		fmt.Fprintf(&b, "%v|%q|%d|", v.Null, v.S, v.N)
	}
	return b.String()
}

func groupsOf(t *testing.T, s *store.Store, tn store.Tenant, q *odata.Query, now edm.DateTimeOffset, size int) map[string][]odata.Value {
	t.Helper()
	out := map[string][]odata.Value{}
	page := store.Page{Next: store.Position{Now: now.Ticks}, More: true}
	for page.More {
		var err error
		page, err = s.Apply(t.Context(), tn, q, page.Next, size, func(values []odata.Value) error {
			k := key(values[:len(q.Apply.Groups)])
			if _, twice := out[k]; twice {
				t.Errorf("%s: group %s twice", q.String(), k)
			}
			out[k] = slices.Clone(values[len(q.Apply.Groups):])
			return nil
		})
		if err != nil {
			t.Fatalf("%s: %v", q.String(), err)
		}
	}
	return out
}

// fold is the aggregation by its definition.
func fold(states []certstate.State, a *odata.Apply, now edm.DateTimeOffset) map[string][]odata.Value {
	members := map[string][]*odata.Env{}
	if len(a.Groups) == 0 {
		members[""] = nil // all records are one group, even if there are none
	}
	for i := range states {
		env := &odata.Env{State: &states[i], Now: now}
		if a.Filter != nil {
			if v := a.Filter.Eval(env); v.Null || v.N == 0 {
				continue
			}
		}
		values := make([]odata.Value, len(a.Groups))
		for j, g := range a.Groups {
			if values[j] = g.X.Eval(env); values[j].Null {
				values[j] = odata.Value{Null: true}
			}
		}
		members[key(values)] = append(members[key(values)], env)
	}
	out := map[string][]odata.Value{}
	for k, envs := range members {
		out[k] = make([]odata.Value, len(a.Aggregates))
		for i := range a.Aggregates {
			out[k][i] = aggregate(&a.Aggregates[i], envs)
		}
	}
	return out
}

func aggregate(a *odata.Aggregate, envs []*odata.Env) odata.Value {
	out := odata.Value{Type: a.Type(), Null: true}
	if a.Method == odata.Count {
		return odata.Value{Type: odata.IntType, N: int64(len(envs))}
	}
	distinct := map[string]bool{}
	total, n := 0.0, 0
	for _, env := range envs {
		v := a.X.Eval(env)
		if v.Null {
			continue
		}
		v.Offset = 0
		n++
		distinct[key([]odata.Value{v})] = true
		total += float64(v.N)
		less := (&odata.Compare{Op: odata.Lt, L: &odata.Literal{Value: v}, R: &odata.Literal{Value: out}}).Eval(nil).N != 0
		switch {
		case out.Null, a.Method == odata.Min && less, a.Method == odata.Max && !less:
			if a.Method == odata.Min || a.Method == odata.Max {
				out = v
			}
		}
		if a.Method == odata.Sum {
			out = odata.Value{Type: odata.IntType, N: int64(total)}
		}
	}
	switch {
	case a.Method == odata.CountDistinct:
		return odata.Value{Type: odata.IntType, N: int64(len(distinct))}
	case a.Method == odata.Average && n > 0:
		return odata.Value{Type: odata.DoubleType, F: total / float64(n)}
	}
	return out
}

// alike compares with room for the rounding of averages.
func alike(got, want map[string][]odata.Value) bool {
	return maps.EqualFunc(got, want, func(g, w []odata.Value) bool {
		return slices.EqualFunc(g, w, func(a, b odata.Value) bool {
			if a.Type == odata.DoubleType && b.Type == odata.DoubleType && a.Null == b.Null {
				return math.Abs(a.F-b.F) <= 1e-9*math.Abs(b.F)
			}
			return a.Type == b.Type && a.Null == b.Null && a.S == b.S && a.N == b.N
		})
	})
}
