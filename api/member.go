package api

import (
	"strconv"

	"certstate/csdl"
	"certstate/edm"
)

// property is what a client may know of a property of a resource that is no record.
type property struct {
	name     string
	typ      csdl.Type
	doc      string
	computed bool     // the register sets it
	secret   bool     // it is taken, and never told
	required bool     // who creates the resource gives it
	choices  []string // its values, if they are fewer than its type's
}

// member is a property with where its value is. Bodies are read and written by tables
// of members, and $metadata and the OpenAPI document are made of the same. T is what
// a resource is made of.
type member[T any] struct {
	property
	give func(*T) any // where what a client gives goes: a *string, *bool or *[]string
	tell func(*T) any // its value: of these, an int64 or nil
}

// told is a member that the register sets.
func told[T any](name string, typ csdl.Type, doc string, tell func(*T) any) member[T] {
	return member[T]{property: property{name: name, typ: typ, doc: doc, computed: true}, tell: tell}
}

// given is a member that a client may give, and is told again.
func given[T any](name string, typ csdl.Type, doc string, give func(*T) any) member[T] {
	return member[T]{property: property{name: name, typ: typ, doc: doc}, give: give, tell: func(v *T) any {
		switch from := give(v).(type) {
		case *string:
			if typ.Nullable {
				return textOrNull(*from)
			}
			return *from
		case *bool:
			return *from
		case *[]string:
			return append([]string{}, *from...) // never null
		}
		return nil
	}}
}

// secretly is a member that a client may give, and nobody is told.
func secretly[T any](name string, typ csdl.Type, doc string, give func(*T) any) member[T] {
	return member[T]{property: property{name: name, typ: typ, doc: doc, secret: true}, give: give}
}

// needed is a member without which nothing is created.
func needed[T any](m member[T]) member[T] {
	m.required = true
	return m
}

// one is a member that has one of some values.
func one[T any](m member[T], choices ...string) member[T] {
	m.choices = choices
	return m
}

// within are members of a part.
func within[T, P any](members []member[P], part func(*T) *P) []member[T] {
	list := make([]member[T], len(members))
	for i, m := range members {
		list[i] = member[T]{property: m.property, tell: func(v *T) any { return m.tell(part(v)) }}
	}
	return list
}

// targets are where the values of a body go; those that the register sets are passed
// over, so that what was answered may be sent.
func targets[T any](members []member[T], v *T) map[string]any {
	to := map[string]any{}
	for _, m := range members {
		if to[m.name] = nil; m.give != nil {
			to[m.name] = m.give(v)
		}
	}
	return to
}

// bodyOf is a resource as it is answered.
func bodyOf[T any](x *exchange, members []member[T], v *T) map[string]any {
	body := map[string]any{}
	for _, m := range members {
		if m.secret {
			continue
		}
		value := m.tell(v)
		if n, ok := value.(int64); ok && x.rep.IEEE754 { // OData JSON §3.2
			value = strconv.FormatInt(n, 10)
		}
		body[m.name] = value
	}
	return body
}

func properties[T any](members []member[T]) []property {
	list := make([]property, len(members))
	for i := range members {
		list[i] = members[i].property
	}
	return list
}

// The types of properties.
var (
	textType   = csdl.Type{Name: "Edm.String"}
	textsType  = csdl.Type{Name: "Edm.String", Collection: true, Nullable: true}
	flagType   = csdl.Type{Name: "Edm.Boolean"}
	numberType = csdl.Type{Name: "Edm.Int64"}
	timeType   = csdl.Type{Name: "Edm.DateTimeOffset"}
)

func nullable(t csdl.Type) csdl.Type {
	t.Nullable = true
	return t
}

func enumType(t *edm.EnumType) csdl.Type { return csdl.Type{Name: aliased(t.Name)} }
