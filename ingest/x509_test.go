package ingest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"certstate/ingest"
)

func TestFromCertificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x0A0B),
		Subject:      pkix.Name{CommonName: "Laptop, 1", Organization: []string{"Fleet"}},
		NotBefore:    time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), NotAfter: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 2, 3}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := ingest.FromCertificate(cert)
	for _, tc := range [][2]string{
		{s.Subject.S, `CN=Laptop\, 1,O=Fleet`},
		{s.Serial.S, "0A0B"},
		{s.NotAfter.Text(), "2027-01-02T03:04:05Z"},
		{s.KeyUsages.Text(), "160"},
		{s.ExtendedKeyUsages.S, "Client Authentication (1.3.6.1.5.5.7.3.2), 1.2.3"},
	} {
		if tc[0] != tc[1] {
			t.Errorf("%q, want %q", tc[0], tc[1])
		}
	}
	if len(s.Thumbprint.S) != 40 || len(s.ThumbprintSHA256.S) != 64 {
		t.Errorf("thumbprints %s, %s", s.Thumbprint.S, s.ThumbprintSHA256.S)
	}
}

// The layout is that of .NET's X509KeyUsageFlags.
func TestKeyUsages(t *testing.T) {
	for u, want := range map[x509.KeyUsage]int32{
		x509.KeyUsageDigitalSignature: 0x80, x509.KeyUsageContentCommitment: 0x40, x509.KeyUsageKeyEncipherment: 0x20,
		x509.KeyUsageDataEncipherment: 0x10, x509.KeyUsageKeyAgreement: 0x08, x509.KeyUsageCertSign: 0x04,
		x509.KeyUsageCRLSign: 0x02, x509.KeyUsageEncipherOnly: 0x01, x509.KeyUsageDecipherOnly: 0x8000,
	} {
		if got := ingest.KeyUsages(u); got != want {
			t.Errorf("%b: %#x, want %#x", u, got, want)
		}
	}
}
