// Package sources keeps the register in step with systems that issue certificates
// while it runs.
//
// # Design
//
// A source tells of what it issues by itself (receiver.go), and is read from time to
// time (reconcile.go), because what it tells may be lost: step-ca sends a
// notification twice at most, within a second, and drops it without a word; of
// revocations, and of certificates that are not issued over SCEP, it tells nobody.
// So what is told is quick, and what is read is complete. What was read and should
// have been told is a gap, which is kept and counted.
//
// Whoever reads a source holds its lease in the database, and every change that it
// makes renews the lease or fails. So of several servers one reads, and one that
// slept through its lease changes nothing.
//
// A reading goes through the keys of the source's database in pages, in the order of
// the keys, and asks the register which of that range it knows; so it takes little
// memory, and a certificate that is known costs no more than its key. Nothing is
// written for what is as it was.
package sources
