package api

import (
	"net/http"
	"path"
	"slices"
	"strings"

	"certstate"
	"certstate/csdl"
	"certstate/odata"
)

// The vocabularies of OASIS that the metadata uses.
const (
	coreV1         = "Org.OData.Core.V1"
	capabilitiesV1 = "Org.OData.Capabilities.V1"
	aggregationV1  = "Org.OData.Aggregation.V1"
	repeatV1       = "Org.OData.Repeatability.V1"
)

func vocabularies() (list []csdl.Reference) {
	for _, name := range []string{coreV1, capabilitiesV1, aggregationV1, repeatV1} {
		list = append(list, csdl.Reference{URL: "https://oasis-tcs.github.io/odata-vocabularies/vocabularies/" + name, Namespace: name})
	}
	return list
}

// described says of each property what it is, and of some that the register
// sets them, or tells nobody.
func described() (list []csdl.Annotated) {
	for i := range certstate.Properties {
		p := &certstate.Properties[i]
		owner := aliased(certstate.TypeName)
		if certstate.KeySet.Has(i) {
			owner = graphAlias + ".entity"
		}
		about := []csdl.Annotation{{Term: coreV1 + ".Description", Value: p.Doc}}
		if p.Is(certstate.Computed) {
			about = append(about, csdl.Annotation{Term: coreV1 + ".Computed", Value: true})
		}
		list = append(list, csdl.Annotated{Target: owner + "/" + p.Name, Annotations: about})
	}
	for i := range structures {
		for _, p := range structures[i].properties {
			if p.name != entityKey {
				list = append(list, csdl.Annotated{Target: structures[i].name + "/" + p.name, Annotations: p.annotations()})
			}
		}
	}
	return list
}

func (p *property) annotations() []csdl.Annotation {
	doc := p.doc
	if p.choices != nil {
		doc += " One of " + strings.Join(p.choices, ", ") + "."
	}
	about := []csdl.Annotation{{Term: coreV1 + ".Description", Value: doc}}
	if p.computed {
		about = append(about, csdl.Annotation{Term: coreV1 + ".Computed", Value: true})
	}
	if p.secret {
		about = append(about, csdl.Annotation{Term: coreV1 + ".Permissions", Value: csdl.Member(coreV1 + ".Permission/Write")})
	}
	return about
}

// serviceCapabilities are those of the whole service; repeats says whether
// requests may be repeated.
func serviceCapabilities(repeats bool) []csdl.Annotation {
	batches := served(batch, http.MethodPost) != nil
	return []csdl.Annotation{
		{Term: coreV1 + ".ODataVersions", Value: "4.0"},
		capability("SupportedFormats", formats()),
		capability("KeyAsSegmentSupported", true),
		capability("BatchSupported", batches),
		capability("BatchSupport", csdl.Record{
			{Name: "Supported", Value: batches},
			{Name: "ReferencesInRequestBodiesSupported", Value: false},
			{Name: "ReferencesAcrossChangeSetsSupported", Value: false},
			{Name: "EtagReferencesSupported", Value: false},
			{Name: "RequestDependencyConditionsSupported", Value: false},
			{Name: "SupportedFormats", Value: []any{"application/json"}},
		}),
		capability("AsynchronousRequestsSupported", false),
		capability("CrossJoinSupported", false),
		{Term: repeatV1 + ".Supported", Value: repeats},
	}
}

// formats are the media types of answers: of all that have records, and of the
// collection.
func formats() []any {
	list := []any{"application/json"}
	for _, form := range odata.TableForms {
		list = append(list, form.MediaType)
	}
	return list
}

// capabilities are those of what is contained. An option is supported if the
// collection's route takes it, an operation if there is a route for it.
func (n *contained) capabilities() []csdl.Annotation {
	var about []csdl.Annotation
	if n.doc != "" {
		about = append(about, csdl.Annotation{Term: coreV1 + ".Description", Value: n.doc})
	}
	if !n.typ.Collection {
		return about
	}
	takes, member := operations[http.MethodGet+" "+n.pattern].options.Has, n.pattern+"/{id}"
	read := served(member, http.MethodGet)
	about = append(about,
		capability("CountRestrictions", restriction("Countable", takes("$count"))),
		capability("FilterRestrictions", restriction("Filterable", takes("$filter"))),
		capability("SortRestrictions", restriction("Sortable", takes("$orderby"))),
		capability("SearchRestrictions", restriction("Searchable", takes("$search"))),
		capability("ExpandRestrictions", restriction("Expandable", takes("$expand"))),
		capability("SelectSupport", restriction("Supported", takes("$select"))),
		capability("ComputeSupported", takes("$compute")),
		capability("TopSupported", takes("$top")),
		capability("SkipSupported", takes("$skip")),
		capability("IndexableByKey", read != nil),
		capability("ReadRestrictions", append(permitted("Readable", served(n.pattern, http.MethodGet)),
			csdl.Field{Name: "ReadByKeyRestrictions", Value: permitted("Readable", read)})),
		capability("InsertRestrictions", permitted("Insertable", served(n.pattern, http.MethodPost))),
		capability("UpdateRestrictions", append(permitted("Updatable", served(member, http.MethodPatch)),
			csdl.Field{Name: "Upsertable", Value: false},
			csdl.Field{Name: "UpdateMethod", Value: csdl.Member(capabilitiesV1 + ".HttpMethod/" + http.MethodPatch)})),
		capability("DeleteRestrictions", permitted("Deletable", served(member, http.MethodDelete))),
	)
	if n.pattern == collection {
		about = append(about, ofRecords()...)
	}
	return about
}

// ofRecords are the capabilities that the records alone have.
func ofRecords() []csdl.Annotation {
	return []csdl.Annotation{
		// ETags need not be sent back; a client that does is safe.
		{Term: coreV1 + ".OptimisticConcurrency", Value: []any{}},
		capability("ChangeTracking", restriction("Supported", bound("delta") != nil)),
		capability("FilterFunctions", anyOf(odata.FunctionNames())),
		{Term: aggregationV1 + ".ApplySupported", Value: csdl.Record{
			{Name: "Transformations", Value: anyOf(odata.Transformations())},
			{Name: "AggregatableProperties", Value: aggregatable()},
		}},
	}
}

func capability(term string, value any) csdl.Annotation {
	return csdl.Annotation{Term: capabilitiesV1 + "." + term, Value: value}
}

func restriction(name string, holds bool) csdl.Record {
	return csdl.Record{{Name: name, Value: holds}}
}

// permitted says whether there is a route, and which permissions it asks for:
// each alone is enough, so each is a set of its own.
func permitted(name string, rt *route) csdl.Record {
	if rt == nil {
		return restriction(name, false)
	}
	var sets []any
	for _, p := range rt.permissions {
		sets = append(sets, csdl.Record{
			{Name: "SchemeName", Value: bearerScheme},
			{Name: "Scopes", Value: []any{csdl.Record{{Name: "Scope", Value: string(p)}}}},
		})
	}
	return append(restriction(name, true), csdl.Field{Name: "Permissions", Value: sets})
}

// aggregatable lists what each property can be aggregated with.
func aggregatable() (list []any) {
	for i := range certstate.Properties {
		var methods []odata.Method
		for _, m := range odata.Methods {
			if m.Takes(odata.PropertyType(i)) {
				methods = append(methods, m)
			}
		}
		list = append(list, csdl.Record{
			{Name: "Property", Value: csdl.Path(certstate.Properties[i].Name)},
			{Name: "SupportedAggregationMethods", Value: anyOf(methods)},
		})
	}
	return list
}

func anyOf[T ~string](names []T) []any {
	list := make([]any, len(names))
	for i := range names {
		list[i] = string(names[i])
	}
	return list
}

// served is the route of a pattern and method, or nil.
func served(pattern, method string) *route {
	i := slices.IndexFunc(routes, func(rt route) bool { return rt.pattern == pattern && rt.method == method })
	if i < 0 {
		return nil
	}
	return &routes[i]
}

// bound is the route of a function bound to the collection or a record, however
// its pattern spells it: /delta, /microsoft.graph.delta, /delta(). Nil if there
// is none.
func bound(function string) *route {
	i := slices.IndexFunc(routes, func(rt route) bool {
		name := strings.TrimSuffix(path.Base(rt.pattern), "()")
		return name[strings.LastIndexByte(name, '.')+1:] == function
	})
	if i < 0 {
		return nil
	}
	return &routes[i]
}
