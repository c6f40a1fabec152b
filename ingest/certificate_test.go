package ingest_test

import (
	"testing"

	"certstate/certificate"
	"certstate/ingest"
)

func TestFromCertificate(t *testing.T) {
	facts, err := certificate.Parse(newIdentity(t, "a").der)
	if err != nil {
		t.Fatal(err)
	}
	s := ingest.FromCertificate(facts)
	if s.Subject.S != "CN=a" || s.Serial.S != "07" || s.NotAfter.Time() != facts.NotAfter || s.Thumbprint.S != facts.Thumbprint {
		t.Errorf("%+v", s)
	}
	if s.KeyUsages.Valid || s.ExtendedKeyUsages.Valid {
		t.Error("what the certificate says nothing about is not null")
	}
	facts.HasKeyUsages, facts.KeyUsages = true, 160
	if s := ingest.FromCertificate(facts); s.KeyUsages.N != 160 || !s.KeyUsages.Valid {
		t.Errorf("%+v", s.KeyUsages)
	}
}
