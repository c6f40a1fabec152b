package certstate

import "certstate/edm"

// ChangeKind says what a change did to a record.
type ChangeKind string

const (
	CreatedKind ChangeKind = "created"
	UpdatedKind ChangeKind = "updated"
	DeletedKind ChangeKind = "deleted"
)

// Change is one entry of a tenant's change log: what history, delta queries,
// notifications and alerts all read. Entries of one tenant are numbered without
// gaps in the order in which they were committed.
type Change struct {
	Seq    int64
	ID     string
	Kind   ChangeKind
	Actor  string // who: "app:GUID", "user:GUID", or the command that wrote it
	Reason string // why, if the writer said so
	At     edm.DateTimeOffset
	Before string // the record before, as a JSON object; empty for a creation
}

// Cause is who changes a record and why.
type Cause struct {
	Actor  string
	Reason string
}
