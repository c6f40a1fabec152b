package edm

import (
	"fmt"
	"slices"
	"strings"
)

// EnumType describes an enumeration whose member values are 0, 1, 2, … in the
// order of Members (OData CSDL §10). It is not a set of flags.
type EnumType struct {
	Name    string // qualified: microsoft.graph.certificateRevocationStatus
	Members []string
}

// Parse finds a member by its exact name.
func (t *EnumType) Parse(name string) (int64, error) {
	if i := slices.Index(t.Members, name); i >= 0 {
		return int64(i), nil
	}
	if len(name) > 64 {
		name = name[:64] + "…"
	}
	return 0, fmt.Errorf("%q is not a member of %s: use one of %s", name, t.Name, strings.Join(t.Members, ", "))
}

// ParseJSON reads a member from a JSON scalar. Members travel as strings;
// numbers are refused, as Graph does.
func (t *EnumType) ParseJSON(s Scalar) (int64, error) {
	if s.Kind != '"' {
		return 0, wrongType("one of "+strings.Join(t.Members, ", "), s)
	}
	return t.Parse(s.Text)
}
