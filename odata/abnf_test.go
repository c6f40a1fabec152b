package odata

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"certstate"
	"certstate/edm"
)

// abnfCase is one of the OASIS committee's test cases of the OData ABNF, with
// our names in it.
type abnfCase struct {
	ID, Rule, Input, Semantic string
	Valid                     bool
}

// abnfExceptions are valid cases that we do not read, and invalid ones that we
// do, each with its reason.
var abnfExceptions = map[string]string{
	"core-310": "white space around an option's name is dropped, as ODataLib does",
	"core-311": "white space around an option's value is dropped, as ODataLib does",
	"core-131": "ids may hold anything in the key-as-segment form, so what follows a slash is another segment: refused by the routes",
	"core-163": "as core-131",
	"core-171": "named keys are looked at by the routes",
	"core-144": "an unknown segment, refused by the routes",
	"core-240": "an unknown segment, refused by the routes",
	"core-246": "an unknown segment, refused by the routes",
	"core-727": "only literals can stand in the list after in",
	"core-568": "# begins the fragment, which never reaches a server",
	"core-572": "; is an ordinary character in query strings of the WHATWG's URL standard",
}

// The committee's cases for a flat entity set: what is valid is read, or
// refused for another reason than its grammar; what is not is refused.
func TestABNF(t *testing.T) {
	file := filepath.Join("..", "..", "shared", "testdata", "odata-abnf-cases.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Skipf("the OASIS cases are not here: %v", err)
	}
	var set struct{ Cases []abnfCase }
	if err := json.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	judged := 0
	for _, c := range set.Cases {
		read := abnfReader(c.Rule)
		if read == nil {
			continue // headers and preferences: nothing in them is refused for its form
		}
		judged++
		err := read(c.Input)
		grammatical := err == nil || !strings.Contains(err.Error(), "Syntax error")
		switch {
		case abnfExceptions[c.ID] != "":
		case c.Valid && !grammatical:
			t.Errorf("%s %s: %s\nis valid, and refused: %v", c.ID, c.Rule, c.Input, err)
		case !c.Valid && err == nil:
			t.Errorf("%s %s: %s\nis invalid, and read", c.ID, c.Rule, c.Input)
		case !c.Valid && certstate.ErrorCode(err) != certstate.Invalid:
			t.Errorf("%s %s: %s\nis refused without a word for the client: %v", c.ID, c.Rule, c.Input, err)
		}
	}
	t.Logf("%d of %d cases judged, %d exceptions", judged, len(set.Cases), len(abnfExceptions))
	if judged < 300 {
		t.Errorf("only %d cases were judged", judged)
	}
}

// abnfReader is what reads a rule of the grammar, nil if nothing here does.
func abnfReader(rule string) func(string) error {
	switch rule {
	case "queryOptions", "filter", "orderby", "select", "systemQueryOption", "customQueryOption", "search", "compute":
		return func(in string) error { _, err := ParseQuery(in, ListOptions); return err }
	case "searchExpr":
		return func(in string) error {
			in, _ = url.PathUnescape(in)
			_, err := ParseSearch(in)
			return err
		}
	case "resourcePath", "odataRelativeUri", "entitySetName":
		return func(in string) error {
			path, query, _ := strings.Cut(in, "?")
			if _, err := ParsePath("/beta/deviceManagement/" + path); err != nil {
				return err
			}
			_, err := ParseQuery(query, ListOptions)
			return err
		}
	case "dateTimeOffsetValue":
		return func(in string) error {
			_, err := edm.ParseDateTimeOffset(in)
			return asInvalid(err)
		}
	case "enumValue":
		return func(in string) error { _, err := parseMember(EnumType, in); return asInvalid(err) }
	case "booleanValue", "int32Value", "dateValue", "header", "prefer", "preference", "maxpagesizePreference":
		return nil
	}
	return func(in string) error {
		in, err := url.PathUnescape(in)
		if err != nil {
			return asInvalid(err)
		}
		e, err := (&parser{option: "$filter", text: in}).whole()
		if err == nil && rule == "boolean" && e.Type() != BoolType {
			return asInvalid(errForm)
		}
		return err
	}
}

func asInvalid(err error) error {
	if err == nil {
		return nil
	}
	return certstate.Errorf(certstate.Invalid, "", "%s", err)
}
