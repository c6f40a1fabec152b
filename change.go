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
	Seq    int64 // the Version of the record after it
	ID     string
	Kind   ChangeKind
	Actor  string             // who: "app:GUID", "user:GUID", or the command that wrote it
	Reason string             // why, if the writer said so
	At     edm.DateTimeOffset // never before that of an earlier change
	// The record before and after, nil for none. A reader of the whole log
	// does without them.
	Before, After *State
}

// Cause is who changes a record and why.
type Cause struct {
	Actor  string
	Reason string
	Once   *Once // the request, if it is one that may be repeated
}

// Once is a request that is carried out once, however often it is sent (OASIS,
// Repeatable Requests Version 1.0).
type Once struct {
	Key   [32]byte           // who asks, and the id they gave the request
	Print [32]byte           // what they ask; another request has another
	First edm.DateTimeOffset // when they first sent it
}
