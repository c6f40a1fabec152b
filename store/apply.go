package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"certstate"
	"certstate/edm"
	"certstate/odata"
)

// maxGroups bounds how many groups a client can page through.
const maxGroups = odata.MaxSkip

// Apply calls fn for a page of the groups of the query's $apply, from place
// skip of the order on and at most limit times: first the groups' columns, then
// the aggregates. The slice passed to fn is reused.
func (s *Store) Apply(ctx context.Context, t Tenant, q *odata.Query, at Position, limit int, fn func([]odata.Value) error) (p Page, err error) {
	if at.Skip+q.Skip > maxGroups {
		return p, certstate.Errorf(certstate.Invalid, "$apply", "There are more than %d groups: filter before grouping.", maxGroups)
	}
	ctx, end := s.elsewhere(ctx, t, nil)
	defer end()
	sel, err := s.newSelection(ctx, t, q, q.Apply.Filter, edm.DateTimeOffset{Ticks: at.Now}, at.AsOf)
	if err != nil {
		return p, err
	}
	ctx, done, err := s.watched(ctx, t, sel.found)
	if err != nil {
		return p, err
	}
	defer done()
	text := sel.grouping()
	if sel.err != nil {
		return p, sel.err
	}
	rows, err := sel.query(ctx, text+" LIMIT "+sel.bind(limit+1)+" OFFSET "+sel.bind(at.Skip+q.Skip))
	if err != nil {
		return p, tooSlow(ctx, err)
	}
	defer rows.Close()
	p.Next = at
	values := make([]odata.Value, len(q.Apply.Groups)+len(q.Apply.Aggregates))
	for n := 0; rows.Next(); n++ {
		if n == limit {
			p.More = true
			break
		}
		if err := scanGroup(rows, q.Apply, values); err != nil {
			return p, err
		}
		if err := fn(values); err != nil {
			return p, err
		}
		p.Next.Skip++
	}
	if err := rows.Err(); err != nil {
		return p, tooSlow(ctx, err)
	}
	return p, sel.kept(ctx)
}

// Groups counts the groups of the query's $apply.
func (s *Store) Groups(ctx context.Context, t Tenant, q *odata.Query, at Position) (n int64, err error) {
	ctx, end := s.elsewhere(ctx, t, nil)
	defer end()
	sel, err := s.newSelection(ctx, t, q, q.Apply.Filter, edm.DateTimeOffset{Ticks: at.Now}, at.AsOf)
	if err != nil {
		return 0, err
	}
	ctx, done, err := s.watched(ctx, t, sel.found)
	if err != nil {
		return 0, err
	}
	defer done()
	text := "SELECT count(*) FROM (" + sel.grouping() + ") AS groups"
	text, args := usedArguments(text, sel.args)
	n, err = sel.number(ctx, text, args)
	if err = errors.Join(err, sel.err); err != nil {
		return 0, tooSlow(ctx, err)
	}
	return n, sel.kept(ctx)
}

// grouping writes the statement of $apply up to its LIMIT. Every column is a
// pair: whether it is null, and the value.
func (sel *selection) grouping() string {
	a := sel.q.Apply
	var columns, groups, keys []string
	pair := func(v sqlValue) {
		null := "0"
		if v.null != "" {
			null = "(" + v.null + ")"
		}
		columns = append(columns, null, v.text)
	}
	for _, g := range a.Groups {
		v := sel.value(g.X)
		if p, ok := g.X.(*odata.Property); ok && v.null != "" {
			// The rank is in the property's index, if it has one.
			v.null = rankOf(p.Index) + " = 0"
			groups = append(groups, v.text, rankOf(p.Index))
		} else if groups = append(groups, v.text); v.null != "" {
			groups = append(groups, "("+v.null+")")
		}
		pair(v)
	}
	for i := range a.Aggregates {
		pair(sel.aggregate(&a.Aggregates[i]))
	}
	text := "SELECT " + strings.Join(columns, ", ") + " FROM " + sel.source + " WHERE " + sel.tenant + sel.cond
	if groups != nil {
		text += " GROUP BY " + strings.Join(groups, ", ")
	}
	// Columns are sorted by number: null first, then the value.
	key := func(i int, desc bool) {
		dir := [2]string{" DESC", ""}
		if desc {
			dir = [2]string{"", " DESC"}
		}
		keys = append(keys, strconv.Itoa(2*i+1)+dir[0], strconv.Itoa(2*i+2)+dir[1])
	}
	for _, o := range sel.q.Order {
		key(o.Key, o.Desc)
	}
	for i := range a.Groups {
		if !slices.ContainsFunc(sel.q.Order, func(o odata.Order) bool { return o.Key == i }) {
			key(i, false)
		}
	}
	if keys != nil {
		text += " ORDER BY " + strings.Join(keys, ", ")
	}
	return text
}

// aggregate writes one aggregate, of the values that are not null.
func (sel *selection) aggregate(a *odata.Aggregate) sqlValue {
	if a.Method == odata.Count {
		return sqlValue{text: "count(*)"}
	}
	v := sel.value(a.X)
	if v.null != "" {
		v.text = "CASE WHEN NOT (" + v.null + ") THEN " + v.text + " END"
	}
	if a.Method == odata.CountDistinct {
		return sqlValue{text: "count(DISTINCT " + v.text + ")"}
	}
	switch a.Method {
	case odata.Sum:
		v.text = sel.d.total(v.text, a.Type())
	case odata.Average:
		v.text = sel.d.average(v.text)
	default:
		v.text = string(a.Method) + "(" + v.text + ")"
	}
	return sqlValue{text: v.text, null: v.text + " IS NULL"}
}

// scanGroup reads a row of grouping. Times come without an offset: a group has
// records of several.
func scanGroup(rows *sql.Rows, a *odata.Apply, values []odata.Value) error {
	types := make([]odata.Type, 0, len(values))
	for _, g := range a.Groups {
		types = append(types, g.X.Type())
	}
	for i := range a.Aggregates {
		types = append(types, a.Aggregates[i].Type())
	}
	raw := make([]any, len(values))
	targets := make([]any, 0, 2*len(values))
	nulls := make([]bool, len(values))
	for i := range raw {
		targets = append(targets, &nulls[i], &raw[i])
	}
	if err := rows.Scan(targets...); err != nil {
		return err
	}
	for i, t := range types {
		values[i] = odata.Value{Type: t, Null: nulls[i] || raw[i] == nil}
		if values[i].Null {
			continue
		}
		switch v := raw[i].(type) {
		case int64:
			values[i].N, values[i].F = v, float64(v)
		case float64:
			values[i].F = v
		case string:
			values[i].S = v
		case []byte:
			values[i].S = string(v)
		default:
			return fmt.Errorf("column %d of a group holds %T", i, v)
		}
	}
	return nil
}
