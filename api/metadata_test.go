package api_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	"certstate"
	"certstate/odata"
)

// tag is an XML element, whatever it is.
type tag struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Text     string     `xml:",chardata"`
	Children []tag      `xml:",any"`
}

func (e *tag) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (e *tag) walk(path string, visit func(path string, e *tag)) {
	name := e.attr("Name") + e.attr("Target") + e.attr("Term") + e.attr("Property") + e.attr("Namespace")
	path += "/" + e.XMLName.Local + ":" + aliasedName(name)
	visit(path, e)
	for i := range e.Children {
		e.Children[i].walk(path, visit)
	}
}

func aliasedName(s string) string { return strings.ReplaceAll(s, "microsoft.graph.", "graph.") }

// facts lists what a document says, one line for each element: its place and
// those attributes that give it its meaning. Descriptions aside, annotations and
// the precision of times are left out.
func facts(t *testing.T, document []byte) (list []string) {
	t.Helper()
	var root tag
	if err := xml.Unmarshal(document, &root); err != nil {
		t.Fatal(err)
	}
	root.walk("", func(path string, e *tag) {
		switch e.XMLName.Local {
		case "Property", "NavigationProperty", "Member", "PropertyRef", "EntityType", "EnumType", "Singleton":
			list = append(list, aliasedName(fmt.Sprint(path, " ", e.attr("Type"), " nullable=", e.attr("Nullable") != "false",
				" contains=", e.attr("ContainsTarget"), " base=", e.attr("BaseType"), " abstract=", e.attr("Abstract"), " value=", e.attr("Value"))))
		case "Annotation":
			if strings.HasSuffix(path, ".Description") && strings.Contains(path, "deviceManagement/") {
				list = append(list, path+" "+e.attr("String"))
			}
		}
	})
	return list
}

// The metadata says all that Microsoft's does, and beside that only what this
// register adds.
func TestMetadataIsGraphs(t *testing.T) {
	published, err := os.ReadFile("testdata/csdl/graph.xml")
	if err != nil {
		t.Fatal(err)
	}
	ours := facts(t, fetch(t, start(t), "/beta/$metadata"))
	theirs := facts(t, published)
	if len(theirs) < 20 {
		t.Fatalf("only %d facts are read", len(theirs))
	}
	for _, fact := range theirs {
		if !slices.Contains(ours, fact) {
			t.Errorf("missing: %s", fact)
		}
	}
	for _, fact := range ours {
		if slices.Contains(theirs, fact) || strings.Contains(fact, "/Schema:certstate/") || strings.Contains(fact, "/Singleton:certstate certstate.") {
			continue
		}
		name := regexp.MustCompile(`/EntityType:managedAllDeviceCertificateState/Property:(\w+) `).FindStringSubmatch(fact)
		if name == nil {
			t.Errorf("not Graph's: %s", fact)
		} else if i, ok := certstate.Lookup(name[1]); !ok || !certstate.Properties[i].Is(certstate.OnSelect) {
			t.Errorf("%s is not Graph's, and is returned without $select", name[1])
		}
	}
}

// The schema in JSON is the schema in XML: read back into one form, they are
// equal in every element, facet and annotation.
func TestMetadataIsOneSchema(t *testing.T) {
	h := start(t)
	var root tag
	if err := xml.Unmarshal(fetch(t, h, "/beta/$metadata"), &root); err != nil {
		t.Fatal(err)
	}
	var fromXML []string
	root.walk("", func(_ string, e *tag) {
		if e.XMLName.Local == "Schema" {
			fromXML = append(fromXML, xmlLines(e)...)
		}
	})
	var doc map[string]any
	if err := json.Unmarshal(fetch(t, h, "/beta/$metadata?$format=json"), &doc); err != nil {
		t.Fatal(err)
	}
	var fromJSON []string
	for name, schema := range doc {
		if name[0] != '$' {
			fromJSON = append(fromJSON, jsonLines(name, schema.(map[string]any))...)
		}
	}
	sort.Strings(fromXML)
	sort.Strings(fromJSON)
	if len(fromXML) < 100 {
		t.Fatalf("only %d lines", len(fromXML))
	}
	for i := range max(len(fromXML), len(fromJSON)) {
		if i >= len(fromXML) || i >= len(fromJSON) || fromXML[i] != fromJSON[i] {
			t.Fatalf("XML %q\nJSON %q", fromXML[min(i, len(fromXML)):], fromJSON[min(i, len(fromJSON)):])
		}
	}
}

// xmlLines is a schema, flat: one line for each facet, as jsonLines has them.
func xmlLines(schema *tag) (lines []string) {
	at := schema.attr("Namespace")
	for i := range schema.Children {
		e := &schema.Children[i]
		name := at + "/" + e.attr("Name")
		for j := range e.Children {
			c := &e.Children[j]
			switch c.XMLName.Local {
			case "Member":
				lines = append(lines, name+"/"+c.attr("Name")+"="+c.attr("Value"))
			case "Annotation":
				lines = append(lines, valueLines(at+"/"+e.attr("Target")+"@"+c.attr("Term"), c)...)
			case "Key":
				lines = append(lines, name+"/key="+c.Children[0].attr("Name"))
			default:
				element, collection := strings.CutPrefix(c.attr("Type"), "Collection(")
				lines = append(lines, fmt.Sprint(name, "/", c.XMLName.Local == "ReturnType", c.attr("Name"), "=", strings.TrimSuffix(element, ")"), collection,
					c.attr("ContainsTarget") == "true", !collection && c.XMLName.Local != "Singleton" && c.attr("Nullable") != "false", c.attr("Precision")))
			}
		}
		if e.XMLName.Local != "Annotations" {
			lines = append(lines, fmt.Sprint(name, "=", e.XMLName.Local, e.attr("BaseType"), e.attr("Abstract") == "true", e.attr("IsBound") == "true"))
		}
	}
	return lines
}

// valueLines is the value of an annotation, flat.
func valueLines(at string, e *tag) (lines []string) {
	for _, a := range e.Attrs {
		switch a.Name.Local {
		case "Bool", "String", "PropertyPath":
			lines = append(lines, at+"="+a.Value)
		case "EnumMember":
			lines = append(lines, at+"="+a.Value[strings.IndexByte(a.Value, '/')+1:])
		}
	}
	for i := range e.Children {
		c := &e.Children[i]
		switch c.XMLName.Local {
		case "Collection":
			lines = append(lines, fmt.Sprint(at, "#", len(c.Children)))
			for j := range c.Children {
				lines = append(lines, itemLines(fmt.Sprint(at, "[", j, "]"), &c.Children[j])...)
			}
		default:
			lines = append(lines, itemLines(at, c)...)
		}
	}
	return lines
}

func itemLines(at string, e *tag) (lines []string) {
	if e.XMLName.Local != "Record" {
		return []string{at + "=" + e.Text}
	}
	for i := range e.Children {
		lines = append(lines, valueLines(at+"."+e.Children[i].attr("Property"), &e.Children[i])...)
	}
	return lines
}

func jsonLines(at string, schema map[string]any) (lines []string) {
	typed := func(name, prefix string, m map[string]any) {
		kind, _ := m["$Type"].(string)
		if kind == "" {
			kind = "Edm.String"
		}
		precision := ""
		if m["$Precision"] != nil {
			precision = fmt.Sprint(m["$Precision"])
		}
		lines = append(lines, fmt.Sprint(name, "/", prefix, "=", kind, m["$Collection"] == true, m["$ContainsTarget"] == true, m["$Nullable"] == true, precision))
	}
	for name, member := range schema {
		at := at + "/" + name
		switch m := member.(type) {
		case []any: // overloads of a function
			for _, overload := range m {
				fn := overload.(map[string]any)
				for _, p := range fn["$Parameter"].([]any) {
					typed(at, fmt.Sprint(false, p.(map[string]any)["$Name"]), p.(map[string]any))
				}
				typed(at, "true", fn["$ReturnType"].(map[string]any))
				lines = append(lines, fmt.Sprint(at, "=", fn["$Kind"], false, fn["$IsBound"] == true))
			}
		case map[string]any:
			if name == "$Annotations" {
				for target, list := range m {
					for term, value := range list.(map[string]any) {
						lines = append(lines, jsonValueLines(strings.TrimSuffix(at, name)+target+term, value)...)
					}
				}
				continue
			}
			base, _ := m["$BaseType"].(string)
			lines = append(lines, fmt.Sprint(at, "=", m["$Kind"], base, m["$Abstract"] == true, false))
			if key, ok := m["$Key"].([]any); ok {
				lines = append(lines, fmt.Sprint(at, "/key=", key[0]))
			}
			for child, value := range m {
				switch v := value.(type) {
				case float64:
					lines = append(lines, fmt.Sprint(at, "/", child, "=", v))
				case map[string]any:
					typed(at, fmt.Sprint(false, child), v)
				}
			}
		}
	}
	return lines
}

func jsonValueLines(at string, value any) (lines []string) {
	switch v := value.(type) {
	case []any:
		lines = append(lines, fmt.Sprint(at, "#", len(v)))
		for i := range v {
			lines = append(lines, jsonValueLines(fmt.Sprint(at, "[", i, "]"), v[i])...)
		}
	case map[string]any:
		for name, member := range v {
			lines = append(lines, jsonValueLines(at+"."+name, member)...)
		}
	default:
		lines = append(lines, fmt.Sprint(at, "=", v))
	}
	return lines
}

// What the metadata says of the collection is what the collection does.
func TestCapabilitiesAreTrue(t *testing.T) {
	h := start(t)
	var doc struct {
		Graph struct {
			Annotations map[string]map[string]any `json:"$Annotations"`
		} `json:"microsoft.graph"`
	}
	if err := json.Unmarshal(fetch(t, h, "/beta/$metadata?$format=json"), &doc); err != nil {
		t.Fatal(err)
	}
	said := doc.Graph.Annotations["graph.deviceManagement/"+odata.Collection]
	capability := func(term, member string) any {
		value := said["@Org.OData.Capabilities.V1."+term]
		if m, ok := value.(map[string]any); ok {
			return m[member]
		}
		return value
	}
	set := "/beta/" + odata.CanonicalPath
	for _, c := range []struct{ term, member, query string }{
		{"FilterRestrictions", "Filterable", "$filter=id eq 'x'"},
		{"SortRestrictions", "Sortable", "$orderby=id"},
		{"SearchRestrictions", "Searchable", "$search=x"},
		{"CountRestrictions", "Countable", "$count=true"},
		{"SelectSupport", "Supported", "$select=id"},
		{"ExpandRestrictions", "Expandable", "$expand=*"},
		{"TopSupported", "", "$top=1"},
		{"SkipSupported", "", "$skip=1"},
		{"ComputeSupported", "", "$compute=1 as x"},
	} {
		status, body := ask(t, h, http.MethodGet, set+"?"+strings.ReplaceAll(c.query, " ", "%20"))
		if supported := status == http.StatusOK; capability(c.term, c.member) != supported {
			t.Errorf("%s says %v; %s gives %d %s", c.term, capability(c.term, c.member), c.query, status, body)
		}
	}
	for _, fn := range capability("FilterFunctions", "").([]any) {
		if _, body := ask(t, h, http.MethodGet, set+"?$filter="+fn.(string)+"()"); strings.Contains(body, "is not supported: there are") {
			t.Errorf("function %s: %s", fn, body)
		}
	}
	for _, name := range said["@Org.OData.Aggregation.V1.ApplySupported"].(map[string]any)["Transformations"].([]any) {
		if _, body := ask(t, h, http.MethodGet, set+"?$apply="+name.(string)+"()"); strings.Contains(body, "is not supported: there are") {
			t.Errorf("transformation %s: %s", name, body)
		}
	}
	status, _ := ask(t, h, http.MethodGet, set+"/delta")
	if served := status == http.StatusOK; capability("ChangeTracking", "Supported") != served {
		t.Errorf("ChangeTracking says %v; delta gives %d", capability("ChangeTracking", "Supported"), status)
	}
	_, body := ask(t, h, http.MethodPost, "/beta/$batch")
	if served := !strings.Contains(body, "Resource not found"); doc.Graph.Annotations["graph.GraphService"]["@Org.OData.Capabilities.V1.BatchSupported"] != served {
		t.Errorf("BatchSupported is not as $batch is: %s", body)
	}
}

// fetch gets what anyone may read.
func fetch(t *testing.T, h *harness, path string) []byte {
	t.Helper()
	res, err := http.Get(h.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(path, res.Status, err)
	}
	return body
}

// ask sends a request without a body, with the writer's token.
func ask(t *testing.T, h *harness, method, path string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, h.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.token("writer"))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}
