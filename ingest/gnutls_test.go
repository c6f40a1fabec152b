package ingest_test

import (
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"certstate/certificate"
)

var (
	gnutlsLine    = regexp.MustCompile(`(?m)^\t(Serial Number \(hex\)|Issuer|Subject): ?(.*)$`)
	gnutlsTime    = regexp.MustCompile(`(?m)^\t\tNot (Before|After): (.*)$`)
	gnutlsSize    = regexp.MustCompile(`(?m)^\tAlgorithm Security Level: .* \((\d+) bits\)$`)
	gnutlsPrint   = regexp.MustCompile(`(?m)^\t\t(sha1|sha256):([0-9a-f]+)$`)
	gnutlsHeader  = regexp.MustCompile(`^\t\t(\S.*?) \((?:not )?critical\):$`)
	gnutlsPurpose = map[string]string{
		"TLS WWW Server.": "1.3.6.1.5.5.7.3.1", "TLS WWW Client.": "1.3.6.1.5.5.7.3.2", "Code signing.": "1.3.6.1.5.5.7.3.3",
		"Email protection.": "1.3.6.1.5.5.7.3.4", "Time stamping.": "1.3.6.1.5.5.7.3.8", "OCSP signing.": "1.3.6.1.5.5.7.3.9",
		"Any purpose.": "2.5.29.37.0", "Ipsec IKE.": "1.3.6.1.5.5.7.3.17", "Smart Card Logon.": "1.3.6.1.4.1.311.20.2.2",
	}
	gnutlsUsages = []string{"Digital signature.", "Non repudiation.", "Key encipherment.", "Data encipherment.", "Key agreement.",
		"Certificate signing.", "CRL signing.", "Key encipher only.", "Key decipher only."}
)

// askGnuTLS reads what certtool prints; nil if it cannot read the certificate.
func askGnuTLS(t *testing.T, path string) answers {
	out, err := exec.Command("certtool", "--certificate-info", "--inder", "--infile", path).Output()
	if err != nil {
		return nil
	}
	text := strings.ToValidUTF8(string(out), "\uFFFD")
	a := answers{}
	for _, m := range gnutlsLine.FindAllStringSubmatch(text, -1) {
		switch m[1] {
		case "Issuer":
			a["issuer"] = m[2]
		case "Subject":
			a["subject"] = m[2]
		default:
			a["serial"] = strings.ToUpper(m[2])
		}
	}
	for _, m := range gnutlsTime.FindAllStringSubmatch(text, -1) {
		at, err := time.Parse("Mon Jan 02 15:04:05 MST 2006", m[2])
		if a["not"+m[1]] = at.Format(time.RFC3339); err != nil {
			a["not"+m[1]] = "bad"
		}
	}
	if m := gnutlsSize.FindStringSubmatch(text); m != nil {
		a["size"] = m[1]
	}
	_, prints, _ := strings.Cut(text, "\tFingerprint:\n")
	for i, m := range gnutlsPrint.FindAllStringSubmatch(prints, 2) {
		a[m[1]] = m[2]
		if i == 0 {
			a[m[1]] = strings.ToUpper(m[2])
		}
	}
	a.gnutlsExtensions(text)
	return a
}

func (a answers) gnutlsExtensions(text string) {
	_, list, found := strings.Cut(text, "\tExtensions:\n")
	if !found {
		return
	}
	sections, name := map[string][]string{}, ""
	for line := range strings.Lines(list) {
		line = strings.TrimRight(line, "\n")
		if !strings.HasPrefix(line, "\t\t") {
			break
		}
		if m := gnutlsHeader.FindStringSubmatch(line); m != nil {
			if name = m[1]; sections[name] != nil {
				name += " again"
			}
			sections[name] = []string{}
			continue
		}
		sections[name] = append(sections[name], strings.TrimPrefix(line, "\t\t\t"))
	}
	for name, read := range gnutlsReaders {
		if section, found := sections[name]; found {
			read(a, section)
		}
	}
}

var gnutlsReaders = map[string]func(answers, []string){
	"Key Usage": func(a answers, lines []string) { a["keyUsage"] = usages(lines, gnutlsUsages) },
	"Key Purpose": func(a answers, lines []string) {
		var oids []string
		for _, line := range lines {
			if oid, known := gnutlsPurpose[line]; known {
				line = oid
			}
			oids = append(oids, line)
		}
		a["extKeyUsage"] = strings.Join(oids, " ")
	},
	"Subject Key Identifier":   func(a answers, lines []string) { a["ski"] = strings.ToUpper(strings.Join(lines, "")) },
	"Authority Key Identifier": func(a answers, lines []string) { a["aki"] = strings.ToUpper(first(lines)) },
	"Basic Constraints": func(a answers, lines []string) {
		a["ca"] = strconv.FormatBool(first(lines) == "Certificate Authority (CA): TRUE")
	},
	"Subject Alternative Name": func(a answers, lines []string) { a["san"] = strings.Join(lines, "\n") },
	"CRL Distribution points":  func(a answers, lines []string) { a["crl"] = strings.Join(after(lines, "URI: "), " ") },
	"Authority Information Access": func(a answers, lines []string) {
		var ocsp, issuers []string
		method := ""
		for _, line := range lines {
			if m, ok := strings.CutPrefix(line, "Access Method: "); ok {
				method = m
			}
			if url, ok := strings.CutPrefix(line, "Access Location URI: "); ok {
				switch {
				case strings.HasPrefix(method, "1.3.6.1.5.5.7.48.1 "):
					ocsp = append(ocsp, url)
				case strings.HasPrefix(method, "1.3.6.1.5.5.7.48.2 "):
					issuers = append(issuers, url)
				}
			}
		}
		a["ocsp"], a["issuers"] = strings.Join(ocsp, " "), strings.Join(issuers, " ")
	},
}

func first(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[0]
}

func after(lines []string, prefix string) (values []string) {
	for _, line := range lines {
		if value, ok := strings.CutPrefix(line, prefix); ok {
			values = append(values, value)
		}
	}
	return values
}

// forGnuTLS writes the facts as certtool prints them.
func forGnuTLS(f *certificate.Facts) answers {
	a := shared(f)
	a["san"] = gnutlsNames(f.SubjectAlternativeNames)
	return a
}

// gnutlsNames writes alternative names one a line, by certtool's words.
func gnutlsNames(list string) string {
	words := strings.NewReplacer("DNS:", "DNSname: ", "email:", "RFC822Name: ", "IP Address:", "IPAddress: ", "URI:", "URI: ", "DirName:", "directoryName: ", "Registered ID:", "registeredID: ")
	var lines []string
	for _, item := range splitNames(list) {
		kind, value, _ := strings.Cut(item, ":")
		lines = append(lines, words.Replace(kind+":")+unescape(value))
	}
	return strings.Join(lines, "\n")
}

// splitNames splits at every ", ", which nothing escaped can hold.
func splitNames(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ", ")
}

// unescape undoes what a name has been escaped with.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		if octet, err := strconv.ParseUint(s[i+1:min(i+3, len(s))], 16, 8); err == nil && i+3 <= len(s) {
			b.WriteByte(byte(octet))
			i += 2
			continue
		}
		i++
		b.WriteByte(s[i])
	}
	return b.String()
}
