package certificate

import (
	"math/rand/v2"
	"regexp"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
)

// laptop is a record that has a lineage.
func laptop() certstate.State {
	return certstate.State{DeviceID: edm.Str("d1"), DeviceName: edm.Str("LAPTOP"), UserPrincipalName: edm.Str("ann@fleet.example"), PolicyID: edm.Str("p1"),
		Issuer: edm.Str("CN=Device CA,O=Fleet"), Subject: edm.Str("CN=ann,O=Fleet"), KeyUsages: edm.Int(160),
		ExtendedKeyUsages: edm.Str("Client Authentication (1.3.6.1.5.5.7.3.2)"), NotBefore: edm.Time(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))}
}

// Each line changes a record of a device and policy, and one of a device's name
// and an issuer, and says whether it is still of the same lineage.
func TestLineage(t *testing.T) {
	byPolicy, byIssuer := laptop(), laptop()
	byIssuer.DeviceID, byIssuer.PolicyID = edm.String{}, edm.String{}
	for _, c := range []struct {
		name           string
		policy, issuer bool // still the same
		change         func(*certstate.State)
	}{
		{"issued later", true, true, func(s *certstate.State) { s.NotBefore.Ticks++ }},
		{"another serial number, thumbprint, key", true, true, func(s *certstate.State) {
			s.Serial, s.Thumbprint, s.KeyType = edm.Str("1"), edm.Str("2"), edm.Str("EC P-256")
		}},
		{"an elliptic key, which only signs", true, true, func(s *certstate.State) { s.KeyUsages = edm.Int(128) }},
		{"no key usages, so every use", true, true, func(s *certstate.State) { s.KeyUsages = edm.Int32{} }},
		{"the purpose by its identifier alone", true, true, func(s *certstate.State) { s.ExtendedKeyUsages = edm.Str("1.3.6.1.5.5.7.3.2") }},
		{"the device renamed", true, false, func(s *certstate.State) { s.DeviceName = edm.Str("NOTEBOOK") }},
		{"its name in another case", true, true, func(s *certstate.State) { s.DeviceName = edm.Str("Laptop") }},
		{"the user in another case", true, true, func(s *certstate.State) { s.UserPrincipalName = edm.Str("Ann@fleet.example") }},
		{"another issuer", true, false, func(s *certstate.State) { s.Issuer = edm.Str("CN=Device CA 2,O=Fleet") }},
		{"the issuer written from the other end", true, true, func(s *certstate.State) { s.Issuer = edm.Str("O=Fleet, CN=device ca") }},
		{"another subject", true, false, func(s *certstate.State) { s.Subject = edm.Str("CN=ann b,O=Fleet") }},
		{"no subject", true, false, func(s *certstate.State) { s.Subject = edm.String{} }},
		{"another user", false, false, func(s *certstate.State) { s.UserPrincipalName = edm.Str("bob@fleet.example") }},
		{"another purpose", false, false, func(s *certstate.State) { s.ExtendedKeyUsages = edm.Str("Server Authentication (1.3.6.1.5.5.7.3.1)") }},
		{"to encrypt alone", false, false, func(s *certstate.State) { s.KeyUsages = edm.Int(32) }},
		{"an authority", false, false, func(s *certstate.State) { s.KeyUsages = edm.Int(6) }},
		{"another device", false, false, func(s *certstate.State) { s.DeviceID, s.DeviceName = edm.Str("d2"), edm.Str("PHONE") }},
	} {
		for _, of := range []struct {
			state certstate.State
			same  bool
		}{{byPolicy, c.policy}, {byIssuer, c.issuer}} {
			changed := of.state
			c.change(&changed)
			a, b := Lineage(&of.state), Lineage(&changed)
			if a <= 0 || (a == b) != of.same {
				t.Errorf("%s: %d and %d, want the same: %v", c.name, a, b, of.same)
			}
		}
	}
}

// A record that does not say enough has no lineage.
func TestNoLineage(t *testing.T) {
	for name, change := range map[string]func(*certstate.State){
		"no device":           func(s *certstate.State) { s.DeviceID, s.DeviceName = edm.String{}, edm.Str("") },
		"no purpose":          func(s *certstate.State) { s.KeyUsages, s.ExtendedKeyUsages = edm.Int32{}, edm.String{} },
		"no date of issuance": func(s *certstate.State) { s.NotBefore = edm.DateTimeOffset{} },
		"neither policy nor issuer": func(s *certstate.State) {
			s.PolicyID, s.Issuer = edm.String{}, edm.String{}
		},
		"neither policy nor name": func(s *certstate.State) { s.PolicyID, s.Subject = edm.String{}, edm.String{} },
	} {
		s := laptop()
		if change(&s); Lineage(&s) != 0 {
			t.Errorf("%s: it has a lineage", name)
		}
	}
	s := laptop()
	s.PolicyID, s.Subject, s.SubjectAltNames = edm.String{}, edm.String{}, edm.Str("DNS:laptop.fleet.example")
	if Lineage(&s) == 0 {
		t.Error("an alternative name is no name")
	}
}

func BenchmarkLineage(b *testing.B) {
	s := laptop()
	s.PolicyID = edm.String{}
	for b.Loop() {
		Lineage(&s)
	}
}

// Object identifiers are found as an expression finds them.
func TestObjectIdentifierIn(t *testing.T) {
	expression := regexp.MustCompile(`[0-9]+(\.[0-9]+)+`)
	random := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		b := make([]byte, random.IntN(12))
		for i := range b {
			b[i] = "12..(x "[random.IntN(7)]
		}
		if got, want := objectIdentifierIn(string(b)), expression.FindString(string(b)); got != want {
			t.Fatalf("in %q: %q, want %q", b, got, want)
		}
	}
}
