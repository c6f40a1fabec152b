package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"

	"certstate"
	"certstate/certificate"
	"certstate/edm"
)

// Naming says how a certificate in a file becomes a record.
type Naming struct {
	Device      string // its device; "": From says where it is named
	From        string // [FromFile], [FromCN] or [FromSAN]
	UPN         bool   // take the user principal name from the certificate
	Authorities bool   // take the certificates of authorities too
	Password    string // of PKCS#12 files
}

// Where a certificate's device is named.
const (
	FromFile = "file" // the file's name, without what says that it is a certificate
	FromCN   = "cn"   // the subject's common name
	FromSAN  = "san"  // the first DNS name
)

// FileSource is the source of a record that comes from a certificate's file.
const FileSource = "file"

// ErrAuthority stands for the certificate of an authority that was passed over.
var ErrAuthority = errors.New("the certificate of an authority, not of a device")

// deviceSet, upnSet and sourceSet are what may be told besides a certificate.
var deviceSet, upnSet, sourceSet = setOf("managedDeviceDisplayName"), setOf("userPrincipalName"), setOf("source")

func setOf(name string) certstate.Set {
	i, ok := certstate.Lookup(name)
	if !ok {
		panic("ingest: there is no property " + name)
	}
	return certstate.KeySet << i
}

// Certificates reads the certificates of a file as [ReadCertificates] finds them,
// each with its device. What cannot be read as a certificate but looks like one is a
// record too.
func Certificates(f *File, n Naming) iter.Seq[Row] { return rows(CertificatePieces(f, n)) }

// CertificatePieces is Certificates in one piece.
func CertificatePieces(f *File, n Naming) iter.Seq[Piece] {
	base := f.Base
	return func(yield func(Piece) bool) {
		data, err := readWhole(f)
		if err != nil {
			yield(made(Row{Err: errors.Join(ErrRead, err)}))
			return
		}
		yield(func() []Row { return n.rows(base, data) })
	}
}

// readWhole reads a file, as far as one octet past what it may have. It looks first
// whether it is so small that it has been read already.
func readWhole(f *File) ([]byte, error) {
	if head, err := f.Peek(headSize); errors.Is(err, io.EOF) {
		return bytes.Clone(head), nil
	}
	return io.ReadAll(io.LimitReader(f, int64(LimitFile.Max)+1))
}

func (n *Naming) rows(base string, data []byte) []Row {
	found, err := ReadCertificates(data, n.Password)
	list := describe(found)
	several := devices(list) > 1
	rows := make([]Row, 0, len(list)+1)
	for i := range list {
		rows = append(rows, n.row(base, &list[i], several))
	}
	if err != nil {
		rows = append(rows, Row{Err: err})
	}
	return rows
}

// described is a certificate and what it says, as far as it can be read.
type described struct {
	Found
	facts *certificate.Facts // nil: it cannot be read
}

func describe(found []Found) []described {
	list := make([]described, len(found))
	for i := range found {
		list[i] = described{Found: found[i]}
		if found[i].Err == nil {
			list[i].facts, _ = certificate.Parse(found[i].DER) // the store notes why not
		}
	}
	return list
}

// authority reports whether it is a certificate of one that issues others.
func (d *described) authority() bool { return d.facts != nil && d.facts.IsCA }

func devices(list []described) (n int) {
	for i := range list {
		if list[i].Err == nil && !list[i].authority() {
			n++
		}
	}
	return n
}

func (n *Naming) row(base string, d *described, several bool) Row {
	row := Row{Line: d.Line, Place: d.String()}
	switch {
	case d.Err != nil:
		row.Err = d.Err
		return row
	case d.authority() && !n.Authorities:
		row.Err = ErrAuthority
		return row
	}
	device, err := n.device(base, d.facts, several)
	if err != nil {
		row.Err = err
		return row
	}
	row.State = &certstate.State{Certificate: edm.Bin(d.DER), DeviceName: edm.Str(device), Source: edm.Str(FileSource)}
	row.Set, row.Facts = deviceSet, d.facts
	n.nameUser(&row, d.facts)
	return row
}

func (n *Naming) nameUser(row *Row, facts *certificate.Facts) {
	if !n.UPN || facts == nil {
		return
	}
	if upn := alternativeName(facts, "otherName UPN:"); upn != "" {
		row.State.UserPrincipalName = edm.Str(upn)
		row.Set |= upnSet
	}
}

// Issued is the row of a certificate that who issued it reports under the name of a
// source. Nothing is left out for want of a name: a certificate that does not name
// its device where it should is asked for the other name, and then has none.
func (n *Naming) Issued(der []byte, source string) Row {
	d := describe([]Found{{DER: der}})[0]
	if d.authority() && !n.Authorities {
		return Row{Err: ErrAuthority}
	}
	row := Row{State: &certstate.State{Certificate: edm.Bin(der), Source: edm.Str(source)}, Set: sourceSet, Facts: d.facts}
	for _, from := range []string{n.From, FromCN, FromSAN} {
		named := Naming{Device: n.Device, From: from}
		if name, err := named.device("", d.facts, true); err == nil {
			row.State.DeviceName = edm.Str(name)
			row.Set |= deviceSet
			break
		}
	}
	n.nameUser(&row, d.facts)
	return row
}

const giveDevice = "give it with --device NAME, or have it taken from elsewhere with --device-from"

// device is the name of the device that has a certificate.
func (n *Naming) device(base string, facts *certificate.Facts, several bool) (string, error) {
	if n.Device != "" {
		return n.Device, nil
	}
	name, from := "", ""
	switch {
	case n.From == FromFile && several:
		return "", &Fault{Reason: "the file holds certificates of several devices, so that its name is not theirs", Cure: giveDevice + " cn or san"}
	case n.From == FromFile:
		name, from = deviceOfFile(base), "file"
	case facts == nil:
		return "", &Fault{Reason: "the certificate cannot be read, so that it names no device", Cure: giveDevice + " file"}
	case n.From == FromSAN:
		name, from = alternativeName(facts, "DNS:"), "list of alternative names"
	default:
		name, from = commonName(facts.Subject), "subject"
	}
	if name == "" {
		return "", &Fault{Reason: fmt.Sprintf("the %s names no device", from), Cure: giveDevice}
	}
	return name, nil
}

// certificateSuffixes are the ends of names that say what a file is.
var certificateSuffixes = []string{".pem", ".crt", ".cer", ".der", ".cert", ".p7b", ".p7c", ".p12", ".pfx", ".b64", ".txt"}

func deviceOfFile(base string) string {
	if base == "standard input" {
		return ""
	}
	suffix := filepath.Ext(base)
	for _, s := range certificateSuffixes {
		if strings.EqualFold(s, suffix) {
			return strings.TrimSuffix(base, suffix)
		}
	}
	return base
}

// alternativeName is the first of a kind, as docs/certificates.md writes them.
func alternativeName(f *certificate.Facts, kind string) string {
	for name := range strings.SplitSeq(f.SubjectAlternativeNames, ", ") {
		if value, ok := strings.CutPrefix(name, kind); ok && !strings.HasPrefix(value, "#") {
			return unescape(value)
		}
	}
	return ""
}

// commonName is the most specific CN of a name in the form of RFC 4514.
func commonName(name string) string {
	for len(name) > 0 {
		end := 0
		for end < len(name) && name[end] != ',' && name[end] != '+' {
			if name[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end, len(name))
		if value, ok := strings.CutPrefix(name[:end], "CN="); ok && !strings.HasPrefix(value, "#") {
			return unescape(value)
		}
		name = name[min(end+1, len(name)):]
	}
	return ""
}

// unescape takes the backslashes from a value, and keeps those before the two
// digits of a control character, which no name of a device has.
func unescape(value string) string {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] == '\\' && i+1 < len(value) && !isHex(value[i+1]) {
			i++
		}
		b.WriteByte(value[i])
	}
	return b.String()
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' || 'a' <= c && c <= 'f' }
