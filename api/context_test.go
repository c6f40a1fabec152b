package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"certstate/auth/authtest"
	"certstate/odata"
)

// model is the metadata in CSDL JSON, by namespaces and by their aliases.
type model map[string]map[string]any

func readModel(t *testing.T, h *harness) model {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(fetch(t, h, "/beta/$metadata?$format=json"), &doc); err != nil {
		t.Fatal(err)
	}
	m := model{}
	for namespace, content := range doc {
		if schema, ok := content.(map[string]any); ok && namespace[0] != '$' {
			m[namespace] = schema
			if alias, ok := schema["$Alias"].(string); ok {
				m[alias] = schema
			}
		}
	}
	return m
}

// find is a type by its qualified name, nil if there is none.
func (m model) find(name string) map[string]any {
	dot := strings.LastIndexByte(name, '.')
	found, _ := m[name[:max(dot, 0)]][name[dot+1:]].(map[string]any)
	return found
}

// members are a type's properties, of one kind or both, its base's included.
func (m model) members(typ map[string]any, navigation bool) map[string]map[string]any {
	all := map[string]map[string]any{}
	if base, ok := typ["$BaseType"].(string); ok {
		all = m.members(m.find(base), navigation)
	}
	for name, member := range typ {
		if p, ok := member.(map[string]any); ok && name[0] != '$' && (p["$Kind"] == "NavigationProperty" || typ["$Kind"] == "EntityContainer") == navigation {
			all[name] = p
		}
	}
	return all
}

// described finds the type that the fragment of a context URL says an answer has
// (OData Protocol §10), or says what is not in the metadata.
func (m model) described(fragment string) (typ map[string]any, fault string) {
	if name, ok := strings.CutPrefix(fragment, "Collection("); ok {
		fragment = strings.TrimSuffix(name, ")")
	}
	fragment = strings.TrimSuffix(regexp.MustCompile(`\('[^']*'\)`).ReplaceAllString(fragment, ""), "/$entity")
	if !strings.Contains(fragment, "/") {
		if typ = m.find(fragment); typ != nil {
			return typ, ""
		}
	}
	typ = m.find("graph.GraphService")
	for step := range strings.SplitSeq(fragment, "/") {
		next := m.members(typ, true)[step]
		if next == nil {
			return nil, step + " is not in the metadata"
		}
		if typ = m.find(fmt.Sprint(next["$Type"])); typ == nil {
			return nil, fmt.Sprint("there is no type ", next["$Type"])
		}
	}
	return typ, ""
}

// isOf says what is wrong with a value of a property, or nothing.
func (m model) isOf(p map[string]any, value any) string {
	if p["$Collection"] == true {
		if list, ok := value.([]any); ok {
			for _, item := range list {
				if fault := m.isOf(map[string]any{"$Type": p["$Type"]}, item); fault != "" {
					return fault
				}
			}
			return ""
		}
		return fmt.Sprint(value, " is no collection")
	}
	if value == nil {
		if p["$Nullable"] == true {
			return ""
		}
		return "null"
	}
	text, isText := value.(string)
	kind, _ := p["$Type"].(string)
	good := false
	switch kind {
	case "", "Edm.String":
		good = isText
	case "Edm.Boolean":
		_, good = value.(bool)
	case "Edm.Int64", "Edm.Int32":
		_, good = value.(float64)
	case "Edm.DateTimeOffset":
		_, err := time.Parse(time.RFC3339, text)
		good = err == nil
	default:
		enum := m.find(kind)
		good = enum["$Kind"] == "EnumType" && enum[text] != nil
	}
	if !good {
		return fmt.Sprintf("%#v is no %s", value, kind)
	}
	return ""
}

// What is answered of resources that are no records is what its context says, which the
// metadata describes: every property of the type is there, and nothing else.
func TestContextsAreDescribed(t *testing.T) {
	h := start(t)
	works(t, h)
	m := readModel(t, h)
	gapsIn(t, h, authtest.Tenant, 2)
	check := func(method, path, body string) map[string]any {
		t.Helper()
		status, answer := askJSON(t, h, "writer", method, path, body)
		context, fragment, _ := strings.Cut(fmt.Sprint(answer["@odata.context"]), "#")
		if status >= 300 || context != h.url+"/beta/$metadata" {
			t.Fatal(method, path, status, answer)
		}
		typ, fault := m.described(fragment)
		if fault != "" {
			t.Fatalf("%s: %s: %s", path, fragment, fault)
		}
		items, isList := answer["value"].([]any)
		if !isList {
			items = []any{answer}
		}
		if len(items) == 0 {
			t.Errorf("%s is empty: nothing was looked at", path)
		}
		for _, item := range items {
			m.check(t, path, typ, item.(map[string]any))
		}
		return answer
	}
	job := check(http.MethodPost, exportJobsPath, `{"reportName":"AllDeviceCertificates"}`)
	check(http.MethodGet, exportJobsPath+"/"+job["id"].(string), "")
	check(http.MethodGet, exportJobsPath, "")
	for _, file := range []string{"DeviceName,ValidTo\nD,never\n", "DeviceName,Nonsense\nD,x\n"} {
		job = check(http.MethodPost, importJobsPath, `{}`)
		check(http.MethodGet, job["uploadUrl"].(string), "")
		putRange(t, job["uploadUrl"].(string), strings.NewReader(file), 0, len(file)-1, len(file))
		ended(t, h, job)
		check(http.MethodGet, "/beta/certstate/importJobs/"+job["id"].(string), "")
		if strings.Contains(file, "never") {
			check(http.MethodGet, importJobsPath+"/"+job["id"].(string)+"/rejected", "")
		}
	}
	for _, path := range []string{importJobsPath, sourcesPath, sourcesPath + "/lab", sourcesPath + "/lab/gaps", "/beta/deviceManagement", "/beta/deviceManagement/reports", "/beta/certstate"} {
		check(http.MethodGet, path, "")
	}
	for _, root := range get(t, h, "/beta")["value"].([]any) {
		check(http.MethodGet, "/beta/"+root.(map[string]any)["url"].(string), "")
	}
}

func (m model) check(t *testing.T, path string, typ, item map[string]any) {
	t.Helper()
	known := m.members(typ, false)
	for name, value := range item {
		if p := known[name]; p != nil {
			if fault := m.isOf(p, value); fault != "" {
				t.Errorf("%s: %s: %s", path, name, fault)
			}
		} else if !strings.HasPrefix(name, "@") {
			t.Errorf("%s: %s is in no metadata", path, name)
		}
	}
	for name := range known {
		if _, there := item[name]; !there && name != "password" {
			t.Errorf("%s: %s is in the metadata, and not in the answer", path, name)
		}
	}
}

// The capabilities of what is contained are those of its routes.
func TestContainedCapabilities(t *testing.T) {
	h := start(t)
	m := readModel(t, h)
	said := m["graph"]["$Annotations"].(map[string]any)
	for target, c := range map[string]struct{ path, takes string }{
		"graph.deviceManagement/" + odata.Collection: {"/beta/" + odata.CanonicalPath, "POST PATCH DELETE"},
		"graph.deviceManagementReports/exportJobs":   {exportJobsPath, "POST DELETE"},
		"certstate.service/importJobs":               {"/beta/certstate/importJobs", "POST DELETE"},
		"certstate.service/sources":                  {sourcesPath, ""},
		"certstate.source/gaps":                      {sourcesPath + "/x/gaps", ""},
	} {
		about := said[target].(map[string]any)
		for _, r := range []struct{ method, term, member, at string }{
			{http.MethodPost, "InsertRestrictions", "Insertable", ""}, {http.MethodPatch, "UpdateRestrictions", "Updatable", "/x"}, {http.MethodDelete, "DeleteRestrictions", "Deletable", "/x"},
		} {
			holds := about["@Org.OData.Capabilities.V1."+r.term].(map[string]any)[r.member]
			status, answer := askJSON(t, h, "writer", r.method, c.path+r.at, "")
			text := fmt.Sprint(answer)
			served := status != http.StatusMethodNotAllowed && !strings.Contains(text, "Resource not found for the segment")
			if holds != served || served != slices.Contains(strings.Fields(c.takes), r.method) {
				t.Errorf("%s says %s %v; %s gives %d %s", target, r.member, holds, r.method, status, text)
			}
		}
		filterable := about["@Org.OData.Capabilities.V1.FilterRestrictions"].(map[string]any)["Filterable"]
		_, answer := askJSON(t, h, "writer", http.MethodGet, c.path+"?$filter=true", "")
		if refused := strings.Contains(fmt.Sprint(answer), "This resource takes"); filterable == refused {
			t.Errorf("%s says Filterable %v: %v", target, filterable, answer)
		}
	}
}
