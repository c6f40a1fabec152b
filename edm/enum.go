package edm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// EnumType describes an enumeration (OData CSDL §10). The values of its members
// are 0, 1, 2, 3, … in the order of Members; of Flags 0, 1, 2, 4, …, which can be
// added up.
type EnumType struct {
	Name    string // qualified: microsoft.graph.certificateRevocationStatus
	Members []string
	Flags   bool
}

// ValueOf is the value of a member by its place in Members.
func (t *EnumType) ValueOf(member int) int64 {
	if t.Flags {
		return 1 << member >> 1
	}
	return int64(member)
}

// Format writes a value: its member, or its flags with commas between.
func (t *EnumType) Format(n int64) string {
	if !t.Flags {
		return t.Members[n]
	}
	var set []string
	for i := 1; i < len(t.Members); i++ {
		if n&t.ValueOf(i) != 0 {
			set = append(set, t.Members[i])
		}
	}
	if set == nil {
		return t.Members[0]
	}
	return strings.Join(set, ",")
}

// Parse reads what Format writes, and numbers, as OData's URLs may have them
// (OData ABNF enumValue).
func (t *EnumType) Parse(text string) (n int64, err error) {
	names := []string{text}
	if t.Flags {
		names = strings.Split(text, ",")
	}
	for _, name := range names {
		name = strings.TrimSpace(name)
		if number, err := strconv.ParseInt(name, 10, 64); err == nil && number >= 0 && number < t.bound() {
			n |= number
			continue
		}
		i := slices.Index(t.Members, name)
		if i < 0 {
			return 0, fmt.Errorf("%q is not a member of %s: use one of %s", clip(name), t.Name, strings.Join(t.Members, ", "))
		}
		n |= t.ValueOf(i)
	}
	return n, nil
}

// bound is more than any value.
func (t *EnumType) bound() int64 {
	if t.Flags {
		return t.ValueOf(len(t.Members))
	}
	return int64(len(t.Members))
}

func clip(name string) string {
	if len(name) > 64 {
		return name[:64] + "…"
	}
	return name
}

// ParseJSON reads a member from a JSON scalar. Members travel as strings;
// numbers are refused, as Graph does.
func (t *EnumType) ParseJSON(s Scalar) (int64, error) {
	if _, err := strconv.Atoi(s.Text); s.Kind != '"' || err == nil {
		return 0, wrongType("one of "+strings.Join(t.Members, ", "), s)
	}
	return t.Parse(s.Text)
}
