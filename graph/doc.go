// Package graph reads the records of a Graph tenant, or of another register, through
// the API that both have.
//
// # Design
//
// A page is read whole before any of it is passed on, so that a connection that is
// cut costs a page's reading and nothing else. What a service answers that may be
// otherwise a moment later (429, 503, 504, other faults of a server, a connection that
// fails or is cut) is asked again: after the time it says, in seconds or as a date,
// else after ever longer pauses; with some random time more, so that clients that
// failed together do not return together. Links to the next page are followed on the
// same host only, for they are followed with the token.
package graph
