package csdl

import (
	"encoding/xml"
	"fmt"
	"strconv"
)

// XML is the document in CSDL XML. Its version is 4.0: nothing in it is newer.
func (d *Document) XML() ([]byte, error) {
	schemas := element("edmx:DataServices", nil)
	root := element("edmx:Edmx", attrs{"Version", "4.0", "xmlns:edmx", "http://docs.oasis-open.org/odata/ns/edmx"})
	for _, r := range d.References {
		root.add(element("edmx:Reference", attrs{"Uri", r.URL + ".xml"},
			element("edmx:Include", attrs{"Namespace", r.Namespace})))
	}
	for i := range d.Schemas {
		schemas.add(d.Schemas[i].xml())
	}
	b, err := xml.MarshalIndent(root.add(schemas), "", "  ")
	return append([]byte(xml.Header), b...), err
}

// node is an XML element.
type node struct {
	name     string
	attrs    attrs
	text     string
	children []*node
}

// attrs are names and values, in turns; an empty value stands for no attribute.
type attrs []string

func element(name string, a attrs, children ...*node) *node {
	return &node{name: name, attrs: a, children: children}
}

func (n *node) add(children ...*node) *node {
	n.children = append(n.children, children...)
	return n
}

// MarshalXML writes names as they stand, prefixes included.
func (n *node) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	start := xml.StartElement{Name: xml.Name{Local: n.name}}
	for i := 0; i < len(n.attrs); i += 2 {
		if n.attrs[i+1] != "" {
			start.Attr = append(start.Attr, xml.Attr{Name: xml.Name{Local: n.attrs[i]}, Value: n.attrs[i+1]})
		}
	}
	if n.children == nil {
		return e.EncodeElement(n.text, start)
	}
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	for _, child := range n.children {
		if err := e.Encode(child); err != nil {
			return err
		}
	}
	return e.EncodeToken(start.End())
}

func (s *Schema) xml() *node {
	n := element("Schema", attrs{"Namespace", s.Namespace, "Alias", s.Alias, "xmlns", "http://docs.oasis-open.org/odata/ns/edm"})
	for _, t := range s.Enums {
		enum := element("EnumType", attrs{"Name", t.Name})
		if t.Flags {
			enum = element("EnumType", attrs{"Name", t.Name, "IsFlags", "true"})
		}
		for _, m := range t.Members {
			enum.add(element("Member", attrs{"Name", m.Name, "Value", strconv.FormatInt(m.Value, 10)}))
		}
		n.add(enum)
	}
	for i := range s.Types {
		n.add(s.Types[i].xml())
	}
	for _, f := range s.Functions {
		n.add(f.xml("Function"))
	}
	for _, a := range s.Actions {
		n.add(a.xml("Action"))
	}
	if s.Container != nil {
		container := element("EntityContainer", attrs{"Name", s.Container.Name})
		for _, one := range s.Container.Singletons {
			container.add(element("Singleton", attrs{"Name", one.Name, "Type", one.Type.Name}))
		}
		n.add(container)
	}
	for _, a := range s.Annotations {
		target := element("Annotations", attrs{"Target", a.Target})
		for _, one := range a.Annotations {
			target.add(valued("Annotation", attrs{"Term", one.Term}, one.Value))
		}
		n.add(target)
	}
	return n
}

func (f *Function) xml(kind string) *node {
	n := element(kind, attrs{"Name", f.Name, "IsBound", "true"})
	for _, p := range f.Parameters {
		n.add(element("Parameter", append(attrs{"Name", p.Name}, p.Type.xml()...)))
	}
	return n.add(element("ReturnType", f.Result.xml()))
}

func (t *Structured) xml() *node {
	kind, abstract := "EntityType", ""
	if t.Complex {
		kind = "ComplexType"
	}
	if t.Abstract {
		abstract = "true"
	}
	n := element(kind, attrs{"Name", t.Name, "BaseType", t.Base, "Abstract", abstract})
	if t.Key != nil {
		key := element("Key", nil)
		for _, name := range t.Key {
			key.add(element("PropertyRef", attrs{"Name", name}))
		}
		n.add(key)
	}
	for _, p := range t.Properties {
		a := append(attrs{"Name", p.Name}, p.Type.xml()...)
		if p.Precision > 0 {
			a = append(a, "Precision", strconv.Itoa(p.Precision))
		}
		n.add(element("Property", a))
	}
	for _, p := range t.Navigation {
		a := append(attrs{"Name", p.Name}, p.Type.xml()...)
		if p.Contained {
			a = append(a, "ContainsTarget", "true")
		}
		n.add(element("NavigationProperty", a))
	}
	return n
}

// xml is the type's attributes; without Nullable a value may be null.
func (t Type) xml() attrs {
	a := attrs{"Type", t.Name}
	if t.Collection {
		a[1] = "Collection(" + t.Name + ")"
	}
	if !t.Nullable {
		a = append(a, "Nullable", "false")
	}
	return a
}

// valued is an element with an annotation's value: a constant as an attribute,
// the rest as a child (CSDL XML §14.3, §14.4).
func valued(name string, a attrs, value any) *node {
	if kind, text, ok := constant(value); ok && text != "" {
		return element(name, append(a, kind, text))
	}
	return element(name, a, expression(value))
}

// expression is a value as an element of its own, as in a collection.
func expression(value any) *node {
	if kind, text, ok := constant(value); ok {
		return &node{name: kind, text: text}
	}
	switch v := value.(type) {
	case []any:
		n := element("Collection", nil)
		for _, item := range v {
			n.add(expression(item))
		}
		return n
	case Record:
		n := element("Record", nil)
		for _, f := range v {
			n.add(valued("PropertyValue", attrs{"Property", f.Name}, f.Value))
		}
		return n
	}
	panic(fmt.Sprintf("csdl: %T is no value of an annotation", value))
}

func constant(value any) (kind, text string, ok bool) {
	switch v := value.(type) {
	case bool:
		return "Bool", strconv.FormatBool(v), true
	case string:
		return "String", v, true
	case Path:
		return "PropertyPath", string(v), true
	case Member:
		return "EnumMember", string(v), true
	}
	return "", "", false
}
