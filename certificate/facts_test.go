package certificate_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"certstate/certificate"
	"certstate/certificate/der"
)

func TestParse(t *testing.T) {
	f := parse(t, issue(t, &x509.Certificate{
		SerialNumber: big.NewInt(0x0A0B),
		Subject:      pkix.Name{CommonName: "Laptop, 1", Organization: []string{"Fleet"}},
		NotBefore:    time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), NotAfter: time.Date(2057, 1, 2, 3, 4, 5, 0, time.UTC),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 2, 3}},
		DNSNames: []string{"host.example"}, IPAddresses: []net.IP{{10, 0, 0, 1}, net.ParseIP("2001:db8::1")}, EmailAddresses: []string{"a@b"},
		URIs:                  []*url.URL{{Scheme: "urn", Opaque: "a,b"}},
		SubjectKeyId:          []byte{0xAB, 1},
		CRLDistributionPoints: []string{"http://c/1", "http://c/2"}, OCSPServer: []string{"http://o"}, IssuingCertificateURL: []string{"http://i"},
		BasicConstraintsValid: true, IsCA: true,
	}))
	for _, tc := range [][2]string{
		{f.Subject, `CN=Laptop\, 1,O=Fleet`},
		{f.Serial, "0A0B"},
		{f.NotAfter.Format(time.RFC3339), "2057-01-02T03:04:05Z"},
		{fmt.Sprint(f.KeyUsages, f.HasKeyUsages, f.IsCA), "160 true true"},
		{f.ExtendedKeyUsages, "Client Authentication (1.3.6.1.5.5.7.3.2), 1.2.3"},
		{f.SubjectAlternativeNames, `DNS:host.example, email:a@b, IP Address:10.0.0.1, IP Address:2001:db8::1, URI:urn:a\,b`},
		{f.SubjectKeyIdentifier, "AB01"},
		{f.KeyType, "EC P-256"},
		{fmt.Sprint(f.KeySize), "256"},
		{f.SignatureAlgorithm, "ecdsa-with-SHA256"},
		{f.CRLLocations, "http://c/1 http://c/2"},
		{f.OCSPLocations, "http://o"},
		{f.IssuerLocations, "http://i"},
		{fmt.Sprint(f.Oddities), "[]"},
	} {
		if tc[0] != tc[1] {
			t.Errorf("%q, want %q", tc[0], tc[1])
		}
	}
	if len(f.Thumbprint) != 40 || len(f.ThumbprintSHA256) != 64 || strings.ToLower(f.Thumbprint) == f.Thumbprint {
		t.Errorf("thumbprints %s, %s", f.Thumbprint, f.ThumbprintSHA256)
	}
}

func issue(t *testing.T, template *x509.Certificate) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// The layout is that of .NET's X509KeyUsageFlags.
func TestKeyUsages(t *testing.T) {
	for bits, want := range map[string]int32{
		"03020780": 0x80, "03020640": 0x40, "03020520": 0x20, "03020410": 0x10, "03020308": 0x08, "03020204": 0x04,
		"03020102": 0x02, "03020001": 0x01, "0303070080": 0x8000, "0303070780": 0x8007, "030100": 0, "030207ff": 0x80,
	} {
		if f := parse(t, with("551d0f", bytesOf(bits))); f.KeyUsages != want || !f.HasKeyUsages {
			t.Errorf("%s: %#x, want %#x", bits, f.KeyUsages, want)
		}
	}
	if f := parse(t, ordinary().der()); f.HasKeyUsages {
		t.Error("usages without the extension")
	}
}

// Each case is a certificate that crypto/x509 refuses or that stretches the
// standard, what becomes of it, and what is noted.
func TestOddities(t *testing.T) {
	cases := []struct {
		name  string
		alter func(*parts)
		got   func(*certificate.Facts) string
		want  string
		odd   []certificate.Oddity
	}{
		{"negative serial", func(p *parts) { p.serial = bytesOf("0202f5f5") }, serial, "-0A0B", odd(certificate.NegativeSerial)},
		{"most negative serial", func(p *parts) { p.serial = bytesOf("020180") }, serial, "-80", odd(certificate.NegativeSerial)},
		{"zero serial", func(p *parts) { p.serial = bytesOf("020100") }, serial, "00", odd(certificate.ZeroSerial)},
		{"padded serial", func(p *parts) { p.serial = bytesOf("0203000a0b") }, serial, "0A0B", odd(certificate.PaddedSerial)},
		{"long serial", func(p *parts) { p.serial = tlv(2, slices.Repeat([]byte{1}, 21)) }, serial, strings.Repeat("01", 21), odd(certificate.LongSerial)},
		{"serial of 20 octets with a sign octet", func(p *parts) { p.serial = tlv(2, []byte{0}, slices.Repeat([]byte{0xFF}, 20)) }, serial, strings.Repeat("FF", 20), odd(certificate.LongSerial)},
		{"version 1", func(p *parts) { p.version = nil }, serial, "0A0B", nil},
		{"version 9", func(p *parts) { p.version = bytesOf("a003020108") }, serial, "0A0B", odd(certificate.UnknownVersion)},
		{"version 1 with extensions", func(p *parts) {
			p.version, p.extensions = nil, extensions(extension("551d0e", bytesOf("0401ab")))
		}, func(f *certificate.Facts) string { return f.SubjectKeyIdentifier }, "AB", odd(certificate.ExtensionsInOldVersion)},
		{"trailing data", func(p *parts) { p.after = []byte{1, 2} }, serial, "0A0B", odd(certificate.TrailingData)},
		{"long form of length", func(p *parts) { p.issuer = bytesOf("30810d310b3009060355040313024341") }, issuer, "CN=CA", odd(certificate.NotDER)},
		{"indefinite length", func(p *parts) { p.issuer = bytesOf("3080310b30090603550403130243410000") }, issuer, "CN=CA", odd(certificate.NotDER)},
		{"no issuer", func(p *parts) { p.issuer = seq() }, issuer, "", odd(certificate.EmptyIssuer)},
		{"T61String", subjectOf(cn, str(20, "M\xfcller")), subject, "CN=Müller", nil},
		{"BMPString", subjectOf(cn, str(30, "\x00M\x00\xfc\x27\x14")), subject, "CN=Mü✔", nil},
		{"BMPString cut off", subjectOf(cn, str(30, "\x00M\x00")), subject, "CN=#1E03004D00", odd(certificate.BadStringEncoding)},
		{"UniversalString", subjectOf(cn, str(28, "\x00\x01\xf6\x00")), subject, "CN=😀", nil},
		{"PrintableString that is not", subjectOf(cn, str(19, "a*b@c")), subject, "CN=a*b@c", odd(certificate.BadStringEncoding)},
		{"PrintableString in UTF-8", subjectOf(cn, str(19, "Müller")), subject, "CN=Müller", odd(certificate.BadStringEncoding)},
		{"PrintableString in Latin-1", subjectOf(cn, str(19, "M\xfcller")), subject, "CN=Müller", odd(certificate.BadStringEncoding)},
		{"UTF8String that is not", subjectOf(cn, str(12, "M\xfcller")), subject, "CN=#0C064DFC6C6C6572", odd(certificate.BadStringEncoding)},
		{"NUL and controls", subjectOf(cn, str(12, "a\x00b\n\x7f")), subject, `CN=a\00b\0A\7F`, nil},
		{"spaces and signs", subjectOf(cn, str(12, ` #a"+;<>\ `)), subject, `CN=\ #a\"\+\;\<\>\\\ `, nil},
		{"leading sharp", subjectOf(cn, str(12, "#a")), subject, `CN=\#a`, nil},
		{"unknown attribute", subjectOf(oid123, str(12, "a")), subject, "1.2.3=#0C0161", nil},
		{"number as value", subjectOf(cn, bytesOf("020105")), subject, "CN=#020105", nil},
		{"several values", func(p *parts) {
			p.subject = seq(rdn(org, str(12, "O")), set(seq(cn, str(12, "a")), seq(oid123, str(12, "b"))))
		}, subject, "CN=a+1.2.3=#0C0162,O=O", nil},
		{"name broken in the middle", func(p *parts) { p.subject = seq(rdn(org, str(12, "O")), []byte{0x31, 5, 1}) }, subject, "O=O", odd(certificate.BadName)},
		{"attribute without value", func(p *parts) { p.subject = seq(set(seq(cn))) }, subject, "", odd(certificate.BadName)},
		{"no seconds", validityOf(str(23, "2601020304Z"), str(23, "270102030405Z")), times, "2026-01-02T03:04:00Z 2027-01-02T03:04:05Z", odd(certificate.UnusualTime)},
		{"offset", validityOf(str(23, "260102030405+0130"), str(23, "270102030405Z")), times, "2026-01-02T01:34:05Z 2027-01-02T03:04:05Z", odd(certificate.UnusualTime)},
		{"fraction", validityOf(str(24, "20260102030405.123Z"), str(23, "270102030405Z")), times, "2026-01-02T03:04:05Z 2027-01-02T03:04:05Z", odd(certificate.UnusualTime)},
		{"two digits", validityOf(str(23, "500102030405Z"), str(23, "490102030405Z")), times, "1950-01-02T03:04:05Z 2049-01-02T03:04:05Z", nil},
		{"never ends", validityOf(str(23, "260102030405Z"), str(24, "99991231235959Z")), times, "2026-01-02T03:04:05Z 9999-12-31T23:59:59Z", nil},
		{"past four digits", validityOf(str(23, "260102030405Z"), str(24, "99991231235959-0100")), times, "2026-01-02T03:04:05Z 0001-01-01T00:00:00Z", odd(certificate.BadTime)},
		{"30 February", validityOf(str(23, "260230030405Z"), str(23, "270102030405Z")), times, "0001-01-01T00:00:00Z 2027-01-02T03:04:05Z", odd(certificate.BadTime)},
		{"no times", func(p *parts) { p.validity = seq() }, times, "0001-01-01T00:00:00Z 0001-01-01T00:00:00Z", odd(certificate.BadTime)},
		{"ends before it begins", validityOf(str(23, "270102030405Z"), str(23, "260102030405Z")), times, "2027-01-02T03:04:05Z 2026-01-02T03:04:05Z", odd(certificate.NotAfterBeforeNotBefore)},
		{"two algorithms", func(p *parts) { p.inner = seq(oid123) }, signature, "sha256WithRSAEncryption", odd(certificate.SignatureMismatch)},
		{"unknown signature", func(p *parts) { p.inner, p.outer = seq(oid123), seq(oid123) }, signature, "1.2.3", odd(certificate.UnknownSignatureAlgorithm)},
		{"ML-DSA-65", func(p *parts) {
			id := seq(bytesOf("0609608648016503040312"))
			p.inner, p.outer, p.key = id, id, seq(id, someSig)
		}, func(f *certificate.Facts) string { return f.SignatureAlgorithm + " " + key(f) }, "ML-DSA-65 ML-DSA-65 0", nil},
		{"unknown key", func(p *parts) { p.key = seq(seq(oid123), someSig) }, key, "1.2.3 0", odd(certificate.UnknownKeyAlgorithm)},
		{"unknown curve", func(p *parts) { p.key = seq(seq(bytesOf("06072a8648ce3d0201"), oid123), someSig) }, key, "EC 1.2.3 0", odd(certificate.UnknownCurve)},
		{"explicit curve", func(p *parts) {
			parameters := seq(bytesOf("020101"), seq(), seq(), tlv(4), tlv(2, []byte{0}, slices.Repeat([]byte{0xFF}, 32)))
			p.key = seq(seq(bytesOf("06072a8648ce3d0201"), parameters), someSig)
		}, key, "EC explicit 256", odd(certificate.ExplicitCurve)},
		{"implicit curve", func(p *parts) { p.key = seq(seq(bytesOf("06072a8648ce3d0201"), bytesOf("0500")), someSig) }, key, "EC 0", odd(certificate.BadKey)},
		{"RSA", func(p *parts) { p.key = rsaKey(2048) }, key, "RSA 2048", nil},
		{"RSA without number", func(p *parts) { p.key = seq(rsaOID, someSig) }, key, "RSA 0", odd(certificate.BadKey)},
		{"extension twice", func(p *parts) {
			p.extensions = extensions(extension("551d0e", bytesOf("0401ab")), extension("551d0e", bytesOf("0401cd")))
		}, func(f *certificate.Facts) string { return f.SubjectKeyIdentifier }, "AB", odd(certificate.DuplicateExtension)},
		{"extension broken", func(p *parts) { p.extensions = extensions(extension("551d0f", bytesOf("0401ab"))) }, serial, "0A0B", odd(certificate.BadExtension)},
		{"an identifier of parts", func(p *parts) { p.extensions = extensions(extension("551d23", bytesOf("3005a0030401ab"))) },
			func(f *certificate.Facts) string { return f.AuthorityKeyIdentifier }, "", odd(certificate.BadExtension)},
		{"extensions in no parts", func(p *parts) {
			p.extensions = tlv(0x83, extensions(extension("551d0e", bytesOf("0401ab")))[2:])
		}, func(f *certificate.Facts) string { return f.SubjectKeyIdentifier }, "", odd(certificate.TrailingData)},
		{"a BOOLEAN of parts", func(p *parts) { p.extensions = extensions(extension("551d13", bytesOf("3003210130"))) }, authority, "false", odd(certificate.BadExtension)},
		{"unique identifiers", func(p *parts) { p.unique = bytesOf("81020001820200 01") }, serial, "0A0B", nil},
	}
	for _, tc := range cases {
		p := ordinary()
		tc.alter(&p)
		f := parse(t, p.der())
		if got := tc.got(f); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
		if !slices.Equal(f.Oddities, tc.odd) {
			t.Errorf("%s: %q, want %q", tc.name, f.Oddities, tc.odd)
		}
	}
}

func odd(o ...certificate.Oddity) []certificate.Oddity { return o }
func serial(f *certificate.Facts) string               { return f.Serial }
func authority(f *certificate.Facts) string            { return strconv.FormatBool(f.IsCA) }
func issuer(f *certificate.Facts) string               { return f.Issuer }
func subject(f *certificate.Facts) string              { return f.Subject }
func signature(f *certificate.Facts) string            { return f.SignatureAlgorithm }
func key(f *certificate.Facts) string                  { return fmt.Sprint(f.KeyType, " ", f.KeySize) }
func times(f *certificate.Facts) string {
	return f.NotBefore.Format(time.RFC3339) + " " + f.NotAfter.Format(time.RFC3339)
}

func subjectOf(oid, value []byte) func(*parts) {
	return func(p *parts) { p.subject = seq(rdn(oid, value)) }
}

func validityOf(from, to []byte) func(*parts) {
	return func(p *parts) { p.validity = seq(from, to) }
}

func rsaKey(bits int) []byte {
	modulus := slices.Repeat([]byte{0xFF}, bits/8)
	return seq(rsaOID, tlv(3, []byte{0}, seq(tlv(2, []byte{0}, modulus), bytesOf("0203010001"))))
}

func TestAlternativeNames(t *testing.T) {
	upn := bytesOf("060a2b060104018237140203")
	for _, tc := range []struct {
		name []byte
		want string
		odd  certificate.Oddity
	}{
		{str(0x82, "a, DNS:b"), `DNS:a\, DNS:b`, ""},
		{str(0x82, "a\x00b"), `DNS:a\00b`, ""},
		{str(0x82, "\xfc"), `DNS:ü`, certificate.BadStringEncoding},
		{str(0x86, `http://a\b`), `URI:http://a\\b`, ""},
		{str(0x81, "#00"), `email:\#00`, ""},
		{tlv(0xA4, seq(rdn(org, str(12, "O")), rdn(cn, str(12, "a,b")))), `DirName:CN=a\\\,b\,O=O`, ""},
		{str(0x87, "\x0a\x00\x00"), "IP Address:#0A0000", certificate.BadAlternativeName},
		{tlv(0xA0, upn, tlv(0xA0, str(12, "user@x"))), "otherName UPN:user@x", ""},
		{tlv(0xA0, oid123, tlv(0xA0, str(12, "a"))), "otherName 1.2.3:#0C0161", ""},
		{tlv(0xA0, oid123), "otherName 1.2.3:#", certificate.BadAlternativeName},
		{bytesOf("88022a03"), "Registered ID:1.2.3", ""},
		{bytesOf("a3020500"), "X400Name:#0500", ""},
		{bytesOf("0500"), "Unknown:#0500", certificate.BadAlternativeName},
	} {
		f := parse(t, with("551d11", seq(tc.name)))
		if f.SubjectAlternativeNames != tc.want {
			t.Errorf("%s, want %s", f.SubjectAlternativeNames, tc.want)
		}
		if (tc.odd != "") != slices.Contains(f.Oddities, tc.odd) {
			t.Errorf("%s: noted %q", tc.want, f.Oddities)
		}
	}
}

func TestURLsHaveNoSpaces(t *testing.T) {
	point := func(url string) []byte { return seq(tlv(0xA0, tlv(0xA0, str(0x86, url)))) }
	f := parse(t, with("551d1f", seq(point("ldap:///CN=a b"), point("http://c/1"))))
	if f.CRLLocations != "ldap:///CN=a%20b http://c/1" || !slices.Contains(f.Oddities, certificate.BadAlternativeName) {
		t.Errorf("%s, %q", f.CRLLocations, f.Oddities)
	}
}

// A list that a property cannot hold ends after a whole item.
func TestListsAreCut(t *testing.T) {
	for size, want := range map[int]int{100: 309, 20: 1000} { // 32,768 characters, and 1,000 names
		names := bytes.Repeat(str(0x82, strings.Repeat("a", size)), 1200/(1+size/50))
		f := parse(t, with("551d11", seq(names, str(0x82, "b"))))
		if strings.Contains(f.SubjectAlternativeNames, "DNS:b") {
			t.Error("a name after the cut took the place of one before it")
		}
		if got := strings.Count(f.SubjectAlternativeNames, "DNS:"); got != want || !slices.Contains(f.Oddities, certificate.ListCut) {
			t.Errorf("%d names of %d letters, want %d; %q", got, size, want, f.Oddities)
		}
	}
}

func TestLimits(t *testing.T) {
	many := make([][]byte, 65)
	for i := range many {
		many[i] = extension(fmt.Sprintf("2a03%02x", i), bytesOf("0500"))
	}
	for _, tc := range []struct {
		limit *certificate.Limit
		alter func(*parts)
	}{
		{&certificate.LimitSize, func(p *parts) { p.signature = tlv(3, make([]byte, 64<<10)) }},
		{&certificate.LimitSerial, func(p *parts) { p.serial = tlv(2, slices.Repeat([]byte{1}, 65)) }},
		{&certificate.LimitName, subjectOf(cn, str(12, strings.Repeat("a", 5000)))},
		{&certificate.LimitExtensions, func(p *parts) { p.extensions = extensions(many...) }},
		{&certificate.LimitRSA, func(p *parts) { p.key = rsaKey(16384 + 8) }},
	} {
		p := ordinary()
		tc.alter(&p)
		_, err := certificate.Parse(p.der())
		var beyond *certificate.LimitError
		if !errors.As(err, &beyond) || beyond.Limit != tc.limit || beyond.Got <= tc.limit.Max {
			t.Errorf("%s: %v", tc.limit.Name, err)
		}
	}
	p := ordinary()
	p.key = rsaKey(16384)
	parse(t, p.der())
}

func TestNotACertificate(t *testing.T) {
	whole := ordinary().der()
	short := ordinary()
	short.signature = nil
	for _, tc := range []struct {
		data   []byte
		offset int
		reason string
	}{
		{nil, 0, "expected SEQUENCE, found the end"},
		{[]byte("hello"), 0, "expected SEQUENCE"},
		{whole[:len(whole)-1], 0, "claims"},
		{seq(), 2, "expected SEQUENCE, found the end"},
		{seq(seq(bytesOf("020100"), seq(), bytesOf("0500"))), 9, "expected SEQUENCE, found NULL"},
		{short.der(), 157, "expected BIT STRING, found the end"},
	} {
		_, err := certificate.Parse(tc.data)
		var where *der.Error
		if !errors.Is(err, certificate.ErrNotCertificate) || !errors.As(err, &where) || !strings.Contains(err.Error(), tc.reason) {
			t.Errorf("%x: %v", tc.data, err)
			continue
		}
		if where.Offset != tc.offset {
			t.Errorf("offset %d, want %d: %v", where.Offset, tc.offset, err)
		}
	}
}

// Each oddity and each limit says what it means, and so does the document.
func TestTablesAreComplete(t *testing.T) {
	b, err := os.ReadFile("../docs/certificates.md")
	if err != nil {
		t.Fatal(err)
	}
	document := string(b)
	for _, o := range certificate.Oddities {
		if row := fmt.Sprintf("| `%s` | %s |\n", o.Oddity, o.Doc); o.Oddity == "" || o.Doc == "" || !strings.Contains(document, row) {
			t.Errorf("%q: %s", o.Oddity, o.Doc)
		}
	}
	for _, l := range certificate.Limits {
		if row := fmt.Sprintf("| %s | %d %s |", l.Name, l.Max, l.Unit); l.Reason == "" || !strings.Contains(document, row) {
			t.Errorf("%+v", l)
		}
	}
}
