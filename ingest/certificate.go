// Package ingest turns what other systems keep about certificates into states
// of the register.
package ingest

import (
	"certstate"
	"certstate/certificate"
	"certstate/edm"
)

// FromCertificate fills the properties that a certificate says of itself. What
// it says nothing about is null.
func FromCertificate(f *certificate.Facts) certstate.State {
	s := certstate.State{
		NotBefore:         edm.Time(f.NotBefore),
		NotAfter:          edm.Time(f.NotAfter),
		Issuer:            edm.Str(f.Issuer),
		Subject:           edm.Str(f.Subject),
		Serial:            edm.Str(f.Serial),
		Thumbprint:        edm.Str(f.Thumbprint),
		ThumbprintSHA256:  edm.Str(f.ThumbprintSHA256),
		ExtendedKeyUsages: optional(f.ExtendedKeyUsages),
	}
	if f.HasKeyUsages {
		s.KeyUsages = edm.Int(f.KeyUsages)
	}
	return s
}

func optional(s string) edm.String { return edm.String{S: s, Valid: s != ""} }
