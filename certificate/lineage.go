package certificate

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"certstate"
)

// Lineage names what a record's certificate is for, so that those of a lineage,
// which are issued one after another for the same use, have the same number: the
// same device, user and purpose, and the same policy or, without one, the same
// issuer and the same name in the certificate. It is 0 for a record that does not
// say enough to tell, and never negative.
//
// The device is known by its id, or else by its name: a name is not unique, but
// with its user nearly so. The user counts with an id too, for people who share a
// device have certificates of their own there. Without a policy nothing but the
// name tells two profiles of one authority apart; with one it may change, as the
// policy says what is in it.
func Lineage(s *certstate.State) int64 {
	if s.NotBefore.Ticks == 0 || s.KeyUsages.N == 0 && s.ExtendedKeyUsages.S == "" {
		return 0
	}
	device := named('i', s.DeviceID.S)
	if device == "" {
		device = named('n', strings.ToLower(s.DeviceName.S))
	}
	purpose, order := purpose(s), order(s)
	if device == "" || purpose == "" || order == "" {
		return 0
	}
	user := s.UserPrincipalName.S
	if user == "" {
		user = s.UserID.S
	}
	return number(device, strings.ToLower(user), purpose, order)
}

// LineageProperties are those that Lineage looks at.
var LineageProperties = func() (set certstate.Set) {
	for _, name := range []string{"deviceId", "managedDeviceDisplayName", "userPrincipalName", "userId", "policyId", "certificateIssuerName", "certificateSubjectName",
		"certificateSubjectAlternativeNames", "certificateKeyUsages", "certificateExtendedKeyUsages", "certificateIssuanceDateTime"} {
		i, ok := certstate.Lookup(name)
		if !ok {
			panic("certificate: there is no property " + name)
		}
		set |= 1 << i
	}
	return set
}()

// order is what the certificate was asked for by: a policy, or else an issuer and a
// name.
func order(s *certstate.State) string {
	if s.PolicyID.S != "" {
		return named('p', strings.ToLower(s.PolicyID.S))
	}
	name := nameKey(s.Subject.S)
	if name == "" {
		name = s.SubjectAltNames.S // RFC 5280 §4.1.2.6: then it is there alone
	}
	if s.Issuer.S == "" || name == "" {
		return ""
	}
	return named('a', nameKey(s.Issuer.S)+"\x00"+name)
}

// Key usages, RFC 5280 §4.2.1.3, by which purpose tells classes apart.
const (
	toSign    = 128 | 64    // digitalSignature, nonRepudiation
	toEncrypt = 32 | 16 | 8 // keyEncipherment, dataEncipherment, keyAgreement
	toCertify = 4 | 2       // keyCertSign, cRLSign
)

// purpose is the extended key usages and the class of the key usages: to certify,
// to sign, or to encrypt alone, as one of a pair of S/MIME certificates does. What
// may sign is one class, whatever else it may do: a client's RSA key enciphers
// keys too, and the elliptic key that replaces it cannot. It is "" if neither is
// known.
func purpose(s *certstate.State) string {
	class, usages := "sign", s.KeyUsages.N
	switch {
	case usages&toCertify != 0:
		class = "certify"
	case usages&toSign == 0 && usages&toEncrypt != 0:
		class = "encrypt"
	}
	extended := purposesIn(s.ExtendedKeyUsages.S)
	if len(extended) == 0 && usages == 0 {
		return ""
	}
	return class + " " + strings.Join(extended, " ")
}

// nameKey is the same for names that sameName finds the same.
func nameKey(name string) string {
	parts := nameParts(name)
	forward := strings.Join(parts, "\x00")
	slices.Reverse(parts)
	return min(forward, strings.Join(parts, "\x00"))
}

// named is a value that cannot be taken for one of another kind, "" for none.
func named(kind byte, value string) string {
	if value == "" {
		return ""
	}
	return string(kind) + value
}

// number is 63 bits of a digest: two of a million lineages share one with a
// chance of one in ten million.
func number(parts ...string) int64 {
	b := make([]byte, 0, 256)
	for _, part := range parts {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	sum := sha256.Sum256(b)
	return max(1, int64(binary.BigEndian.Uint64(sum[:])>>1))
}
