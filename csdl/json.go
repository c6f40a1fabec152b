package csdl

import (
	"encoding/json"
	"fmt"
)

// JSON is the document in CSDL JSON.
func (d *Document) JSON() ([]byte, error) {
	root, references := object{"$Version": "4.0"}, object{}
	for _, r := range d.References {
		references[r.URL+".json"] = object{"$Include": []object{{"$Namespace": r.Namespace}}}
	}
	root["$Reference"] = references
	for i := range d.Schemas {
		s := &d.Schemas[i]
		root[s.Namespace] = s.json()
		if s.Container != nil {
			root["$EntityContainer"] = s.Namespace + "." + s.Container.Name
		}
	}
	return json.MarshalIndent(root, "", "  ")
}

type object map[string]any

func (s *Schema) json() object {
	o, annotations := object{}, object{}
	if s.Alias != "" {
		o["$Alias"] = s.Alias
	}
	for _, t := range s.Enums {
		enum := object{"$Kind": "EnumType"}
		if t.Flags {
			enum["$IsFlags"] = true
		}
		for _, m := range t.Members {
			enum[m.Name] = m.Value
		}
		o[t.Name] = enum
	}
	for i := range s.Types {
		o[s.Types[i].Name] = s.Types[i].json()
	}
	for kind, list := range map[string][]Function{"Function": s.Functions, "Action": s.Actions} {
		for _, f := range list {
			overloads, _ := o[f.Name].([]object)
			o[f.Name] = append(overloads, f.json(kind))
		}
	}
	if s.Container != nil {
		container := object{"$Kind": "EntityContainer"}
		for _, one := range s.Container.Singletons {
			container[one.Name] = one.Type.json()
		}
		o[s.Container.Name] = container
	}
	for _, a := range s.Annotations {
		target := object{}
		for _, one := range a.Annotations {
			target["@"+one.Term] = jsonValue(one.Value)
		}
		annotations[a.Target] = target
	}
	if len(annotations) > 0 {
		o["$Annotations"] = annotations
	}
	return o
}

func (f *Function) json(kind string) object {
	var parameters []object
	for _, p := range f.Parameters {
		parameter := p.Type.json()
		parameter["$Name"] = p.Name
		parameters = append(parameters, parameter)
	}
	return object{"$Kind": kind, "$IsBound": true, "$Parameter": parameters, "$ReturnType": f.Result.json()}
}

func (t *Structured) json() object {
	o := object{"$Kind": "EntityType"}
	if t.Complex {
		o["$Kind"] = "ComplexType"
	}
	if t.Base != "" {
		o["$BaseType"] = t.Base
	}
	if t.Abstract {
		o["$Abstract"] = true
	}
	if t.Key != nil {
		o["$Key"] = t.Key
	}
	for _, p := range t.Properties {
		property := p.Type.json()
		if p.Precision > 0 {
			property["$Precision"] = p.Precision
		}
		o[p.Name] = property
	}
	for _, p := range t.Navigation {
		property := p.Type.json()
		property["$Kind"] = "NavigationProperty"
		if p.Contained {
			property["$ContainsTarget"] = true
		}
		o[p.Name] = property
	}
	return o
}

// json is the type's members; without $Nullable a value may not be null, and
// without $Type it is a string.
func (t Type) json() object {
	o := object{}
	if t.Name != "Edm.String" {
		o["$Type"] = t.Name
	}
	if t.Collection {
		o["$Collection"] = true
	} else if t.Nullable {
		o["$Nullable"] = true
	}
	return o
}

func jsonValue(value any) any {
	switch v := value.(type) {
	case bool, string, Path:
		return v
	case Member:
		return v.name()
	case []any:
		items := make([]any, len(v))
		for i := range v {
			items[i] = jsonValue(v[i])
		}
		return items
	case Record:
		o := object{}
		for _, f := range v {
			o[f.Name] = jsonValue(f.Value)
		}
		return o
	}
	panic(fmt.Sprintf("csdl: %T is no value of an annotation", value))
}
