// Package certificate reads what an X.509 certificate says of itself: bytes in,
// facts out (RFC 5280 §4.1, §4.2). It verifies nothing.
//
// # Design
//
// Real devices carry certificates that break their standard: negative serials,
// strings in the wrong alphabet, algorithms nobody has a name for yet.
// crypto/x509 refuses many of them, rightly, for it goes on to trust what it has
// parsed. A register must hold them, so [Parse] walks the structure by itself,
// reads each part on its own, and notes what is odd as an [Oddity] instead of
// stopping. Only what is not a certificate at all is an error, and what is beyond
// [Limits], which crypto/x509 does not have: it accepts an RSA modulus of a
// million bits.
//
// A part that cannot be read leaves its fact empty. No fact is a guess: an
// extension sent twice is read once, from its first copy, and noted.
package certificate
