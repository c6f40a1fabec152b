// Package store keeps the register: every SQL statement of the program, one
// text for all engines.
//
// # Design
//
// A tenant's records live in parts; part leads every unique key, so that an
// engine which shards can shard by it. A tenant has one part until an engine
// needs more.
//
// Writes pass through one goroutine (writer.go) that takes every request
// waiting for it into one transaction, so that one fsync serves many. Row and
// change-log entry are written by the same transaction; the change's number
// comes from the part's row in seq, whose lock is held until commit, so number
// order is commit order and a reader that sees n sees everything before n. The
// answer goes out after the commit has returned.
//
// A version of a record is the number of the change that made it. A change
// moves the version it ends from state to past, which has state's columns and
// the number of the ending change: the register as it was after change N is the
// rows with ver <= N of state, and those of past that also have n > N
// (history.go). What queries compare other than the text as written (keys,
// words) is derived data, in columns and a table of its own (derived.go).
//
// A request that may be sent again leaves a row in once, by the transaction of
// its change: which version it was answered with. From that the same request has
// the same answer (repeat.go).
//
// Jobs that clients ask for and come back for are rows beside the records (job.go):
// exports name a change, imports keep their file encrypted (upload.go) until a server has
// worked on it under a lease (work.go).
//
// Some of a record's properties follow from other records: whether another device
// has its certificate (register.go), what it renews and what renews it
// (lineage.go). The transaction that changes one changes those too. What follows
// from time alone, a renewal that stalls, is found by looking at records when they
// say it is time (renewal.go).
//
// What one engine does otherwise than another is in its dialect (dialect.go): data
// and small functions, no statement twice. Several servers write to one
// PostgreSQL database: there the lock of the part's row in seq does what SQLite's
// one writer does, and node.go keeps the servers apart.
//
// The record of an id is read from SQLite past database/sql (point.go).
//
// Reads that may be long are answered by a replica if there is one that is up to
// date (replica.go).
//
// Rows carry a digest of their values (digest.go), so that Verify finds what a disk
// changed, and a damaged write-ahead log is told from a torn one (sqlite_wal.go).
//
// A commit to a file that fails to reach the disk ends writing for good: what
// the file holds is then unknown until it is opened anew, since a second fsync
// can report success for pages the kernel has already dropped.
package store
