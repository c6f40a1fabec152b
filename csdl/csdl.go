// Package csdl writes an OData schema in the Common Schema Definition Language
// 4.01: one tree, in XML and in JSON. It has what this service describes itself
// with, and no more: old readers stumble over what they have not seen.
package csdl

import "strings"

// Document is a whole schema document.
type Document struct {
	References []Reference
	Schemas    []Schema
}

// Reference includes a vocabulary (CSDL §4).
type Reference struct {
	URL       string // without .xml or .json
	Namespace string
}

// Schema is a namespace with its elements.
type Schema struct {
	Namespace   string
	Alias       string // "" for none
	Enums       []Enum
	Types       []Structured
	Functions   []Function
	Actions     []Function
	Container   *Container
	Annotations []Annotated
}

// Enum is an enumeration type (CSDL §10).
type Enum struct {
	Name    string // without the namespace
	Flags   bool   // its values can be added up
	Members []EnumMember
}

// EnumMember is a member of an enumeration type.
type EnumMember struct {
	Name  string
	Value int64
}

// Structured is an entity type or, if Complex, a complex type (CSDL §6, §9).
type Structured struct {
	Name       string
	Complex    bool
	Base       string
	Abstract   bool
	Key        []string
	Properties []Property
	Navigation []Navigation
}

// Property is a structural property (CSDL §7).
type Property struct {
	Name      string
	Type      Type
	Precision int // digits after the second, 0 unless the type is a time
}

// Type is a type where it is used. Collections of entities have no nullability:
// they are marked Nullable, which is then written nowhere.
type Type struct {
	Name       string
	Collection bool
	Nullable   bool
}

// Navigation is a navigation property (CSDL §8).
type Navigation struct {
	Name      string
	Type      Type
	Contained bool
}

// Function is a bound function or action; its first parameter is what it is
// bound to (CSDL §12).
type Function struct {
	Name       string
	Parameters []Parameter
	Result     Type
}

// Parameter is a parameter of a function.
type Parameter struct {
	Name string
	Type Type
}

// Container is the entity container: a service with singletons (CSDL §13).
type Container struct {
	Name       string
	Singletons []Parameter
}

// Annotated is an element of the model, by its target path, and what is said
// of it (CSDL §14).
type Annotated struct {
	Target      string
	Annotations []Annotation
}

// Annotation applies a term. Its value is a bool, a string, a [Path], a
// [Member], a []any or a [Record] of such values.
type Annotation struct {
	Term  string
	Value any
}

// Path is a path to a property.
type Path string

// Member is a member of an enumeration: the qualified type, a slash, the name.
type Member string

func (m Member) name() string {
	_, name, _ := strings.Cut(string(m), "/")
	return name
}

// Record is a structured value.
type Record []Field

// Field is a property of a record.
type Field struct {
	Name  string
	Value any
}
