package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"certstate"
	"certstate/csdl"
	"certstate/edm"
	"certstate/odata"
)

// description is how the service describes itself. It is made when the server
// is: nothing in it depends on a request.
type description struct{ xml, json, openAPI []byte }

func describe(baseURL string, repeats bool) (d description, err error) {
	model := schema(repeats)
	if d.xml, err = model.XML(); err != nil {
		return d, err
	}
	if d.json, err = model.JSON(); err != nil {
		return d, err
	}
	d.openAPI, err = json.Marshal(openAPIDocument(baseURL))
	return d, err
}

// metadata answers with the schema. Its format is not negotiated by Accept:
// Power Query asks for JSON and reads XML.
func (x *exchange) metadata() error {
	if _, err := odata.ParseQuery(x.r.URL.RawQuery, odata.FormatOption); err != nil {
		return err
	}
	format, given := odata.Format(x.r.URL.RawQuery)
	switch strings.ToLower(format) {
	case "json", "application/json":
		return x.typed("application/json", x.s.describe.json)
	case "xml", "application/xml":
		return x.typed("application/xml", x.s.describe.xml)
	}
	if given {
		return odata.UnknownFormat(format, "xml, application/xml, json or application/json")
	}
	return x.typed("application/xml", x.s.describe.xml)
}

func (x *exchange) openAPI() error {
	if _, err := odata.ParseQuery(x.r.URL.RawQuery, odata.NoOptions); err != nil {
		return err
	}
	return x.typed("application/json", x.s.describe.openAPI)
}

// service answers with the service document (OData JSON Format §5). The
// collection is not in it: it is contained in the singleton, not a child of the
// entity container, and clients look the names up there.
func (x *exchange) service() error {
	var list []map[string]string
	for _, s := range atRoot() {
		list = append(list, map[string]string{"name": s.pattern, "kind": "Singleton", "url": s.pattern})
	}
	return x.document(x.root()+"/$metadata", map[string]any{"value": list})
}

// singleton answers with what a tenant has one of, such as deviceManagement.
func (x *exchange) singleton() error {
	s := singletons[slices.IndexFunc(singletons, func(s single) bool { return s.pattern == x.route.pattern })]
	body := map[string]any{entityKey: x.tenant.ID}
	if x.rep.Level == odata.Full {
		body["@odata.type"] = "#" + qualified(s.typ)
		body["@odata.id"] = x.root() + "/" + s.pattern
		for _, n := range navigation {
			if n.owner == s.typ {
				body[n.name+"@odata.navigationLink"] = x.root() + "/" + n.pattern
			}
		}
	}
	return x.document(x.root()+"/$metadata#"+s.context, body)
}

// document answers with a small JSON object.
func (x *exchange) document(context string, body map[string]any) error {
	if _, err := odata.ParseQuery(x.r.URL.RawQuery, odata.FormatOption); err != nil {
		return err
	}
	if x.rep.Level != odata.None {
		body["@odata.context"] = context
	}
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, b)
}

// The namespaces: Graph's, with its alias, and the one of what Graph does not have.
const (
	graphNamespace = "microsoft.graph"
	graphAlias     = "graph"
	ownNamespace   = "certstate"
)

// aliased is a qualified name as Graph's CSDL spells it. A schema's alias stands
// for its namespace throughout (CSDL §5.1).
func aliased(name string) string {
	if local, ok := strings.CutPrefix(name, graphNamespace+"."); ok {
		return graphAlias + "." + local
	}
	return name
}

// qualified is the reverse of aliased.
func qualified(name string) string {
	if local, ok := strings.CutPrefix(name, graphAlias+"."); ok {
		return graphNamespace + "." + local
	}
	return name
}

// local is a qualified name without its namespace or alias.
func local(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// isIn reports whether a qualified name is in a namespace.
func isIn(namespace, name string) bool {
	return strings.TrimSuffix(qualified(name), "."+local(name)) == namespace
}

// schema is the model of the service, in the words of Graph's CSDL where it has
// them.
func schema(repeats bool) *csdl.Document {
	entity := csdl.Type{Name: aliased(certstate.TypeName)}
	entities := many(entity.Name)
	graph := csdl.Schema{
		Namespace: graphNamespace, Alias: graphAlias,
		Enums: enums(graphNamespace),
		Types: append([]csdl.Structured{
			{Name: "entity", Abstract: true, Key: []string{entityKey}, Properties: structural(certstate.KeySet)},
			{Name: local(certstate.TypeName), Base: graphAlias + ".entity", Properties: structural(certstate.All &^ certstate.KeySet)},
		}, structuredIn(graphNamespace)...),
		Container: &csdl.Container{Name: "GraphService"},
	}
	for _, s := range atRoot() {
		graph.Container.Singletons = append(graph.Container.Singletons, csdl.Parameter{Name: s.pattern, Type: csdl.Type{Name: s.typ}})
	}
	if bound("delta") != nil {
		graph.Functions = []csdl.Function{{Name: "delta", Parameters: []csdl.Parameter{{Name: "bindingParameter", Type: entities}}, Result: entities}}
	}
	graph.Annotations = append(described(), csdl.Annotated{Target: graphAlias + ".GraphService", Annotations: serviceCapabilities(repeats)})
	for _, n := range navigation {
		if about := n.capabilities(); about != nil {
			graph.Annotations = append(graph.Annotations, csdl.Annotated{Target: n.owner + "/" + n.name, Annotations: about})
		}
	}
	return &csdl.Document{References: vocabularies(), Schemas: []csdl.Schema{graph, ownSchema(entity, entities)}}
}

// ownSchema is what Graph does not have: the history of a record, registering
// certificates, import jobs and live sources. The image of a record is a complex type
// with the record's properties, since a property cannot be an entity, and Power
// Query's older engine does not read a navigation property of a complex type.
func ownSchema(entity, entities csdl.Type) csdl.Schema {
	image := csdl.Type{Name: ownNamespace + ".image", Nullable: true}
	to := func(t csdl.Type) []csdl.Parameter { return []csdl.Parameter{{Name: "bindingParameter", Type: t}} }
	return csdl.Schema{
		Namespace: ownNamespace,
		Enums:     enums(ownNamespace),
		Types: append([]csdl.Structured{
			{Name: "image", Complex: true, Properties: structural(certstate.All)},
			{Name: "change", Complex: true, Properties: []csdl.Property{
				{Name: "sequence", Type: numberType},
				{Name: "kind", Type: textType},
				{Name: "actor", Type: textType},
				{Name: "reason", Type: nullable(textType)},
				{Name: "at", Type: timeType, Precision: edm.Precision},
				{Name: "before", Type: image},
				{Name: "after", Type: image},
			}},
		}, structuredIn(ownNamespace)...),
		Functions: []csdl.Function{
			{Name: "history", Parameters: to(entity), Result: csdl.Type{Name: ownNamespace + ".change", Collection: true}},
			{Name: "rejected", Parameters: to(csdl.Type{Name: importJobType}), Result: csdl.Type{Name: rejectType, Collection: true}},
		},
		Actions: []csdl.Function{{Name: "register", Parameters: append(to(entities), csdl.Parameter{Name: odata.StatesParameter, Type: entities}), Result: entities}},
	}
}

// structuredIn are the structures of a namespace, and the singletons that have but
// navigation.
func structuredIn(namespace string) (list []csdl.Structured) {
	for i := range structures {
		if isIn(namespace, structures[i].name) {
			list = append(list, structures[i].structured())
		}
	}
	return list
}

func (s *structure) structured() csdl.Structured {
	t := csdl.Structured{Name: local(s.name), Complex: s.key == "", Navigation: navigations(s.name)}
	switch s.key {
	case "":
	case entityKey:
		t.Base = graphAlias + ".entity"
	default:
		t.Key = []string{s.key}
	}
	for _, p := range s.properties {
		if p.name == entityKey && s.key == entityKey {
			continue // the base has it
		}
		property := csdl.Property{Name: p.name, Type: p.typ}
		if p.typ.Name == timeType.Name {
			property.Precision = edm.Precision
		}
		t.Properties = append(t.Properties, property)
	}
	return t
}

func enums(namespace string) (list []csdl.Enum) {
	for _, t := range enumerations {
		if !isIn(namespace, t.Name) {
			continue
		}
		enum := csdl.Enum{Name: local(t.Name), Flags: t.Flags}
		for i, member := range t.Members {
			enum.Members = append(enum.Members, csdl.EnumMember{Name: member, Value: t.ValueOf(i)})
		}
		list = append(list, enum)
	}
	return list
}

// structural lists the properties of a set.
func structural(set certstate.Set) (list []csdl.Property) {
	for i := range certstate.Properties {
		if !set.Has(i) {
			continue
		}
		p := &certstate.Properties[i]
		value := p.Field(&certstate.State{})
		property := csdl.Property{Name: p.Name, Type: csdl.Type{Name: aliased(value.TypeName()), Nullable: p.Is(certstate.Nullable)}}
		if _, isTime := value.(*edm.DateTimeOffset); isTime {
			property.Precision = edm.Precision
		}
		list = append(list, property)
	}
	return list
}
