package intake

import (
	"fmt"
	"strings"

	"certstate"
)

// ParseColumns reads what columns of a table are: HEADER=property, or HEADER= for
// one that is left out. Errors begin with where they stand, such as --column.
func ParseColumns(where string, list []string) (map[string]string, error) {
	columns := map[string]string{}
	for _, text := range list {
		header, property, ok := strings.Cut(text, "=")
		n, known := certstate.Lookup(property)
		switch {
		case !ok || header == "":
			return nil, fmt.Errorf("%s %q is not HEADER=property", where, text)
		case property == "":
		case !known && certstate.Suggest(property) != "":
			return nil, fmt.Errorf("%s %s: there is no property %q: is it %s?", where, text, property, certstate.Suggest(property))
		case !known:
			return nil, fmt.Errorf("%s %s: there is no property %q: certstate fields lists them", where, text, property)
		case certstate.Properties[n].Is(certstate.Computed):
			return nil, fmt.Errorf("%s %s: the register sets %s itself", where, text, property)
		}
		columns[header] = property
	}
	return columns, nil
}
