package odata

import (
	"slices"
	"strings"
)

// Apply is a checked $apply (OData Data Aggregation 4.0 §3): the records that
// Filter holds for, grouped by Groups, each group with its Aggregates. Without
// groups all records are one.
type Apply struct {
	Filter     Expr // nil: all records
	Groups     []Column
	Aggregates []Aggregate
}

// Column is a value with the name it has in the result.
type Column struct {
	Name string
	X    Expr
}

// Aggregate is an aggregated value.
type Aggregate struct {
	Name   string
	Method Method
	X      Expr // nil for Count
}

// Method is how an aggregate is made of the values of a group, nulls left out.
type Method string

const (
	Count         Method = "$count" // of records
	CountDistinct Method = "countdistinct"
	Min           Method = "min"
	Max           Method = "max"
	Sum           Method = "sum"
	Average       Method = "average"
)

// Methods is the list of aggregation methods that take a value.
var Methods = []Method{CountDistinct, Min, Max, Sum, Average}

// Takes reports whether the method makes sense of values of a type.
func (m Method) Takes(t Type) bool {
	switch m {
	case CountDistinct:
		return t != BinaryType
	case Min, Max:
		return t != BoolType && enums[t] == nil && t != BinaryType && t != NullType
	}
	return t.numeric()
}

// Type is the type of the aggregated value.
func (a *Aggregate) Type() Type {
	switch a.Method {
	case Count, CountDistinct:
		return IntType
	case Average:
		return DoubleType
	}
	return a.X.Type()
}

// column is the place of a name among the result's columns, groups first, or -1.
func (a *Apply) column(name string) int {
	for i := range a.Groups {
		if a.Groups[i].Name == name {
			return i
		}
	}
	i := slices.IndexFunc(a.Aggregates, func(g Aggregate) bool { return g.Name == name })
	if i >= 0 {
		i += len(a.Groups)
	}
	return i
}

func (a *Apply) columnName(i int) string {
	if i < len(a.Groups) {
		return a.Groups[i].Name
	}
	return a.Aggregates[i-len(a.Groups)].Name
}

func (a *Apply) columnNames() (names []string) {
	for i := range len(a.Groups) + len(a.Aggregates) {
		names = append(names, a.columnName(i))
	}
	return names
}

// String is the canonical text of $apply.
func (a *Apply) String() string {
	var steps, groups, aggregates, computes []string
	if a.Filter != nil {
		steps = append(steps, "filter("+a.Filter.String()+")")
	}
	for _, g := range a.Groups {
		if property, ok := g.X.(*Property); ok {
			groups = append(groups, property.String())
			continue
		}
		groups = append(groups, g.Name)
		computes = append(computes, g.X.String()+" as "+g.Name)
	}
	if computes != nil {
		steps = append(steps, "compute("+strings.Join(computes, ",")+")")
	}
	for _, g := range a.Aggregates {
		if g.Method == Count {
			aggregates = append(aggregates, "$count as "+g.Name)
			continue
		}
		aggregates = append(aggregates, g.X.String()+" with "+string(g.Method)+" as "+g.Name)
	}
	last := "aggregate(" + strings.Join(aggregates, ",") + ")"
	switch {
	case groups != nil && aggregates != nil:
		last = "groupby((" + strings.Join(groups, ",") + ")," + last + ")"
	case groups != nil:
		last = "groupby((" + strings.Join(groups, ",") + "))"
	case aggregates == nil:
		return strings.Join(append(steps, "identity"), "/")
	}
	return strings.Join(append(steps, last), "/")
}
