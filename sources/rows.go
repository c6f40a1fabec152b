package sources

import (
	"context"
	"fmt"
	"iter"

	"certstate"
	"certstate/ingest"
)

// Rows reads all certificates of a step-ca's database, those that it has revoked as
// such. Each is a row of the source that is named step-ca.
func Rows(ctx context.Context, db Database, naming ingest.Naming) iter.Seq[ingest.Row] {
	return func(yield func(ingest.Row) bool) {
		for after := ""; ; {
			keys, err := db.keys(ctx, certsTable, after, sightChunk)
			var list []issued
			if err == nil {
				list, err = certificates(ctx, db, keys)
			}
			if err != nil {
				yield(ingest.Row{Err: fmt.Errorf("%w: %w", ingest.ErrRead, err)})
				return
			}
			for i := range list {
				if !yield(list[i].row(naming)) {
					return
				}
			}
			if len(keys) < sightChunk {
				return
			}
			after = keys[len(keys)-1]
		}
	}
}

func (c *issued) row(naming ingest.Naming) ingest.Row {
	row := naming.Issued(c.der, KindStepCA)
	row.Place = "serial number " + c.key
	if row.State != nil {
		row.Set |= c.revocation(row.State)
	}
	return row
}

// revocation has a record say that it is revoked, if it is, and returns what it says.
func (c *issued) revocation(st *certstate.State) certstate.Set {
	if c.revoked == nil {
		return 0
	}
	st.RevokeStatus, st.RevokeStatusChanged = certstate.Revoked, c.revoked.at()
	return revocationSet
}
