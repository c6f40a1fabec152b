package certstate_test

import (
	"encoding/json"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"certstate"
	"certstate/edm"
)

// Each field of State but Version is bound by exactly one row of Properties,
// and every row is complete.
func TestPropertiesBindEveryField(t *testing.T) {
	var s certstate.State
	bound := map[any]string{}
	for i := range certstate.Properties {
		p := &certstate.Properties[i]
		if p.Name == "" || p.Column == "" || p.Doc == "" {
			t.Errorf("row %d is not complete: %+v", i, p)
		}
		if other, twice := bound[p.Field(&s)]; twice {
			t.Errorf("%s and %s bind the same field", other, p.Name)
		}
		bound[p.Field(&s)] = p.Name
		if j, ok := certstate.Lookup(p.Name); !ok || j != i {
			t.Errorf("%s is found in row %d", p.Name, j)
		}
	}
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "Version" && bound[v.Field(i).Addr().Interface().(edm.Value)] == "" {
			t.Errorf("no row binds State.%s", name)
		}
	}
	if certstate.Properties[0].Name != "id" || len(certstate.Properties) > 63 {
		t.Error("the key must be the first of at most 63 rows")
	}
}

// The default properties are those of the mission page, in its order, with the
// nullability of Microsoft's CSDL.
func TestDefaultsAreGraphs(t *testing.T) {
	want := strings.Fields(`id certificateRevokeStatus certificateRevokeStatusLastChangeDateTime managedDeviceDisplayName?
		userPrincipalName? certificateExpirationDateTime certificateIssuerName? certificateThumbprint? certificateSerialNumber?
		certificateSubjectName? certificateKeyUsages? certificateExtendedKeyUsages? certificateIssuanceDateTime`)
	var got []string
	for i := range certstate.Properties {
		p := &certstate.Properties[i]
		if p.Is(certstate.OnSelect) {
			continue
		}
		name := p.Name
		if p.Is(certstate.Nullable) {
			name += "?"
		}
		got = append(got, name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// A room imports only those to its left.
func TestImportDirections(t *testing.T) {
	may := map[string][]string{
		"certstate/edm":                  {},
		"certstate/csdl":                 {},
		"certstate":                      {"certstate/edm"},
		"certstate/odata":                {"certstate/edm", "certstate"},
		"certstate/certificate":          {"certstate/edm", "certstate", "certstate/certificate/der"},
		"certstate/certificate/der":      {},
		"certstate/store":                {"certstate/edm", "certstate", "certstate/odata", "certstate/certificate"},
		"certstate/store/storetest":      {},
		"certstate/store/storetest/load": {"certstate", "certstate/store"},
		"certstate/auth":                 {"certstate/edm", "certstate"},
		"certstate/auth/authtest":        {},
		"certstate/identity":             {},
		"certstate/faults":               {}, // it has only tests
		"certstate/ingest":               {"certstate/edm", "certstate", "certstate/store", "certstate/odata", "certstate/certificate", "certstate/certificate/der"},
		"certstate/graph":                {"certstate/edm", "certstate", "certstate/odata", "certstate/ingest"},
		"certstate/intake":               {"certstate/edm", "certstate", "certstate/odata", "certstate/store", "certstate/ingest"},
		"certstate/sources/dbtest":       {},
		"certstate/sources":              {"certstate/edm", "certstate", "certstate/certificate", "certstate/store", "certstate/ingest"},
		"certstate/api":                  {"certstate/edm", "certstate", "certstate/csdl", "certstate/odata", "certstate/certificate", "certstate/store", "certstate/auth", "certstate/ingest", "certstate/intake"},
	}
	only := map[string][]string{ // what only some rooms may import
		"database/sql": {"certstate/store", "certstate/bench", "certstate/sources", "certstate/sources/dbtest"}, // the bench measures against bare SQL; sources reads an authority's database
		"net/http":     {"certstate/api", "certstate/graph", "certstate/sources", "certstate/auth", "certstate/auth/authtest", "certstate/identity", "certstate/cmd/certstate", "certstate/bench"},
		"os":           {"certstate/store", "certstate/store/storetest", "certstate/ingest", "certstate/sources", "certstate/sources/dbtest", "certstate/cmd/certstate", "certstate/bench"},
	}
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	seen := 0
	for dec.More() {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		seen++
		allowed, room := may[p.ImportPath]
		for _, imp := range p.Imports {
			if ours := imp == "certstate" || strings.HasPrefix(imp, "certstate/"); ours && room && !slices.Contains(allowed, imp) {
				t.Errorf("%s imports %s", p.ImportPath, imp)
			}
			if list, limited := only[imp]; limited && !slices.Contains(list, p.ImportPath) {
				t.Errorf("%s imports %s", p.ImportPath, imp)
			}
			if imp == "certstate/api" && p.ImportPath != "certstate/cmd/certstate" {
				t.Errorf("%s imports %s", p.ImportPath, imp)
			}
		}
		if !room && p.ImportPath != "certstate/cmd/certstate" && p.ImportPath != "certstate/bench" {
			t.Errorf("%s is a room without a place in this test", p.ImportPath)
		}
	}
	if seen < len(may) {
		t.Errorf("only %d packages seen", seen)
	}
}
