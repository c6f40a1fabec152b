package ingest_test

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"certstate/certificate"
)

// differences are where another program's answer is not ours, and why. A
// difference that none explains fails TestCorpora.
var differences = []struct {
	program, field string // "" for any
	explain        func(f *certificate.Facts, ours, theirs string) string
}{
	{"OpenSSL", "", refused},
	{"GnuTLS", "serial", when("it prints the octet that keeps a number positive, and padding", func(_ *certificate.Facts, ours, theirs string) bool {
		return strings.TrimLeft(ours, "0") == strings.TrimLeft(theirs, "0")
	})},
	{"GnuTLS", "serial", when("it prints a negative number's octets, not its value", func(_ *certificate.Facts, ours, theirs string) bool {
		return strings.HasPrefix(ours, "-") && len(theirs) >= len(ours)-1
	})},
	{"", "subject", sameName},
	{"", "issuer", sameName},
	{"OpenSSL", "san", sameNames},
	{"GnuTLS", "san", gnutlsSameNames},
	{"GnuTLS", "", when("it sorts the values of a name before it takes the fingerprint", func(f *certificate.Facts, ours, theirs string) bool {
		return len(ours) == len(theirs) && (ours == f.Thumbprint || ours == f.ThumbprintSHA256) && strings.Contains(f.Subject, "+")
	})},
	{"GnuTLS", "aki", when("it prints the issuer's name where both are given", func(_ *certificate.Facts, _, theirs string) bool {
		return strings.HasPrefix(theirs, "DIRECTORYNAME: ")
	})},
	{"GnuTLS", "size", when("it counts the octets of a curve's field", func(_ *certificate.Facts, ours, theirs string) bool {
		return ours == "521" && theirs == "528"
	})},
	{"GnuTLS", "", when("it gives 1970 for a time before that, or that is none", func(_ *certificate.Facts, ours, theirs string) bool {
		return (ours == "bad" || ours < "1970") && theirs == "1970-01-01T00:00:00Z"
	})},
	{"GnuTLS", "notAfter", when("it makes a time of 19020701025736Z as UTCTime", func(f *certificate.Facts, ours, _ string) bool {
		return ours == "bad" && slices.Contains(f.Oddities, certificate.BadTime)
	})},
	{"GnuTLS", "keyUsage", when("it reads none from a bit string of more than two octets", func(_ *certificate.Facts, _, theirs string) bool {
		return theirs == "0"
	})},
	{"GnuTLS", "extKeyUsage", when("it refuses a list with an identifier that is none", malformed)},
	{"OpenSSL", "extKeyUsage", when("it prints the octets of a list with an identifier that is none, or without its SEQUENCE", malformed)},
	{"GnuTLS", "crl", when("it prints no place where the reasons are given", func(_ *certificate.Facts, _, theirs string) bool { return theirs == "" })},
	{"OpenSSL", "san", when("it says <EMPTY> of a list without names", func(_ *certificate.Facts, ours, theirs string) bool {
		return ours == "" && theirs == "<EMPTY>"
	})},
	{"OpenSSL", "key", when("this version has no name for the algorithm, or one of its own", func(_ *certificate.Facts, ours, theirs string) bool {
		return strings.HasPrefix(theirs, "2.16.840.1.101.3.4.") && strings.HasPrefix(ours, "ML-") || strings.HasPrefix(theirs, "GOST") && strings.HasPrefix(ours, "GOST")
	})},
	{"OpenSSL", "signature", when("this version has no name for the algorithm, or one that is no signature's", func(_ *certificate.Facts, ours, theirs string) bool {
		return strings.HasPrefix(theirs, "2.16.840.1.101.3.4.3.") || theirs == "md5" && ours == "1.2.840.113549.2.5"
	})},
	{"", "crl", sameURLs},
	{"", "ocsp", sameURLs},
	{"", "issuers", sameURLs},
}

// explain gives the reason for a difference, or "".
func explain(program, field string, f *certificate.Facts, ours, theirs string) string {
	for _, d := range differences {
		if d.program != "" && d.program != program || d.field != "" && d.field != field {
			continue
		}
		if why := d.explain(f, ours, theirs); why != "" {
			return why
		}
	}
	return ""
}

type explainer = func(f *certificate.Facts, ours, theirs string) string

func when(why string, holds func(f *certificate.Facts, ours, theirs string) bool) explainer {
	return func(f *certificate.Facts, ours, theirs string) string {
		if holds(f, ours, theirs) {
			return why
		}
		return ""
	}
}

func malformed(f *certificate.Facts, _, _ string) bool {
	return slices.Contains(f.Oddities, certificate.BadExtension)
}

// refused recognises the octets of an extension: a SEQUENCE begins with 0x30, "0",
// a BIT STRING with one that is no letter.
func refused(_ *certificate.Facts, ours, theirs string) string {
	if (ours == "" || ours == "0") && (strings.HasPrefix(theirs, "0.") || strings.Trim(theirs, ".") == "") {
		return "it prints the octets of an extension that says nothing"
	}
	return ""
}

// sameURLs compares lists of URLs in which theirs may hold what no URL can.
func sameURLs(f *certificate.Facts, ours, theirs string) string {
	if !slices.Contains(f.Oddities, certificate.BadAlternativeName) && !slices.Contains(f.Oddities, certificate.BadStringEncoding) {
		if before, _, found := strings.Cut(theirs, "    "); found && before == ours {
			return "it prints no line end before the issuer of a list"
		}
		return ""
	}
	if strings.ReplaceAll(ours, "%20", " ") == theirs {
		return "a space in a URL is encoded here"
	}
	if strings.Contains(f.OCSPLocations+f.IssuerLocations, "%0A") {
		return "a line end in a URL is encoded here"
	}
	return ""
}

// attributeNames are ours for what others call otherwise.
var attributeNames = map[string]string{
	"GN": "givenName", "surName": "SN", "EMAIL": "emailAddress", "jurisdictionOfIncorporationLocalityName": "jurisdictionL",
	"jurisdictionOfIncorporationStateOrProvinceName": "jurisdictionST", "jurisdictionOfIncorporationCountryName": "jurisdictionC",
}

// sameName compares two names in RFC 4514's form, part by part.
func sameName(f *certificate.Facts, ours, theirs string) string {
	mine, other := splitName(ours), splitName(theirs)
	if len(mine) != len(other) {
		return ""
	}
	reasons := map[string]bool{}
	for i := range mine {
		if len(mine[i]) != len(other[i]) {
			return ""
		}
		left := slices.Clone(other[i])
		for _, a := range mine[i] {
			at, why := findAttribute(f, a, left)
			if at < 0 {
				return ""
			}
			if at > 0 {
				reasons["it orders several values in one part otherwise"] = true
			}
			left = slices.Delete(left, at, at+1)
			if why != "" {
				reasons[why] = true
			}
		}
	}
	return joinReasons(reasons)
}

func joinReasons(reasons map[string]bool) string {
	var list []string
	for why := range reasons {
		list = append(list, why)
	}
	slices.Sort(list)
	return strings.Join(list, "; ")
}

// findAttribute finds what is the same as ours, and why it looks otherwise.
func findAttribute(f *certificate.Facts, ours string, theirs []string) (int, string) {
	if i := slices.Index(theirs, ours); i >= 0 {
		return i, ""
	}
	for i, a := range theirs {
		if why := sameAttribute(f, ours, a); why != "" {
			return i, why
		}
	}
	return -1, ""
}

func sameAttribute(f *certificate.Facts, ours, theirs string) string {
	kind, value, _ := strings.Cut(ours, "=")
	otherKind, otherValue, _ := strings.Cut(theirs, "=")
	if name, known := attributeNames[otherKind]; known {
		otherKind = name
	}
	switch dotted := strings.Trim(otherKind, "0123456789.") == ""; {
	case kind == otherKind && value == otherValue:
		return "it names a type of attribute otherwise"
	case kind == otherKind && strings.EqualFold(value, otherValue) && value[0] == '#':
		return "it writes hexadecimal in small letters"
	case dotted && strings.EqualFold(value, otherValue):
		return "it has no name for a type of attribute"
	case kind == otherKind && (strings.HasPrefix(otherValue, `\#0`) || strings.HasPrefix(otherValue, "#1E") || strings.HasPrefix(otherValue, "#1e")):
		return "it gives a BMPString or UniversalString in octets where the type demands another"
	case (kind == otherKind || dotted) && hexHolds(otherValue, value):
		if dotted {
			return "it has no name for a type of attribute"
		}
		return "it gives a value in octets that is against the rules of its type, too long, or holds NUL"
	case kind == otherKind && slices.Contains(f.Oddities, certificate.BadStringEncoding):
		return "it reads a string against the rules of its type otherwise"
	case strings.Trim(kind, "0123456789.") == "" && value[0] == '#' && hexHolds(value, otherValue):
		return "it has a name for a type of attribute that has none here"
	}
	return ""
}

// hexHolds reports whether "#" and hexadecimal end with the text of value.
func hexHolds(digits, value string) bool {
	b, err := hex.DecodeString(strings.TrimPrefix(digits, "#"))
	if err != nil || len(digits) < 2 || digits[0] != '#' {
		return false
	}
	plain := unescape(value)
	latin1 := string(b[:0])
	for _, r := range plain {
		latin1 += string([]byte{byte(r)})
	}
	return strings.HasSuffix(string(b), plain) || strings.HasSuffix(string(b), latin1)
}

// splitName splits a name into parts and their attributes, at what is not
// escaped.
func splitName(s string) (parts [][]string) {
	part, start := []string{}, 0
	for i := 0; i <= len(s); i++ {
		switch {
		case i < len(s) && s[i] == '\\':
			i++
		case i == len(s) || s[i] == ',' || s[i] == '+':
			part = append(part, s[start:i])
			start = i + 1
			if i == len(s) || s[i] == ',' {
				parts, part = append(parts, part), []string{}
			}
		}
	}
	return parts
}

// sameNames compares alternative names with OpenSSL's.
func sameNames(f *certificate.Facts, ours, theirs string) string {
	reasons := map[string]bool{}
	var pattern []string
	for _, item := range splitNames(ours) {
		text, why := opensslName(item)
		if pattern = append(pattern, text); why != "" {
			reasons[why] = true
		}
	}
	if matched, err := regexp.MatchString("(?s)^"+strings.Join(pattern, ", ")+`\s*$`, theirs+"\n\n"); err == nil && matched {
		return joinReasons(reasons)
	}
	if theirs[0] == '0' && !strings.Contains(theirs, "DNS:") && !strings.Contains(theirs, "email:") {
		return "it prints the octets of an extension that it refuses: a name in it is malformed or holds NUL"
	}
	return ""
}

// opensslName is the pattern of what OpenSSL prints for a name, and why it is
// another.
func opensslName(item string) (pattern, why string) {
	kind, value, _ := strings.Cut(item, ":")
	if plain := unescape(value); plain != value && kind != "DirName" {
		return regexp.QuoteMeta(kind + ":" + plain), "it does not escape"
	}
	switch address, err := netip.ParseAddr(value); {
	case kind == "IP Address" && err == nil && address.Is6():
		var groups []string
		for b := address.As16(); len(groups) < 8; {
			i := 2 * len(groups)
			groups = append(groups, fmt.Sprintf("%X", int(b[i])<<8|int(b[i+1])))
		}
		return regexp.QuoteMeta(kind + ":" + strings.Join(groups, ":")), "it writes IPv6 addresses in full, not as RFC 5952 says"
	case kind == "IP Address" && err != nil:
		return "IP Address:<invalid>", "it leaves out the octets of a malformed address"
	case kind == "DirName":
		return "DirName:.*?", "it writes directory names with slashes"
	case strings.HasPrefix(kind, "otherName"):
		return "othername:.*?", "it writes other names otherwise, some as <unsupported>"
	case kind == "EdiPartyName" || kind == "X400Name":
		return kind + ":<unsupported>", "it leaves out names of rare kinds"
	case strings.ContainsFunc(value, func(r rune) bool { return r > '~' }):
		return kind + ":.*?", "it prints octets that are no ASCII as they are"
	}
	return regexp.QuoteMeta(item), ""
}

// gnutlsSameNames compares alternative names with certtool's, line by line.
func gnutlsSameNames(f *certificate.Facts, ours, theirs string) string {
	if theirs == "" && (strings.Contains(f.SubjectAlternativeNames, `\00`) || slices.Contains(f.Oddities, certificate.BadAlternativeName)) {
		return "it refuses an extension with a malformed name or NUL"
	}
	reasons := map[string]bool{}
	var pattern []string
	ours = strings.TrimRight(ours, "\n") // certtool's lines cannot be told from those of a name
	for line := range strings.Lines(ours + "\n") {
		text, why := gnutlsName(strings.TrimSuffix(line, "\n"))
		if pattern = append(pattern, text); why != "" {
			reasons[why] = true
		}
	}
	if matched, err := regexp.MatchString("(?s)^"+strings.Join(pattern, "\n")+"$", theirs); err == nil && matched {
		if len(reasons) == 0 {
			return "a line end in a name"
		}
		return joinReasons(reasons)
	}
	return ""
}

func gnutlsName(line string) (pattern, why string) {
	switch kind, value, _ := strings.Cut(line, ": "); {
	case strings.HasPrefix(line, "otherName"):
		return `(?:otherName|KRB5Principal|XMPP|UPN|otherName OID)[^\n]*(?:\notherName (?:DER|ASCII)[^\n]*)*`, "it writes other names over several lines"
	case kind == "registeredID":
		return "Registered ID: " + regexp.QuoteMeta(value), "it names a kind otherwise"
	case strings.Contains(strings.ToLower(value), "xn--"):
		return regexp.QuoteMeta(line) + `(?: \(.*?\))?`, "it adds what an international name reads as"
	case strings.ContainsFunc(value, func(r rune) bool { return r > '~' || r < ' ' }):
		return kind + `: .*?`, "it prints octets that are no ASCII as they are"
	case kind == "directoryName":
		return `directoryName: .*?`, "it names types of attributes otherwise"
	}
	return regexp.QuoteMeta(line), ""
}
