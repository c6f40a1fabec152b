// Package auth turns a bearer token into a [Principal].
//
// # Design
//
// What a token says of itself decides nothing: the issuers, their algorithms
// and the audiences are configuration. The claims are read first only to find
// which configured issuer the token must have come from; then the key is looked
// up by kid in that issuer's own set, must be meant for the issuer (Entra's
// "issuer" member of a key), and must fit the algorithm the configuration
// names (RFC 8725 §3.1). Header members that bring keys along (jwk, jku, x5u,
// x5c) are never read. A verified token is remembered by its hash until it
// expires or its issuer's keys change, so that a signature is paid for once.
//
// Microsoft Graph's own audience is not for other services: its tokens have a
// format of their own, and a service that took them could use each against
// Graph in the caller's name. So it is refused outside of demonstrations.
package auth
