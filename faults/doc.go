// Package faults runs whole certstate processes, breaks what is around them,
// and holds what clients saw against what must be true. It has only tests.
//
// # Design
//
// A register (register_test.go) is an empty database of an engine, with an
// enrolled tenant and an issuer of tokens. A server (server_test.go) is the
// program as operators run it, on a port of its own that it keeps; it can be
// killed, stopped and started again. The program is built once for all tests, with the
// race detector if they have it; a race or a panic in a server's log fails its test.
//
// A load (load_test.go) is clients that create, read, change and delete a few
// records over HTTP, as fast as they are answered. Each request goes into the
// history (history_test.go) with the times between which it happened and its
// outcome: done, refused by a rule of the register, turned away undone, or unknown. What
// is unknown may have happened at any time after it was asked for, or never.
// Every write has a value of its own, so that a value or an ETag that is seen
// tells which write made it. Faults come at a number of operations, not after a time,
// so that a slow machine tests as much as a fast one.
//
// Afterwards three judges look at the history:
//
//   - audit (audit_test.go) is for any fault: what was acknowledged is in the
//     change log once, with the number its client was told, and nothing else is there
//     but what may have happened unseen; the log has no gap; a write that began after
//     another had been answered has the higher number; the table is what
//     the log adds up to, and certstate check finds it whole.
//   - follower (follower_test.go) reads delta all the while, from any server, and must
//     end with the table.
//   - linearizable (linear_test.go) has porcupine look for one order of all operations
//     on a record that explains every answer.
//
// Behind a balancer (balancer_test.go), which has the very configuration that
// docs/load-balancing.md gives to operators, clients own their records
// (owner_test.go): they know what each answer must be, and none may be a failure. They repeat
// requests as Microsoft's SDKs do (sdk_test.go) and in no other way.
//
// Each judge is shown broken servers that it must catch (seeded_test.go).
//
// Faults of a server's surroundings are real ones. A disk is a file system in a file
// or in memory (disk_test.go), whose power is cut by the kernel's own call
// (power_test.go) and which is filled, locked, damaged and made read-only; strace has the kernel
// fail writes and syncs (strace_test.go); the way to PostgreSQL loses, delays and cuts what
// passes (link_test.go). An outage (outage_test.go) says what clients, /readyz and the log
// have to be told of such a fault.
//
// What cannot be done from outside is done by a second build (seam_test.go): go build
// -overlay gives the compiler other texts for some files, with points at which the
// process dies (points_test.go), flaws that it can be told to have (flaw_test.go) and a clock
// that can be set. The source has nothing of that. Each test of a fault is run on a
// server with a flaw, too, and must see it.
//
// A test that fails keeps its folder and says where it is: the
// servers' logs, and what the judges have drawn.
package faults
