package api_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// openAPI is the part of the document that the test reads.
type openAPI struct {
	Paths      map[string]map[string]operation
	Components struct {
		Parameters map[string]struct{ Name, In string }
	}
}

type operation struct {
	ID         string `json:"operationId"`
	Parameters []struct {
		Ref string `json:"$ref"`
	}
	Security  []map[string][]string
	Responses map[string]any
}

// The OpenAPI document says of each operation what the server does: which
// options it takes, and which tokens.
func TestOpenAPIIsTrue(t *testing.T) {
	h := start(t)
	var doc openAPI
	if err := json.Unmarshal(fetch(t, h, "/beta/openapi.json"), &doc); err != nil {
		t.Fatal(err)
	}
	takes := regexp.MustCompile(`This resource takes ([^"]*)\.`)
	seen := map[string]bool{}
	for path, item := range doc.Paths {
		for method, op := range item {
			name := strings.ToUpper(method) + " " + path
			if op.ID == "" || seen[op.ID] || len(op.Responses) < 3 {
				t.Errorf("%s is not described: a row of operations in openapi.go is missing or not its own", name)
				continue
			}
			seen[op.ID] = true
			var options []string
			for _, p := range op.Parameters {
				parameter, there := doc.Components.Parameters[strings.TrimPrefix(p.Ref, "#/components/parameters/")]
				if !there {
					t.Errorf("%s: no component %s", name, p.Ref)
				}
				if parameter.In == "query" {
					options = append(options, parameter.Name)
				}
			}
			url := "/beta" + strings.TrimSuffix(regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "x"), "/")
			_, body := ask(t, h, strings.ToUpper(method), url+"?nonsense=1")
			want := strings.Join(options, ", ")
			if want == "" {
				want = "no query options"
			}
			if got := takes.FindStringSubmatch(body); got == nil || got[1] != want {
				t.Errorf("%s: documented %s; %s", name, want, body)
			}
			res, err := http.Get(h.url + url)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if needs := res.StatusCode == http.StatusUnauthorized; method == "get" && needs != (len(op.Security) > 0) {
				t.Errorf("%s: security %v, without a token %s", name, op.Security, res.Status)
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %d operations", len(seen))
	}
}

// All that the document refers to is in it.
func TestOpenAPIResolves(t *testing.T) {
	var doc map[string]any
	if err := json.Unmarshal(fetch(t, start(t), "/beta/openapi.json"), &doc); err != nil {
		t.Fatal(err)
	}
	found := 0
	var walk func(value any)
	walk = func(value any) {
		switch v := value.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			for _, member := range v {
				walk(member)
			}
			to, isReference := v["$ref"].(string)
			if !isReference {
				return
			}
			at := any(doc)
			for step := range strings.SplitSeq(strings.TrimPrefix(to, "#/"), "/") {
				here, _ := at.(map[string]any)
				at = here[step]
			}
			if found++; at == nil {
				t.Errorf("%s is not there", to)
			}
		}
	}
	walk(doc)
	if found < 100 {
		t.Errorf("only %d references", found)
	}
}
