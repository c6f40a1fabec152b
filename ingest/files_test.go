package ingest_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"certstate/certificate"
	"certstate/certificate/der"
	"certstate/ingest"
)

// identity is a certificate with its key.
type identity struct {
	der []byte
	key *ecdsa.PrivateKey
}

func newIdentity(t testing.TB, name string) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return identity{der, key}
}

func armour(label string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// describe writes what was found: the place and common name of each certificate,
// the fault of what is none.
func describe(found []ingest.Found) string {
	var s []string
	for _, f := range found {
		text := fmt.Sprint(f.Err)
		if f.Err == nil {
			facts, err := certificate.Parse(f.DER)
			if text = fmt.Sprint(err); err == nil {
				text = facts.Subject
			}
		}
		s = append(s, f.String()+": "+text)
	}
	return strings.Join(s, "\n")
}

func TestReadCertificates(t *testing.T) {
	a, b := newIdentity(t, "a"), newIdentity(t, "b")
	pemA, pemB := armour("CERTIFICATE", a.der), armour("CERTIFICATE", b.der)
	key := ingest.ErrPrivateKey.Error()
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"DER":                        {a.der, "certificate 1, octet 0: CN=a"},
		"DER and a line end":         {join(a.der, []byte("\r\n")), "certificate 1, octet 0: CN=a"},
		"several in DER":             {join(a.der, b.der), fmt.Sprintf("certificate 1, octet 0: CN=a\ncertificate 2, octet %d: CN=b", len(a.der))},
		"DER and something":          {join(a.der, []byte("hello")), fmt.Sprintf("certificate 1, octet 0: CN=a\ncertificate 2, octet %d: octets that begin no certificate", len(a.der))},
		"DER cut off":                {a.der[:100], fmt.Sprintf("certificate 1, octet 0: at octet 0: SEQUENCE claims %d octets, %d are left", len(a.der)-header(a.der), 100-header(a.der))},
		"PEM":                        {pemA, "block 1, line 1: CN=a"},
		"bundle with text":           {join([]byte("\xEF\xBB\xBFsubject=a\n"), pemA, []byte("Bag Attributes\n  localKeyID: 01\n"), pemB), fmt.Sprintf("block 1, line 2: CN=a\nblock 2, line %d: CN=b", 4+lines(pemA))},
		"PEM with CRLF":              {bytes.ReplaceAll(join(pemA, pemB), []byte("\n"), []byte("\r\n")), fmt.Sprintf("block 1, line 1: CN=a\nblock 2, line %d: CN=b", 1+lines(pemA))},
		"PEM on one line":            {bytes.ReplaceAll(pemA, []byte("\n"), []byte(" ")), "block 1, line 1: CN=a"},
		"PEM in UTF-16":              {utf16Of(string(pemA)), "block 1, line 1: CN=a"},
		"PEM with headers":           {bytes.Replace(pemA, []byte("-----\n"), []byte("-----\nX-Of: a\n\n"), 1), "block 1, line 1: CN=a"},
		"OpenSSL's trusted form":     {armour("TRUSTED CERTIFICATE", join(a.der, []byte{0x30, 0})), "block 1, line 1: CN=a"},
		"old label":                  {armour("X509 CERTIFICATE", a.der), "block 1, line 1: CN=a"},
		"base64":                     {[]byte(base64.StdEncoding.EncodeToString(a.der) + "\n"), "certificate 1, octet 0: CN=a"},
		"PEM without end":            {pemA[:len(pemA)-10], "block 1, line 1: a PEM block that is not followed by its end line"},
		"PEM without end, and more":  {join(pemA[:100], []byte("\n"), pemB), "block 1, line 1: a PEM block that is not followed by its end line\nblock 2, line 4: CN=b"},
		"PEM of no base64":           {[]byte("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"), "block 1, line 1: a PEM block whose body is not base64"},
		"PEM of other octets":        {armour("CERTIFICATE", []byte("hello")), "block 1, line 1: a PEM block of other octets, not a certificate"},
		"certificate and key":        {join(pemA, armour("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(a.key)))), fmt.Sprintf("block 1, line 1: CN=a\nblock 2, line %d: %s", 1+lines(pemA), key)},
		"PKCS#8":                     {must(x509.MarshalPKCS8PrivateKey(a.key)), "certificate 1, octet 0: " + key},
		"EC key":                     {must(x509.MarshalECPrivateKey(a.key)), "certificate 1, octet 0: " + key},
		"RSA key":                    {x509.MarshalPKCS1PrivateKey(must(rsa.GenerateKey(rand.Reader, 1024))), "certificate 1, octet 0: " + key},
		"key under a false label":    {armour("CERTIFICATE", must(x509.MarshalPKCS8PrivateKey(a.key))), "block 1, line 1: " + key},
		"key in base64":              {[]byte(base64.StdEncoding.EncodeToString(must(x509.MarshalPKCS8PrivateKey(a.key)))), "certificate 1, octet 0: " + key},
		"key after a certificate":    {join(a.der, must(x509.MarshalPKCS8PrivateKey(a.key))), fmt.Sprintf("certificate 1, octet 0: CN=a\ncertificate 2, octet %d: %s", len(a.der), key)},
		"OpenSSH key":                {[]byte("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n"), "block 1, line 1: " + key},
		"encrypted key, cut off":     {[]byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nb3Blbn"), "block 1, line 1: " + key},
		"JWK":                        {[]byte(`{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"}`), "certificate 1, octet 0: " + key},
		"PuTTY key":                  {[]byte("PuTTY-User-Key-File-3: ssh-ed25519\n"), "certificate 1, octet 0: " + key},
		"public JWK":                 {[]byte(`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`), "certificate 1, octet 0: JSON, not a certificate"},
		"request":                    {must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, a.key)), "certificate 1, octet 0: a certificate request, not a certificate"},
		"request in PEM":             {armour("NEW CERTIFICATE REQUEST", nil), "block 1, line 1: a certificate request, not a certificate"},
		"revocation list":            {must(x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1)}, &x509.Certificate{KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: []byte{1}}, a.key)), "certificate 1, octet 0: a certificate revocation list, not a certificate"},
		"public key":                 {must(x509.MarshalPKIXPublicKey(a.key.Public())), "certificate 1, octet 0: a public key, not a certificate"},
		"RSA public key":             {x509.MarshalPKCS1PublicKey(&must(rsa.GenerateKey(rand.Reader, 1024)).PublicKey), "certificate 1, octet 0: a public key, not a certificate"},
		"another structure":          {[]byte{0x30, 3, 1, 1, 0}, "certificate 1, octet 0: a structure of another kind, not a certificate"},
		"zip":                        {[]byte("PK\x03\x04"), "certificate 1, octet 0: a zip archive, not a certificate"},
		"unknown label":              {armour("SOMETHING", a.der), "block 1, line 1: a PEM block of a kind that is not known, not a certificate"},
		"begin line that never ends": {[]byte("-----BEGIN CERTIFICATE\nAAAA"), "block 1, line 1: a line that begins a PEM block but does not end with -----"},
	} {
		found, err := ingest.ReadCertificates(tc.data, "")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := describe(found); got != tc.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, tc.want)
		}
	}
}

// header is the length of the header of DER under 64 KiB.
func header(der []byte) int { return 2 + int(der[1]&0x7F) }

func lines(b []byte) int { return bytes.Count(b, []byte("\n")) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func utf16Of(s string) []byte {
	b := []byte{0xFF, 0xFE}
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

func TestFilesWithoutCertificates(t *testing.T) {
	for _, data := range []string{"", "\n", "hello", "\xFF\xFE", "\x00"} {
		if found, err := ingest.ReadCertificates([]byte(data), ""); !errors.Is(err, ingest.ErrNoCertificates) || len(found) > 0 {
			t.Errorf("%q: %v, %v", data, found, err)
		}
	}
}

func TestFileLimits(t *testing.T) {
	a := newIdentity(t, "a")
	for _, tc := range []struct {
		data  []byte
		limit *certificate.Limit
	}{
		{make([]byte, ingest.LimitFile.Max+1), &ingest.LimitFile},
		{bytes.Repeat(a.der, ingest.LimitCertificates.Max+1), &ingest.LimitCertificates},
	} {
		_, err := ingest.ReadCertificates(tc.data, "")
		var beyond *certificate.LimitError
		if !errors.As(err, &beyond) || beyond.Limit != tc.limit {
			t.Errorf("%v", err)
		}
	}
}

// A file that is all beginnings takes time in proportion to its size.
func TestManyBeginnings(t *testing.T) {
	data := bytes.Repeat([]byte("-----BEGIN A-----\n"), ingest.LimitCertificates.Max)
	start := time.Now()
	if found, err := ingest.ReadCertificates(data, ""); err != nil || len(found) != ingest.LimitCertificates.Max {
		t.Errorf("%d found, %v", len(found), err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// openssl runs the program in a new directory that holds a.pem, b.pem and
// key.pem, and returns the file out.
func openssl(t *testing.T, a, b identity, args string) []byte {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"a.pem": armour("CERTIFICATE", a.der), "b.pem": armour("CERTIFICATE", b.der),
		"key.pem": armour("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(a.key))),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("openssl", strings.Fields(args)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl %s: %v\n%s", args, err, out)
	}
	return must(os.ReadFile(filepath.Join(dir, "out")))
}

func TestPKCS7(t *testing.T) {
	a, b := newIdentity(t, "a"), newIdentity(t, "b")
	for args, want := range map[string]string{
		"crl2pkcs7 -nocrl -certfile a.pem -certfile b.pem -outform DER -out out":                   "certificate 1, octet 0: CN=a\ncertificate 2, octet 0: CN=b",
		"crl2pkcs7 -nocrl -certfile a.pem -certfile b.pem -out out":                                "block 1, line 1: CN=a\nblock 1, line 1, certificate 2: CN=b",
		"crl2pkcs7 -nocrl -outform DER -out out":                                                   "certificate 1, octet 0: PKCS#7 without any certificates, not a certificate",
		"cms -sign -in a.pem -signer a.pem -inkey key.pem -nodetach -outform DER -out out":         "certificate 1, octet 0: CN=a",
		"cms -sign -stream -in a.pem -signer a.pem -inkey key.pem -nodetach -outform DER -out out": "certificate 1, octet 0: CN=a", // indefinite lengths
	} {
		data := openssl(t, a, b, args)
		if strings.Contains(args, "-stream") != bytes.HasPrefix(data, []byte{0x30, 0x80}) {
			t.Errorf("%s: %x", args, data[:2])
		}
		found, err := ingest.ReadCertificates(data, "")
		if got := describe(found); got != want || err != nil {
			t.Errorf("%s: %v\n%s\nwant\n%s", args, err, got, want)
		}
	}
}

func TestPKCS12(t *testing.T) {
	a, b := newIdentity(t, "a"), newIdentity(t, "b")
	export := "pkcs12 -export -in a.pem -inkey key.pem -certfile b.pem -name x -out out -passout pass:"
	both := "certificate 1, octet 0: CN=a\ncertificate 2, octet 0: CN=b"
	for _, tc := range []struct{ args, password string }{
		{export + "pässwörd", "pässwörd"},
		{export, ""},
		{export + "x -legacy", "x"}, // RC2-40
		{export + " -legacy", ""},
		{export + "x -legacy -certpbe PBE-SHA1-RC2-128", "x"},
		{export + "pässwörd -legacy -certpbe PBE-SHA1-3DES", "pässwörd"},
		{export + "x -legacy -certpbe PBE-SHA1-2DES", "x"},
		{export + "x -certpbe AES-128-CBC -macalg SHA512", "x"},
		{export + "x -certpbe AES-192-CBC -iter 10000", "x"},
		{export + "x -certpbe DES-EDE3-CBC", "x"},
		{export + "x -certpbe NONE -keypbe NONE -nomac", "x"},
		{export + "x -certpbe NONE -nomaciter -noiter", "other"}, // nothing to open
	} {
		data := openssl(t, a, b, tc.args)
		found, err := ingest.ReadCertificates(data, tc.password)
		if got := describe(found); got != both || err != nil {
			t.Errorf("%s: %v\n%s", tc.args, err, got)
		}
		for _, f := range found {
			if bytes.Contains(f.DER, must(a.key.Bytes())) {
				t.Errorf("%s: the key is among what was found", tc.args)
			}
		}
	}
	var beyond *certificate.LimitError
	data := openssl(t, a, b, export+"x -iter 70000 -nomaciter")
	data = bytes.ReplaceAll(data, []byte{2, 3, 70000 >> 16, 70000 >> 8 & 0xFF, 70000 & 0xFF}, []byte{2, 3, 0x7F, 0, 0})
	if _, err := ingest.ReadCertificates(data, "x"); !errors.As(err, &beyond) || beyond.Limit != &ingest.LimitIterations {
		t.Errorf("8,323,072 rounds: %v", err)
	}
}

// A wrong key leaves padding that is right once in some 256 times.
func TestWrongPassword(t *testing.T) {
	for name, data := range testdata(t, "*.p12") {
		if name == "plain.p12" {
			continue
		}
		for i := range 500 {
			if found, err := ingest.ReadCertificates(data, fmt.Sprint(i)); !errors.Is(err, ingest.ErrPassword) || len(found) > 0 {
				t.Fatalf("%s, %d: %v, %v", name, i, found, err)
			}
		}
	}
}

// The rounds of key derivation are counted over the whole file.
func TestRoundsOfAllSafes(t *testing.T) {
	safes := bytes.Repeat(encryptedSafe(t, testdata(t, "aes256.p12")["aes256.p12"]), 3)
	content := tlv(0x04, tlv(0x30, safes))
	pfx := tlv(0x30, []byte{2, 1, 3}, tlv(0x30, []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"), tlv(0xA0, content)))
	most := ingest.LimitIterations.Max
	defer func() { ingest.LimitIterations.Max = most }()
	ingest.LimitIterations.Max = 3
	if found, err := ingest.ReadCertificates(pfx, "x"); err != nil || len(found) != 6 {
		t.Errorf("%d found, %v", len(found), err)
	}
	ingest.LimitIterations.Max = 2
	var beyond *certificate.LimitError
	if _, err := ingest.ReadCertificates(pfx, "x"); !errors.As(err, &beyond) || beyond.Got != 3 {
		t.Errorf("%v", err)
	}
}

// encryptedSafe is the first ContentInfo of a PKCS#12 file's safes.
func encryptedSafe(t *testing.T, pfx []byte) []byte {
	t.Helper()
	at := bytes.Index(pfx, []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x06")) // encryptedData
	for back := 2; back <= 4; back++ {
		r := der.New(pfx[at-back:])
		if e, err := r.Universal(der.Sequence); err == nil && bytes.HasPrefix(e.Body, pfx[at:at+11]) {
			return e.Raw
		}
	}
	t.Fatal("no encrypted safe")
	return nil
}

// tlv writes an element of under 64 KiB.
func tlv(tag byte, parts ...[]byte) []byte {
	body := join(parts...)
	return append([]byte{tag, 0x82, byte(len(body) >> 8), byte(len(body))}, body...)
}
