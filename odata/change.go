package odata

import (
	"strconv"

	"certstate"
	"certstate/edm"
)

// AppendHistoryHead appends a page of changes up to its first.
func (sh *Shape) AppendHistoryHead(b []byte) []byte {
	b = append(b, '{')
	if sh.Level != None {
		b = edm.AppendJSONString(append(b, `"@odata.context":`...), sh.Root+"/$metadata#Collection(certstate.change)")
		b = append(b, ',')
	}
	return append(b, `"value":[`...)
}

// AppendChange appends a change as an item of a collection, with the whole
// record before and after it.
func (sh *Shape) AppendChange(b []byte, c *certstate.Change) []byte {
	b = append(b, `{"sequence":`...)
	if sh.IEEE754 {
		b = append(strconv.AppendInt(append(b, '"'), c.Seq, 10), '"')
	} else {
		b = strconv.AppendInt(b, c.Seq, 10)
	}
	for _, member := range []struct{ name, value string }{{"kind", string(c.Kind)}, {"actor", c.Actor}, {"reason", c.Reason}} {
		b = edm.AppendJSONString(append(b, `,"`+member.name+`":`...), member.value)
	}
	b = c.At.AppendJSON(append(b, `,"at":`...))
	b = appendImage(append(b, `,"before":`...), c.Before)
	b = appendImage(append(b, `,"after":`...), c.After)
	return append(b, '}')
}

// appendImage appends every property of s and nothing else, or null.
func appendImage(b []byte, s *certstate.State) []byte {
	if s == nil {
		return append(b, "null"...)
	}
	sh := Shape{Select: certstate.All, Level: None}
	return sh.AppendItem(b, s)
}
