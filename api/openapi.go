package api

import (
	_ "embed"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"certstate"
	"certstate/auth"
	"certstate/edm"
	"certstate/odata"
)

// operation is what the OpenAPI document says of a route that the table of
// routes does not know.
type operation struct {
	id, summary string
	options     odata.Options
	headers     []string // of the request
	body        string   // its schema, or a media type, or nothing
	status      int      // of a success
	answer      string   // a schema, or a media type if it has a slash, or nothing
}

// operations are by method and pattern; every route has one. Generators make
// methods of the names, so none is a keyword or a method of an HTTP client.
var operations = map[string]operation{
	"GET " + service:         {"getService", "What there is below the root.", odata.FormatOption, nil, "", 200, "object"},
	"GET " + metadata:        {"getMetadata", "The schema, in CSDL XML or, with $format=json, in CSDL JSON.", odata.FormatOption, nil, "", 200, "application/xml"},
	"GET " + openAPI:         {"getOpenAPI", "This document.", odata.NoOptions, nil, "", 200, "object"},
	"GET " + singleton:       {"getDeviceManagement", "The singleton that contains the records.", odata.FormatOption, nil, "", 200, "object"},
	"GET " + reports:         {"getReports", "What contains the jobs that export reports.", odata.FormatOption, nil, "", 200, "object"},
	"GET " + own:             {"getOwn", "What contains what Graph does not have: import jobs and live sources.", odata.FormatOption, nil, "", 200, "object"},
	"GET " + collection:      {"listStates", "A page of the records that the options ask for, or with $format=csv or ndjson all of them.", odata.ListOptions, []string{"Prefer"}, "", 200, "page"},
	"POST " + collection:     {"createState", "Create a record.", odata.WriteOptions, append([]string{"Prefer", reasonHeader}, repeatHeaders...), "record", 201, "record"},
	"GET " + count:           {"countStates", "The number of records, in digits.", odata.CountOptions, nil, "", 200, "text/plain"},
	"GET " + record:          {"getState", "One record.", odata.ReadOptions, []string{"If-None-Match"}, "", 200, "record"},
	"PATCH " + record:        {"updateState", "Change properties of a record.", odata.WriteOptions, append([]string{"If-Match", "Prefer", reasonHeader}, repeatHeaders...), "record", 200, "record"},
	"POST " + register:       {"registerStates", "Make each certificate on each device one record.", odata.WriteOptions, []string{reasonHeader}, "registration", 200, "page"},
	"GET " + delta:           {"getDelta", "What the records became since the round before, or all there are.", odata.DeltaOptions, []string{"Prefer"}, "", 200, "object"},
	"GET " + history:         {"getHistory", "Every change of a record.", odata.HistoryOptions, nil, "", 200, "object"},
	"GET " + exportJobs:      {"listExportJobs", "The jobs that export reports.", odata.FormatOption, nil, "", 200, "exportJobs"},
	"POST " + exportJobs:     {"createExportJob", "Have a report of the records exported, as they are now.", odata.FormatOption, nil, "exportJob", 201, "exportJob"},
	"GET " + exportJob:       {"getExportJob", "A job; once it is completed, with the URL of its file.", odata.FormatOption, nil, "", 200, "exportJob"},
	"DELETE " + exportJob:    {"deleteExportJob", "Delete a job; its URL leads nowhere then.", odata.NoOptions, nil, "", 204, ""},
	"GET " + exportFile:      {"getExportFile", "The report, a file in a zip archive. The job's url leads here.", odata.SignedURL, nil, "", 200, "application/zip"},
	"GET " + importJobs:      {"listImportJobs", "The jobs that bring files in.", odata.FormatOption, nil, "", 200, "importJobs"},
	"POST " + importJobs:     {"createImportJob", "Have a file brought in that is uploaded next.", odata.FormatOption, []string{reasonHeader}, "importJob", 201, "importJob"},
	"GET " + importJob:       {"getImportJob", "A job, with how far it is.", odata.FormatOption, nil, "", 200, "importJob"},
	"DELETE " + importJob:    {"deleteImportJob", "Delete a job, which ends it; records that it brought in stay.", odata.NoOptions, nil, "", 204, ""},
	"GET " + importRejected:  {"listRejected", "What a job left out, with place, reason and cure.", odata.RejectOptions, nil, "", 200, "rejects"},
	"GET " + importUpload:    {"getUploadSession", "Which part of the file is expected next. The job's uploadUrl leads here.", odata.SignedURL, nil, "", 200, "uploadSession"},
	"PUT " + importUpload:    {"upload", "The next part of the file, as Content-Range says; with the last one the job begins.", odata.SignedURL, []string{contentRange}, "application/octet-stream", 202, "uploadSession"},
	"DELETE " + importUpload: {"cancelUpload", "Delete the job.", odata.SignedURL, nil, "", 204, ""},
	"GET " + sources:         {"listSources", "The live sources and how they are.", odata.FormatOption, nil, "", 200, "sources"},
	"GET " + source:          {"getSource", "A live source and how it is.", odata.FormatOption, nil, "", 200, "source"},
	"GET " + gaps:            {"listGaps", "A page of the certificates that a source should have told of and did not.", odata.RejectOptions, []string{"Prefer"}, "", 200, "gaps"},
	"POST " + batch:          {"sendBatch", "Up to twenty requests in one.", odata.NoOptions, nil, "batch", 200, "batchAnswer"},
	"DELETE " + record:       {"deleteState", "Delete a record.", odata.NoOptions, append([]string{"If-Match", reasonHeader}, repeatHeaders...), "", 204, ""},
}

// example is the record of Graph's reference pages.
//
//go:embed example.json
var example []byte

const (
	bearerScheme = "bearer"
	keyParameter = "managedAllDeviceCertificateState-id" // as in Graph's own document
	jobParameter = "job-id"

	sourceParameter = "source-id"
)

type object = map[string]any

// openAPIDocument describes the service in OpenAPI 3.1.
func openAPIDocument(baseURL string) object {
	paths := object{}
	for i := range routes {
		rt := &routes[i]
		at := "/" + strings.ReplaceAll(rt.pattern, "{id}", "{"+rt.keyName()+"}")
		item, there := paths[at].(object)
		if !there {
			item = object{}
			paths[at] = item
		}
		item[strings.ToLower(rt.method)] = operations[rt.method+" "+rt.pattern].object(rt)
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title":       "Certstate",
			"version":     "beta",
			"summary":     "Certificates on managed devices, and how far their revocation has got.",
			"description": "Microsoft Graph's managedAllDeviceCertificateState, self-hosted.",
		},
		"servers": []object{{"url": baseURL + "/beta"}},
		"paths":   paths,
		"components": object{
			"schemas":         schemas(),
			"parameters":      parameters(),
			"responses":       object{"error": response("What is wrong, and where.", "application/json", reference("schemas", "error"))},
			"securitySchemes": object{bearerScheme: object{"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
		},
	}
}

// keyName is what the key in the route's path is called.
func (rt *route) keyName() string {
	switch {
	case strings.HasPrefix(rt.pattern, collection):
		return keyParameter
	case strings.HasPrefix(rt.pattern, sources):
		return sourceParameter
	}
	return jobParameter
}

// object is the operation as OpenAPI writes it.
func (op operation) object(rt *route) object {
	var list []object
	if strings.Contains(rt.pattern, "{id}") {
		list = append(list, reference("parameters", rt.keyName()))
	}
	for _, name := range append(op.options.Names(), op.headers...) {
		list = append(list, reference("parameters", name))
	}
	said := http.StatusText(op.status)
	success := object{"description": said}
	switch {
	case strings.Contains(op.answer, "/"):
		success = response(said, op.answer, object{"type": "string"})
	case op.answer == "object":
		success = response(said, "application/json", object{"type": "object"})
	case op.answer != "":
		success = response(said, "application/json", reference("schemas", op.answer))
	}
	if content, there := success["content"].(object); there && rt.tables() {
		for _, form := range odata.TableForms {
			content[form.MediaType] = object{"schema": object{"type": "string"}}
		}
	}
	o := object{
		"operationId": op.id,
		"summary":     op.summary,
		"parameters":  append([]object{}, list...),
		"security":    security(rt),
		"responses":   object{strconv.Itoa(op.status): success, "4XX": reference("responses", "error"), "5XX": reference("responses", "error")},
	}
	if strings.Contains(op.body, "/") {
		o["requestBody"] = object{"required": true, "content": object{op.body: object{"schema": object{"type": "string", "format": "binary"}}}}
	} else if op.body != "" {
		content := object{"schema": reference("schemas", op.body)}
		if op.body == "record" {
			content["example"] = exampleRequest()
		}
		o["requestBody"] = object{"required": true, "content": object{"application/json": content}}
	}
	return o
}

// exampleRequest is the example as the reference page sends it: without an id.
func exampleRequest() object {
	var o object
	if err := json.Unmarshal(example, &o); err != nil {
		panic(err) // it is part of the program
	}
	delete(o, certstate.Properties[0].Name)
	return o
}

// security lists the permissions of which any one is enough.
func security(rt *route) []object {
	list := []object{}
	for _, p := range rt.permissions {
		names := []string{}
		if p != auth.Authenticated {
			names = append(names, string(p))
		}
		list = append(list, object{bearerScheme: names})
	}
	return list
}

// reference is to a component. Its key has no $, which OpenAPI does not allow.
func reference(kind, name string) object {
	return object{"$ref": "#/components/" + kind + "/" + strings.TrimPrefix(name, "$")}
}

func response(description, mediaType string, schema object) object {
	return object{"description": description, "content": object{mediaType: object{"schema": schema}}}
}

// parameters are all there are, by name.
func parameters() object {
	special := map[string]object{
		"$skip":         {"type": "integer", "minimum": 0, "maximum": odata.MaxSkip},
		"$top":          {"type": "integer", "minimum": 1},
		"$count":        {"type": "boolean"},
		"Prefer":        {"type": "string", "examples": []string{"return=minimal", "odata.maxpagesize=100"}},
		requestIDHeader: {"type": "string", "minLength": 1, "maxLength": maxRequestID, "examples": []string{"112a3a3e-f94c-4f56-b49b-5aab3d97e5b7"}},
		firstSentHeader: {"type": "string", "examples": []string{"Tue, 26 Mar 2019 16:06:51 GMT"}},
		"$filter": {"type": "string", "examples": []string{
			"certificateRevokeStatus eq 'pending' and certificateExpirationDateTime lt 2027-01-01T00:00:00Z"}},
	}
	all := object{}
	for _, name := range []string{keyParameter, jobParameter, sourceParameter} {
		all[name] = object{"name": name, "in": "path", "required": true,
			"schema": object{"type": "string", "minLength": 1, "maxLength": certstate.MaxIDLength}}
	}
	add := func(in string, names []string) {
		for _, name := range names {
			schema, known := special[name]
			if !known {
				schema = object{"type": "string"}
			}
			all[strings.TrimPrefix(name, "$")] = object{"name": name, "in": in, "schema": schema}
		}
	}
	for _, op := range operations {
		add("query", op.options.Names())
		add("header", op.headers)
	}
	return all
}

// schemas are those of the bodies.
func schemas() object {
	properties := object{"@odata.type": object{"type": "string", "const": "#" + certstate.TypeName}}
	for i := range certstate.Properties {
		properties[certstate.Properties[i].Name] = propertySchema(&certstate.Properties[i])
	}
	text := object{"type": "string"}
	all := object{
		"record": object{"type": "object", "title": local(certstate.TypeName), "properties": properties, "examples": []json.RawMessage{example}},
		"page": object{"type": "object", "required": []string{"value"}, "properties": object{
			"@odata.context":  text,
			"@odata.count":    object{"type": "integer", "minimum": 0},
			"@odata.nextLink": object{"type": "string", "format": "uri"},
			"value":           object{"type": "array", "items": reference("schemas", "record")},
		}},
		"registration": object{"type": "object", "required": []string{odata.StatesParameter}, "properties": object{odata.StatesParameter: object{
			"type": "array", "minItems": 1, "maxItems": maxRegistered, "items": reference("schemas", "record")}}},
		"batch":       batchSchema("requests", []string{"id", "method", "url"}, object{"method": object{"enum": odata.BatchMethods}, "url": text, "dependsOn": object{"type": "array", "items": text}}),
		"batchAnswer": batchSchema("responses", []string{"id", "status"}, object{"status": object{"type": "integer"}}),
		enumSchema(certstate.RevokeStatusType.Name): object{"type": "string", "enum": certstate.RevokeStatusType.Members},
		enumSchema(certstate.FindingsType.Name):     object{"type": "string", "description": "One or more of these, separated by commas: " + strings.Join(certstate.FindingsType.Members, ", ") + "."},
		"error": object{"type": "object", "required": []string{"error"}, "properties": object{"error": object{
			"type": "object", "required": []string{"code", "message", "innerError"}, "properties": object{
				"code": text, "message": text, "target": text,
				"innerError": object{"type": "object", "properties": object{
					"date": text, "request-id": object{"type": "string", "format": "uuid"}, "client-request-id": text}},
			}}}},
	}
	for i := range structures {
		if s := &structures[i]; s.properties != nil {
			all[s.schema], all[s.schema+"s"] = s.object(), listOf(s.schema)
		}
	}
	return all
}

// enumSchema is what an enumeration is called there.
func enumSchema(name string) string { return strings.TrimPrefix(name, graphNamespace+".") }

// batchSchema is that of a batch's requests or of its responses.
func batchSchema(list string, required []string, properties object) object {
	properties["id"] = object{"type": "string", "minLength": 1}
	properties["headers"] = object{"type": "object", "additionalProperties": object{"type": "string"}}
	properties["body"] = object{} // of a response, also a string in base64
	return object{"type": "object", "required": []string{list}, "properties": object{list: object{
		"type": "array", "minItems": 1, "maxItems": odata.MaxBatch,
		"items": object{"type": "object", "required": required, "properties": properties}}}}
}

// propertySchema is a property in JSON Schema 2020-12.
func propertySchema(p *certstate.Property) object {
	o := object{}
	switch v := p.Field(&certstate.State{}).(type) {
	case *edm.String:
		o["type"], o["maxLength"] = "string", certstate.MaxStringLength
		if p.Name == certstate.Properties[0].Name {
			o["maxLength"] = certstate.MaxIDLength
		}
	case *edm.Int32:
		o["type"], o["format"] = "integer", "int32"
	case *edm.Binary:
		o["type"], o["contentEncoding"] = "string", "base64"
	case *edm.DateTimeOffset:
		o["type"], o["format"] = "string", "date-time"
	default: // an enumeration
		o = reference("schemas", enumSchema(v.TypeName()))
	}
	if p.Is(certstate.Nullable) {
		o["type"] = []any{o["type"], "null"}
	}
	o["description"] = p.Doc
	if p.Is(certstate.OnSelect) {
		o["description"] = p.Doc + " Returned on $select."
	}
	if p.Is(certstate.Computed) {
		o["readOnly"] = true
	}
	return o
}

// listOf is a collection, or a page of one.
func listOf(schema string) object {
	return object{"type": "object", "required": []string{"value"}, "properties": object{
		"@odata.context": object{"type": "string"}, "@odata.nextLink": object{"type": "string", "format": "uri"},
		"value": object{"type": "array", "items": reference("schemas", schema)}}}
}

// object is the structure in JSON Schema 2020-12.
func (s *structure) object() object {
	members, required := object{}, []string{}
	for i := range s.properties {
		p := &s.properties[i]
		if members[p.name] = p.object(); p.required {
			required = append(required, p.name)
		}
	}
	return object{"type": "object", "title": local(s.name), "required": required, "properties": members}
}

// formsOf are the types of properties in JSON Schema.
var formsOf = map[string]object{
	textType.Name:   {"type": "string"},
	flagType.Name:   {"type": "boolean"},
	numberType.Name: {"type": "integer", "format": "int64", "minimum": 0},
	timeType.Name:   {"type": "string", "format": "date-time"},
}

func (p *property) object() object {
	o := object{"type": "string"} // an enumeration
	for _, t := range enumerations {
		if aliased(t.Name) == p.typ.Name {
			o["enum"] = t.Members
		}
	}
	maps.Copy(o, formsOf[p.typ.Name])
	if p.choices != nil {
		o["enum"] = p.choices
	}
	if p.typ.Collection {
		o = object{"type": "array", "items": o}
	} else if p.typ.Nullable {
		o["type"] = []any{o["type"], "null"}
	}
	o["description"] = p.doc
	if p.computed {
		o["readOnly"] = true
	}
	if p.secret {
		o["writeOnly"] = true
	}
	return o
}
