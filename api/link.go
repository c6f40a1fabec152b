package api

import (
	"strconv"

	"certstate/odata"
)

// preferPageSize takes the preferred size of pages over into $top: headers are
// not repeated by those who follow a link.
func (x *exchange) preferPageSize(q *odata.Query) {
	if x.prefs.MaxPageSize > 0 {
		q.Top = q.PageSize(x.prefs.MaxPageSize)
		x.w.Header().Set("Preference-Applied", "odata.maxpagesize="+strconv.Itoa(q.Top))
	}
}

// link is the absolute URL of a query below the version root, to go on from a
// position.
func (x *exchange) link(path string, q *odata.Query, kind odata.Token, position []byte) string {
	options := q.String()
	if options != "" {
		options += "&"
	}
	return x.root() + "/" + path + "?" + options + kind.Option() + "=" + x.s.sealer.Seal(kind, x.tenant.ID, q, position)
}
