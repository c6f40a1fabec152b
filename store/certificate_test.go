package store_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/odata"
)

// certificates are some, of which the last cannot be read.
var certificates = sync.OnceValue(func() (list [][]byte) {
	for i, name := range []string{"LAPTOP-0042", "phone 7", "Åsa Öberg"} {
		list = append(list, newCertificate(name, i))
	}
	return append(list, []byte("0\n0\x000\x03\x06\x01*\x03\x01\x00")) // the shape of one
})

var certificateKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

// newCertificate issues a certificate.
func newCertificate(name string, n int) []byte {
	address := &url.URL{Scheme: "spiffe", Host: "fleet.example", Path: "/" + name}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(0x10A0 + n)), Subject: pkix.Name{CommonName: name, Organization: []string{"Fleet"}},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2047, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n%1000),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		DNSNames: []string{"device.fleet.example"}, URIs: []*url.URL{address}, SubjectKeyId: []byte{1, byte(n)},
		CRLDistributionPoints: []string{"http://crl.fleet.example/1.crl"}, OCSPServer: []string{"http://ocsp.fleet.example"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, certificateKey().Public(), certificateKey())
	if err != nil {
		panic(err)
	}
	return der
}

// A record says what its certificate says where it states nothing; what it
// states otherwise stays, and is found.
func TestDeclaredAndObserved(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		cert := edm.Bin(certificates()[0])
		made, err := s.Create(t.Context(), tn, certstate.State{Certificate: cert, DeviceName: edm.Str("x")}, by)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"certificateSubjectName": "CN=LAPTOP-0042,O=Fleet", "certificateSerialNumber": "10A0", "certificateExpirationDateTime": "2047-01-01T00:00:00Z",
			"certificateKeyUsages": "128", "certificateExtendedKeyUsages": "Client Authentication (1.3.6.1.5.5.7.3.2)", "certificateKeyType": "EC P-256",
			"certificateKeySize": "256", "certificateSignatureAlgorithm": "ecdsa-with-SHA256", "certificateSubjectKeyIdentifier": "0100",
			"certificateSubjectAlternativeNames": "DNS:device.fleet.example, URI:spiffe://fleet.example/LAPTOP-0042",
			"certificateRevocationListLocations": "http://crl.fleet.example/1.crl", "certificateOcspLocations": "http://ocsp.fleet.example", "certificateFindings": "none",
		} {
			i, _ := certstate.Lookup(name)
			if got := certstate.Properties[i].Field(made).Text(); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if got, err := s.Get(t.Context(), tn, made.ID.S, certstate.All); err != nil || *got != *made {
			t.Errorf("got %+v, %v\nwant %+v", got, err, made)
		}
		for want, state := range map[string]func(*certstate.State){
			"none":                     func(st *certstate.State) { st.Subject = edm.Str("o=FLEET ,  cn=laptop-0042") },
			"serialRadix":              func(st *certstate.State) { st.Serial = edm.Str("4256") },
			"serialMismatch":           func(st *certstate.State) { st.Serial = edm.Str("10A1") },
			"thumbprintMismatch":       func(st *certstate.State) { st.Thumbprint = edm.Str("00") },
			"issuerMismatch":           func(st *certstate.State) { st.Issuer = edm.Str("CN=Other") },
			"subjectMismatch":          func(st *certstate.State) { st.Subject = edm.Str("CN=LAPTOP-0042") },
			"expiryMismatch":           func(st *certstate.State) { st.NotAfter = edm.Time(time.Date(2047, 1, 1, 0, 0, 1, 0, time.UTC)) },
			"issuanceMismatch":         func(st *certstate.State) { st.NotBefore = edm.Time(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)) },
			"keyUsageMismatch":         func(st *certstate.State) { st.KeyUsages = edm.Int(160) },
			"extendedKeyUsageMismatch": func(st *certstate.State) { st.ExtendedKeyUsages = edm.Str("Server Authentication") },
		} {
			stated := certstate.State{Certificate: cert, DeviceName: edm.Str("x")}
			state(&stated)
			made, err := s.Create(t.Context(), tn, stated, by)
			if err != nil {
				t.Fatal(err)
			}
			if made.Findings.String() != want {
				t.Errorf("%v is found, want %s", made.Findings, want)
			}
		}
		for filter, want := range map[string]int64{"certificateFindings ne 'none'": 9, "certificateFindings has 'serialRadix'": 1, "certificate ne null": 11} {
			q, err := odata.ParseQuery(strings.ReplaceAll("$filter="+filter, " ", "%20"), odata.CountOptions)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := s.Count(t.Context(), tn, &q, edm.DateTimeOffset{}, nil); err != nil || n != want {
				t.Errorf("%s: %d, %v, want %d", filter, n, err, want)
			}
		}
		if err := s.Verify(t.Context(), func(int64) {}); err != nil {
			t.Error(err)
		}
	})
}

// A new certificate replaces what the old one said; without one nothing is said.
func TestReplacedCertificate(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		certs := certificates()
		first, err := s.Create(t.Context(), tn, certstate.State{Certificate: edm.Bin(certs[0])}, by)
		if err != nil {
			t.Fatal(err)
		}
		id := first.ID.S
		update := func(patch certstate.State, names ...string) *certstate.State {
			t.Helper()
			var set certstate.Set
			for _, name := range names {
				i, ok := certstate.Lookup(name)
				if !ok {
					t.Fatal(name)
				}
				set |= 1 << i
			}
			out, err := s.Update(t.Context(), tn, id, &patch, set, nil, by)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.Get(t.Context(), tn, id, certstate.All); err != nil || *got != *out {
				t.Fatalf("got  %+v, %v\nwant %+v", got, err, out)
			}
			return out
		}
		out := update(certstate.State{Serial: edm.Str("4256")}, "certificateSerialNumber")
		if out.Findings != certstate.SerialRadix || out.Subject != first.Subject || out.Certificate != first.Certificate {
			t.Errorf("after a stated serial number: %+v", out)
		}
		out = update(certstate.State{}, "certificateSerialNumber")
		if out.Findings != 0 || out.Serial.S != "10A0" {
			t.Errorf("after a serial number that is null: %+v", out)
		}
		out = update(certstate.State{Certificate: edm.Bin(certs[1]), Subject: edm.Str("CN=phone 8,O=Fleet")}, "certificate", "certificateSubjectName")
		if out.Findings != certstate.SubjectMismatch || out.Serial.S != "10A1" || out.Thumbprint == first.Thumbprint || out.SubjectKeyID.S != "0101" {
			t.Errorf("after another certificate: %+v", out)
		}
		out = update(certstate.State{Certificate: edm.Bin(certs[3])}, "certificate")
		if out.Findings != certstate.Unparseable || out.KeyType.Valid || !out.ThumbprintSHA256.Valid {
			t.Errorf("after what cannot be read: %+v", out)
		}
		out = update(certstate.State{}, "certificate")
		if out.Findings != 0 || out.Certificate.Valid {
			t.Errorf("without a certificate: %+v", out)
		}
		was, err := s.GetAsOf(t.Context(), tn, id, certstate.All, first.Version)
		if err != nil || *was != *first {
			t.Errorf("as it was: %+v, %v\nwant %+v", was, err, first)
		}
		if err := s.Verify(t.Context(), func(int64) {}); err != nil {
			t.Error(err)
		}
	})
}

// What cannot be kept is refused and says why.
func TestRefusedCertificate(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		key, err := x509.MarshalPKCS8PrivateKey(certificateKey())
		if err != nil {
			t.Fatal(err)
		}
		for what, octets := range map[string][]byte{"too long": bytes.Repeat([]byte("0"), 70_000), "no certificate": []byte("x"), "a private key": key} {
			if _, err := s.Create(t.Context(), tn, certstate.State{Certificate: edm.Bin(octets)}, by); certstate.ErrorCode(err) != certstate.Invalid {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// A certificate is kept as long as a record, or a version of one, has it.
func TestForgottenCertificates(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		a, err := s.Create(t.Context(), tn, certstate.State{Certificate: edm.Bin(certificates()[0])}, by)
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Create(t.Context(), tn, certstate.State{Certificate: edm.Bin(certificates()[0])}, by)
		if err != nil {
			t.Fatal(err)
		}
		for i, step := range []struct {
			do   func() error
			left int
		}{
			{func() error { return s.Delete(t.Context(), tn, a.ID.S, nil, by) }, 1},
			{func() error { return s.Prune(t.Context(), time.Now().Add(time.Hour), func(int64) {}) }, 1},
			{func() error { return s.Delete(t.Context(), tn, b.ID.S, nil, by) }, 1},
			{func() error { return s.Prune(t.Context(), time.Now().Add(time.Hour), func(int64) {}) }, 0},
		} {
			if err := step.do(); err != nil {
				t.Fatal(err)
			}
			if n, err := s.Certificates(t.Context(), tn); err != nil || n != step.left {
				t.Errorf("after step %d %d certificates are kept, %v, want %d", i, n, err, step.left)
			}
		}
	})
}
