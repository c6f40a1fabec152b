package ingest_test

import (
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"certstate/certificate"
)

// objectNames maps OpenSSL's names of objects to their identifiers.
func objectNames(t *testing.T) map[string]string {
	out, err := exec.Command("openssl", "list", "-objects").Output()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, rest, found := strings.Cut(strings.TrimSpace(line), " = ")
		if !found {
			continue
		}
		long, oid, two := strings.Cut(rest, ", ")
		if !two {
			long, oid = name, rest
		}
		names[name], names[long] = oid, oid
	}
	return names
}

var (
	opensslKey     = regexp.MustCompile(`Public-Key: \((\d+) bit`)
	opensslCurve   = regexp.MustCompile(`(?m)^ +ASN1 OID: (\S+)`)
	opensslKeyKind = regexp.MustCompile(`(?m)^ +Public Key Algorithm: (.*)$`)
	opensslSig     = regexp.MustCompile(`(?m)^    Signature Algorithm: (.*?) *$`)
	opensslHeader  = regexp.MustCompile(`^            (\S.*?): ?(critical)?$`)
	opensslURI     = regexp.MustCompile(`(?m)^ +(?:Full Name:\n +)?URI:(.*)$`)
	opensslAccess  = regexp.MustCompile(`(?m)^ +(OCSP|CA Issuers) - URI:(.*)$`)
)

// askOpenSSL reads what openssl x509 prints; nil if it cannot read the
// certificate.
func askOpenSSL(t *testing.T, path string, names map[string]string) answers {
	out, err := exec.Command("openssl", "x509", "-inform", "DER", "-in", path, "-noout", "-serial", "-subject", "-issuer", "-dates",
		"-nameopt", "RFC2253,-esc_msb,utf8", "-dateopt", "iso_8601", "-fingerprint", "-sha1", "-text").Output()
	if err != nil {
		return nil
	}
	text := strings.ToValidUTF8(string(out), "\uFFFD")
	head, body, found := strings.Cut(text, "Certificate:\n")
	if !found {
		return nil
	}
	a := answers{}
	for line := range strings.Lines(head) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\n"), "=")
		switch name {
		case "serial", "subject", "issuer":
			a[name] = value
		case "notBefore", "notAfter":
			a[name] = opensslTime(value)
		case "sha1 Fingerprint":
			a["sha1"] = strings.ReplaceAll(value, ":", "")
		}
	}
	a.opensslKey(body)
	a.opensslExtensions(body, names)
	return a
}

func opensslTime(s string) string {
	t, err := time.Parse("2006-01-02 15:04:05Z", s)
	if err != nil {
		return "bad"
	}
	return t.Format(time.RFC3339)
}

func (a answers) opensslKey(body string) {
	if m := opensslSig.FindStringSubmatch(body); m != nil {
		a["signature"] = m[1]
	}
	kind := opensslKeyKind.FindStringSubmatch(body)
	if kind == nil {
		return
	}
	a["key"] = kind[1]
	if m := opensslCurve.FindStringSubmatch(body); m != nil {
		a["key"] += " " + m[1]
	}
	if m := opensslKey.FindStringSubmatch(body); m != nil {
		a["size"] = m[1]
	}
}

// opensslExtensions reads the extensions that are printed in words; a malformed
// one is printed in octets, and says nothing.
func (a answers) opensslExtensions(body string, names map[string]string) {
	_, list, found := strings.Cut(body, "        X509v3 extensions:\n")
	if !found {
		return
	}
	sections, name := map[string]string{}, ""
	for line := range strings.Lines(list) {
		if !strings.HasPrefix(line, "            ") {
			break
		}
		if m := opensslHeader.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			if name = m[1]; sections[name] != "" {
				name += " again"
			}
			continue
		}
		sections[name] += line
	}
	for name, read := range opensslReaders {
		if section, found := sections[name]; found {
			read(a, section, names)
		}
	}
}

var opensslReaders = map[string]func(a answers, section string, names map[string]string){
	"X509v3 Key Usage": func(a answers, s string, _ map[string]string) {
		a["keyUsage"] = usages(strings.Split(strings.TrimSpace(s), ", "), opensslUsages)
	},
	"X509v3 Extended Key Usage": func(a answers, s string, names map[string]string) {
		var oids []string
		for name := range strings.SplitSeq(strings.TrimSpace(s), ", ") {
			if oid, known := names[name]; known {
				name = oid
			}
			oids = append(oids, name)
		}
		a["extKeyUsage"] = strings.Join(oids, " ")
	},
	"X509v3 Subject Alternative Name": func(a answers, s string, _ map[string]string) {
		a["san"] = strings.TrimSuffix(strings.TrimPrefix(s, strings.Repeat(" ", 16)), "\n")
	},
	"X509v3 Subject Key Identifier": func(a answers, s string, _ map[string]string) {
		a["ski"] = strings.ReplaceAll(strings.TrimSpace(s), ":", "")
	},
	"X509v3 Authority Key Identifier": func(a answers, s string, _ map[string]string) {
		line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
		if strings.Contains(line, "DirName") || strings.Contains(line, "serial") {
			line = ""
		}
		a["aki"] = strings.ReplaceAll(strings.TrimPrefix(line, "keyid:"), ":", "")
	},
	"X509v3 Basic Constraints": func(a answers, s string, _ map[string]string) {
		a["ca"] = strconv.FormatBool(strings.Contains(s, "CA:TRUE"))
	},
	"X509v3 CRL Distribution Points": func(a answers, s string, _ map[string]string) {
		var urls []string
		for _, m := range opensslURI.FindAllStringSubmatch(s, -1) {
			urls = append(urls, m[1])
		}
		a["crl"] = strings.Join(urls, " ")
	},
	"Authority Information Access": func(a answers, s string, _ map[string]string) {
		urls := map[string][]string{}
		for _, m := range opensslAccess.FindAllStringSubmatch(s, -1) {
			urls[m[1]] = append(urls[m[1]], m[2])
		}
		a["ocsp"], a["issuers"] = strings.Join(urls["OCSP"], " "), strings.Join(urls["CA Issuers"], " ")
	},
}

var opensslUsages = []string{"Digital Signature", "Non Repudiation", "Key Encipherment", "Data Encipherment", "Key Agreement",
	"Certificate Sign", "CRL Sign", "Encipher Only", "Decipher Only"}

// usages writes names of key usages, in the order of their bits, as .NET's
// number.
func usages(list, order []string) string {
	n := 0
	for _, name := range list {
		switch i := slices.Index(order, name); i {
		case -1:
			return strings.Join(list, ", ")
		case 8:
			n |= 0x8000
		default:
			n |= 0x80 >> i
		}
	}
	return strconv.Itoa(n)
}

// forOpenSSL writes the facts as OpenSSL prints them.
func forOpenSSL(f *certificate.Facts) answers {
	a := shared(f)
	a["key"] = opensslKeyName(f.KeyType)
	a["san"] = f.SubjectAlternativeNames
	return a
}

// shared are the facts that both programs can be held to.
func shared(f *certificate.Facts) answers {
	return answers{
		"serial": f.Serial, "subject": f.Subject, "issuer": f.Issuer,
		"notBefore": instant(f.NotBefore), "notAfter": instant(f.NotAfter),
		"sha1": f.Thumbprint, "sha256": f.ThumbprintSHA256, "signature": f.SignatureAlgorithm,
		"size": strconv.Itoa(f.KeySize), "keyUsage": strconv.Itoa(int(f.KeyUsages)),
		"extKeyUsage": strings.Join(purposeIDs(f.ExtendedKeyUsages), " "),
		"ski":         f.SubjectKeyIdentifier, "aki": f.AuthorityKeyIdentifier, "ca": strconv.FormatBool(f.IsCA),
		"crl": f.CRLLocations, "ocsp": f.OCSPLocations, "issuers": f.IssuerLocations,
	}
}

func instant(t time.Time) string {
	if t.IsZero() {
		return "bad"
	}
	return t.Format(time.RFC3339)
}

var inParentheses = regexp.MustCompile(`\(([0-9.]+)\)$`)

func purposeIDs(list string) (oids []string) {
	for item := range strings.SplitSeq(list, ", ") {
		if m := inParentheses.FindStringSubmatch(item); m != nil {
			item = m[1]
		}
		oids = append(oids, item)
	}
	return oids
}

var (
	opensslKinds = map[string]string{
		"RSA": "rsaEncryption", "RSA-PSS": "rsassaPss", "RSA-OAEP": "rsaesOaep", "DSA": "dsaEncryption", "DH": "X9.42 DH", "Ed25519": "ED25519", "Ed448": "ED448",
		"EC": "id-ecPublicKey", "EC explicit": "id-ecPublicKey",
	}
	opensslCurves = map[string]string{"P-192": "prime192v1", "P-224": "secp224r1", "P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1"}
)

func opensslKeyName(kind string) string {
	if name, known := opensslKinds[kind]; known {
		return name
	}
	if curve, ok := strings.CutPrefix(kind, "EC "); ok {
		if name, known := opensslCurves[curve]; known {
			curve = name
		}
		return "id-ecPublicKey " + curve
	}
	return kind
}
