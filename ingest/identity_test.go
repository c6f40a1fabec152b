package ingest

import (
	"testing"

	"certstate"
	"certstate/edm"
)

func TestIdentify(t *testing.T) {
	base := certstate.State{DeviceName: edm.Str("one"), Thumbprint: edm.Str("AB CD"), Serial: edm.Str("0a"), Issuer: edm.Str("CN=x")}
	id, named := Identify(&base)
	if !named {
		t.Error("a certificate on a device is not named")
	}
	for _, c := range []struct {
		name   string
		change func(*certstate.State)
		same   bool
	}{
		{"the thumbprint spelt otherwise", func(s *certstate.State) { s.Thumbprint = edm.Str("ab:cd") }, true},
		{"another status", func(s *certstate.State) { s.RevokeStatus = certstate.Revoked }, true},
		{"another device", func(s *certstate.State) { s.DeviceName = edm.Str("two") }, false},
		{"another thumbprint", func(s *certstate.State) { s.Thumbprint = edm.Str("abce") }, false},
		{"a device's id", func(s *certstate.State) { s.DeviceID = edm.Str("one") }, false},
	} {
		s := base
		c.change(&s)
		if got, _ := Identify(&s); (got == id) != c.same {
			t.Errorf("%s: %s and %s", c.name, got, id)
		}
	}
	a := certstate.State{DeviceName: edm.Str("one"), Serial: edm.Str("0a")} // whose issuer nobody says
	b := a
	b.UserPrincipalName = edm.Str("u")
	first, named := Identify(&a)
	if second, _ := Identify(&b); named || first == second {
		t.Errorf("%v %s %s", named, first, second)
	}
}
