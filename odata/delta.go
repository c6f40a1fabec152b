package odata

import (
	"slices"

	"certstate"
	"certstate/edm"
)

// parseSteadyFilter reads a filter for delta, which tells what changes made of
// a record: with now() time would too.
func (q *Query) parseSteadyFilter(v string, aliases map[string]string) error {
	if err := q.parseFilter(v, aliases); err != nil {
		return err
	}
	if usesNow(q.Filter) {
		return certstate.Errorf(certstate.Invalid, "$filter",
			"A delta cannot be filtered by now(): records would come and go without a change. Give a time, or filter what was received.")
	}
	return nil
}

func usesNow(e Expr) bool {
	switch e := e.(type) {
	case *Call:
		return e.Fn.Name == "now" || slices.ContainsFunc(e.Args, usesNow)
	case *Compare:
		return usesNow(e.L) || usesNow(e.R)
	case *In:
		return usesNow(e.X)
	case *Logic:
		return usesNow(e.L) || usesNow(e.R)
	case *Not:
		return usesNow(e.X)
	}
	return false
}

// AppendDeltaHead appends a page of a delta up to its first record
// (OData JSON Format 4.0 §15).
func (sh *Shape) AppendDeltaHead(b []byte) []byte {
	b = append(b, '{')
	if sh.Level != None {
		b = sh.context(b, "/$delta")
	}
	return append(b, `"value":[`...)
}

// AppendRemoved appends a record that is gone, as Graph writes it.
func (sh *Shape) AppendRemoved(b []byte, id, reason string) []byte {
	b = edm.AppendJSONString(append(b, `{"id":`...), id)
	return append(edm.AppendJSONString(append(b, `,"@removed":{"reason":`...), reason), `}}`...)
}

// AppendDeltaTail ends a page of a delta, with the link to the next one or to
// the next round.
func (sh *Shape) AppendDeltaTail(b []byte, more bool, link string) []byte {
	name := `],"@odata.deltaLink":`
	if more {
		name = `],"@odata.nextLink":`
	}
	return append(edm.AppendJSONString(append(b, name...), link), '}')
}
