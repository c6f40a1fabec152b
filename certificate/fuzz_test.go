package certificate_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"certstate"
	"certstate/certificate"
)

// FuzzParse holds Parse to its bounds, and to crypto/x509 wherever that accepts.
func FuzzParse(f *testing.F) {
	for _, alter := range []func(*parts){
		func(*parts) {},
		func(p *parts) { p.serial = bytesOf("0202f5f5") },
		func(p *parts) { p.issuer = bytesOf("3080310b30090603550403130243410000") },
		func(p *parts) { p.key = rsaKey(1024) },
		func(p *parts) { p.subject = seq(rdn(cn, str(30, "\x00M\x00\xfc")), rdn(oid123, str(12, "b"))) },
		func(p *parts) {
			p.extensions = extensions(
				extension("551d0e", bytesOf("0401ab")), extension("551d23", bytesOf("30038001cd")),
				extension("551d0f", bytesOf("030205a0")), extension("551d13", bytesOf("30030101ff")),
				extension("551d25", bytesOf("300a06082b06010505070302")),
				extension("551d11", seq(str(0x82, "a"), str(0x87, "\x0a\x00\x00\x01"), tlv(0xA4, seq(rdn(cn, str(12, "d")))), tlv(0xA0, oid123, tlv(0xA0, str(12, "u"))))),
				extension("551d1f", seq(seq(tlv(0xA0, tlv(0xA0, str(0x86, "http://c")))))),
				extension("2b06010505070101", seq(seq(bytesOf("06082b06010505073001"), str(0x86, "http://o")))))
		},
	} {
		p := ordinary()
		alter(&p)
		f.Add(p.der())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		facts, err := certificate.Parse(data)
		if took := time.Since(start); took > time.Second {
			t.Fatalf("took %v", took)
		}
		if err == nil {
			checkBounds(t, facts)
		}
		if err != nil && facts != nil {
			t.Fatal("facts beside an error")
		}
		if len(data) > certificate.LimitSize.Max {
			return // not even for crypto/x509
		}
		if c, refused := x509.ParseCertificate(data); refused == nil {
			checkAgreement(t, c, facts, err)
		}
	})
}

// checkBounds holds every text to what a property of a record may be.
func checkBounds(t *testing.T, f *certificate.Facts) {
	v := reflect.ValueOf(*f)
	for i := range v.NumField() {
		if v.Field(i).Kind() != reflect.String {
			continue
		}
		s, name := v.Field(i).String(), v.Type().Field(i).Name
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) || utf8.RuneCountInString(s) > certstate.MaxStringLength {
			t.Fatalf("%s cannot be stored: %q", name, s)
		}
	}
	if f.NotBefore.Year() > 9999 || f.NotAfter.Year() > 9999 {
		t.Fatalf("%v, %v", f.NotBefore, f.NotAfter)
	}
}

func checkAgreement(t *testing.T, c *x509.Certificate, f *certificate.Facts, err error) {
	if err != nil {
		if _, beyond := err.(*certificate.LimitError); !beyond { //nolint:errorlint // Parse returns it bare
			t.Fatalf("crypto/x509 accepts it: %v", err)
		}
		return
	}
	serial, _ := new(big.Int).SetString(f.Serial, 16)
	if serial == nil || serial.Cmp(c.SerialNumber) != 0 {
		t.Fatalf("serial %s, %x", f.Serial, c.SerialNumber)
	}
	if !f.NotBefore.Equal(c.NotBefore) || !f.NotAfter.Equal(c.NotAfter) {
		t.Fatalf("%v to %v, not %v to %v", f.NotBefore, f.NotAfter, c.NotBefore, c.NotAfter)
	}
	checkName(t, c.RawSubject, f.Subject)
	checkName(t, c.RawIssuer, f.Issuer)
	if slices.Contains(f.Oddities, certificate.ExtensionsInOldVersion) {
		return // crypto/x509 does not look at them
	}
	if got := hex.EncodeToString(c.SubjectKeyId); !strings.EqualFold(f.SubjectKeyIdentifier, got) {
		t.Fatalf("subject key identifier %s, not %s", f.SubjectKeyIdentifier, got)
	}
	if got := hex.EncodeToString(c.AuthorityKeyId); !strings.EqualFold(f.AuthorityKeyIdentifier, got) {
		t.Fatalf("authority key identifier %s, not %s", f.AuthorityKeyIdentifier, got)
	}
	if f.IsCA != c.IsCA {
		t.Fatalf("CA %v, not %v", f.IsCA, c.IsCA)
	}
}

// checkName counts the attributes: each is one "=" that is not escaped, after the
// beginning or a separator.
func checkName(t *testing.T, raw []byte, name string) {
	var rdns pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &rdns); err != nil || len(rest) > 0 {
		return
	}
	want := 0
	for _, rdn := range rdns {
		want += len(rdn)
	}
	got, begins := 0, true
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++
		case ',', '+':
			begins = true
		case '=':
			if begins {
				got++
			}
			begins = false
		}
	}
	if got != want {
		t.Fatalf("%q has %d attributes, not %d", name, got, want)
	}
}

// Every octet of a certificate, changed in every way that matters to ASN.1, and
// every beginning of it: fuzzing by rote, in less than a second.
func TestEveryOctet(t *testing.T) {
	p := ordinary()
	p.extensions = extensions(
		extension("551d11", seq(str(0x82, "a"), tlv(0xA4, seq(rdn(cn, str(12, "d")))), tlv(0xA0, oid123, tlv(0xA0, str(12, "u"))))),
		extension("551d1f", seq(seq(tlv(0xA0, tlv(0xA0, str(0x86, "http://c")))))))
	whole := p.der()
	read := 0
	for i := range whole {
		for _, o := range []byte{0, 1, 0x1F, 0x30, 0x7F, 0x80, 0x81, 0x84, 0xA0, 0xBF, 0xFF, whole[i] + 1, whole[i] - 1, whole[i] ^ 0x20} {
			data := append([]byte(nil), whole...)
			data[i] = o
			if facts, err := certificate.Parse(data); err == nil {
				read++
				checkBounds(t, facts)
			}
		}
		if _, err := certificate.Parse(whole[:i]); err == nil {
			t.Errorf("%d octets of %d are a certificate", i, len(whole))
		}
	}
	if read < len(whole) {
		t.Errorf("only %d were read", read)
	}
}
