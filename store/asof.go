package store

import (
	"context"

	"certstate"
	"certstate/edm"
)

// pastSource reads the records as they were after a change: the current
// versions that are that old, and those that ended later.
func pastSource(n string) string {
	list := allColumns
	return "(SELECT " + list + " FROM state WHERE tenant = $1 AND ver <= " + n +
		" UNION ALL SELECT " + list + " FROM past WHERE tenant = $1 AND ver <= " + n + " AND n > " + n + ")"
}

const allColumns = "*"

// AsOf is the number of the last change at or before a time.
func (s *Store) AsOf(context.Context, Tenant, edm.DateTimeOffset) (int64, error) {
	return 0, certstate.Errorf(certstate.Invalid, "certstate.asOf", "not yet")
}
