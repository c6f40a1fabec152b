package odata

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"certstate"
)

// DecodeObject reads a body that is one JSON object. members are those it may have,
// each with where its value goes: a *string, a *bool or a *[]string; nil: its value
// is passed over. Annotations are ignored, null leaves a member as it is, and
// everything else is refused with the member at fault; what names the body in that.
func DecodeObject(data []byte, what string, members map[string]any) error {
	dec := newDecoder(data)
	return document(dec, func(name string) error {
		to, known := members[name]
		switch {
		case !known && !isAnnotation(name):
			return certstate.Errorf(certstate.Invalid, clip(name), "%s has no member '%s': it has %s.", what, clip(name), strings.Join(takenNames(members), ", "))
		case dec.PeekKind() == '[' && known && to != nil:
			return texts(dec, name, to)
		}
		tok, err := dec.ReadToken()
		if err != nil {
			return badJSON(err)
		}
		if !known || to == nil {
			return skipValue(dec, tok)
		}
		return setMember(name, to, tok)
	})
}

func takenNames(members map[string]any) (names []string) {
	for name, to := range members {
		if to != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func setMember(name string, to any, tok jsontext.Token) error {
	switch to := to.(type) {
	case *string:
		if tok.Kind() == '"' {
			*to = tok.String()
			return nil
		}
	case *bool:
		if tok.Kind() == 't' || tok.Kind() == 'f' {
			*to = tok.Bool()
			return nil
		}
	}
	if tok.Kind() == 'n' {
		return nil
	}
	return notOfType(name, to)
}

func texts(dec *jsontext.Decoder, name string, to any) error {
	list, ok := to.(*[]string)
	if !ok {
		return notOfType(name, to)
	}
	*list = []string{}
	return elements(dec, name, func() error {
		tok, err := dec.ReadToken()
		if err != nil {
			return badJSON(err)
		}
		if tok.Kind() != '"' {
			return notOfType(name, to)
		}
		*list = append(*list, tok.String())
		return nil
	})
}

func notOfType(name string, to any) error {
	what := "an array of texts"
	switch to.(type) {
	case *string:
		what = "a text"
	case *bool:
		what = "true or false"
	}
	return certstate.Errorf(certstate.Invalid, name, "'%s' must be %s.", name, what)
}
