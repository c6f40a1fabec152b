package api

import (
	"encoding/json"
	"net/http"
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
	return x.document(x.root()+"/$metadata", map[string]any{
		"value": []map[string]string{{"name": singleton, "kind": "Singleton", "url": singleton}},
	})
}

// singleton answers with deviceManagement, of which there is one in a tenant.
func (x *exchange) singleton() error {
	body := map[string]any{"id": x.tenant.ID}
	if x.rep.Level == odata.Full {
		body["@odata.type"] = "#microsoft.graph." + singleton
		body["@odata.id"] = x.root() + "/" + singleton
		body[odata.Collection+"@odata.navigationLink"] = x.root() + "/" + collection
	}
	return x.document(x.root()+"/$metadata#"+singleton, body)
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

func local(name string) string { return strings.TrimPrefix(name, graphNamespace+".") }

// schema is the model of the service, in the words of Graph's CSDL where it has
// them.
func schema(repeats bool) *csdl.Document {
	entity := csdl.Type{Name: aliased(certstate.TypeName)}
	entities := csdl.Type{Name: entity.Name, Collection: true, Nullable: true}
	graph := csdl.Schema{
		Namespace: graphNamespace, Alias: graphAlias,
		Enums: []csdl.Enum{enumeration(certstate.RevokeStatusType, local(certstate.RevokeStatusType.Name))},
		Types: []csdl.Structured{
			{Name: "entity", Abstract: true, Key: []string{certstate.Properties[0].Name}, Properties: structural(certstate.KeySet)},
			{Name: local(certstate.TypeName), Base: graphAlias + ".entity", Properties: structural(certstate.All &^ certstate.KeySet)},
			{Name: singleton, Base: graphAlias + ".entity", Navigation: []csdl.Navigation{{Name: odata.Collection, Type: entities, Contained: true}}},
		},
		Container: &csdl.Container{Name: "GraphService", Singletons: []csdl.Parameter{{Name: singleton, Type: csdl.Type{Name: graphAlias + "." + singleton}}}},
	}
	if bound("delta") != nil {
		graph.Functions = []csdl.Function{{Name: "delta", Parameters: []csdl.Parameter{{Name: "bindingParameter", Type: entities}}, Result: entities}}
	}
	var own []csdl.Schema
	if bound("history") != nil {
		own = []csdl.Schema{ownSchema(entity, entities)}
	}
	graph.Annotations = append(described(), csdl.Annotated{Target: graphAlias + ".GraphService", Annotations: serviceCapabilities(repeats)},
		csdl.Annotated{Target: graphAlias + "." + singleton + "/" + odata.Collection, Annotations: capabilities()})
	return &csdl.Document{References: vocabularies(), Schemas: append([]csdl.Schema{graph}, own...)}
}

// ownSchema is what Graph does not have: the history of a record, and registering
// certificates. The image of
// a record is a complex type with the record's properties, since a property
// cannot be an entity, and Power Query's older engine does not read a navigation
// property of a complex type.
func ownSchema(entity, entities csdl.Type) csdl.Schema {
	image := csdl.Type{Name: ownNamespace + ".image", Nullable: true}
	text := csdl.Type{Name: "Edm.String"}
	return csdl.Schema{
		Namespace: ownNamespace,
		Enums:     []csdl.Enum{enumeration(certstate.FindingsType, strings.TrimPrefix(certstate.FindingsType.Name, ownNamespace+"."))},
		Types: []csdl.Structured{
			{Name: "image", Complex: true, Properties: structural(certstate.All)},
			{Name: "change", Complex: true, Properties: []csdl.Property{
				{Name: "sequence", Type: csdl.Type{Name: "Edm.Int64"}},
				{Name: "kind", Type: text},
				{Name: "actor", Type: text},
				{Name: "reason", Type: csdl.Type{Name: text.Name, Nullable: true}},
				{Name: "at", Type: csdl.Type{Name: "Edm.DateTimeOffset"}, Precision: edm.Precision},
				{Name: "before", Type: image},
				{Name: "after", Type: image},
			}},
		},
		Functions: []csdl.Function{{Name: "history", Parameters: []csdl.Parameter{{Name: "bindingParameter", Type: entity}},
			Result: csdl.Type{Name: ownNamespace + ".change", Collection: true}}},
		Actions: []csdl.Function{{Name: "register", Parameters: []csdl.Parameter{{Name: "bindingParameter", Type: entities}, {Name: odata.StatesParameter, Type: entities}}, Result: entities}},
	}
}

func enumeration(t *edm.EnumType, name string) csdl.Enum {
	enum := csdl.Enum{Name: name, Flags: t.Flags}
	for i, member := range t.Members {
		enum.Members = append(enum.Members, csdl.EnumMember{Name: member, Value: t.ValueOf(i)})
	}
	return enum
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
