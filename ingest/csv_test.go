package ingest

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"certstate"
	"certstate/edm"
)

func TestCSV(t *testing.T) {
	const unclosed = "id\n\"a"
	for _, c := range []struct {
		name, text string
		columns    map[string]string
		want       string // a row each: line, id, device, serial or fault
	}{
		{"properties", "id,managedDeviceDisplayName,certificateSerialNumber\na,one,00ff\n\nb,,\n", nil, "2 a one 00ff|4 b  "},
		{"in another case, computed left out", "ID,ManagedDeviceDisplayName,createdDateTime\r\na,one,x\r\n", nil, "2 a one "},
		{"semicolons", "id;managedDeviceDisplayName\na;\"x;y\"\n", nil, "2 a x;y "},
		{"tabs", "id\tmanagedDeviceDisplayName\na\tone,two\n", nil, "2 a one,two "},
		{"said by the first line", "sep=|\r\nid|managedDeviceDisplayName\r\na|one\r\n", nil, "3 a one "},
		{"mark", "\xEF\xBB\xBFid\na\n", nil, "2 a  "},
		{"quoted lines", "id,managedDeviceDisplayName\na,\"x\ny\"\nb,z\n", nil, "2 a x\ny |4 b z "},
		{"formulas", "id,managedDeviceDisplayName,certificateSerialNumber\na,'=1+1,'-0A\nb,''=x,'y\n", nil, "2 a =1+1 -0A|3 b '=x 'y"},
		{"report", "CaConfiguration,DeviceName,SerialNumber,CertificateStatus,CertificateStatus_loc\nx,one,0a,Issued,Ausgestellt\n", nil, "2  one 0a"},
		{"mapped", "Computer,Serial,Junk\none,0a,x\n", map[string]string{"computer": "managedDeviceDisplayName", "Serial": "certificateSerialNumber", "Junk": ""}, "2  one 0a"},
		{"bad cells", "id,certificateExpirationDateTime\na,soon\nb,2026-01-01\n", nil, `2 column certificateExpirationDateTime: "soon" is no time: write 2026-12-31T23:59:59Z, or 2026-12-31 23:59:59 in UTC|3 b  `},
		{"bad number", "id,certificateKeyUsages\na,99999999999\n", nil, "2 column certificateKeyUsages: 99999999999 does not fit Edm.Int32 (-2147483648 to 2147483647)"},
		{"cells missing", "id,userId\na\nb,c\n", nil, "2 1 cells where the header has 2: a cell that has the separator in it must be in quotes|3 b  "},
		{"bad quotes", "id,userId\na\"b,c\nd,e\n", nil, "2 line 2, byte 2: bare \" in non-quoted-field: put a cell with quotes in it in quotes, and write them twice: \"say \"\"hello\"\"\"|3 d  "},
		{"not UTF-8", "id,userId\na,\xE4\n", nil, `2 column userId: it is not UTF-8: save the file as "CSV UTF-8"`},
		{"unknown column", "id,Colour\na,b\n", nil, `1 ` + "the source cannot be read to its end\n" + `column "Colour": it is no property, and none of Intune's reports has it: name its property with --column "Colour=property", or leave it out with --column "Colour="`},
		{"like a property", "id,serialnumber,managedDeviceName\na,b,c\n", nil, `1 ` + "the source cannot be read to its end\n" + `column "managedDeviceName": it is no property, and none of Intune's reports has it: name its property with --column "managedDeviceName=property", or leave it out with --column "managedDeviceName="`},
		{"twice", "SerialNumber,certificateSerialNumber\n1,2\n", nil, "1 the source cannot be read to its end\ntwo columns are certificateSerialNumber: leave one out with --column \"certificateSerialNumber=\""},
		{"empty", "", nil, "1 the source cannot be read to its end\nthere is no header: the first row must name the columns"},
		{"endless", unclosed + strings.Repeat("x\n", maxRow), nil, "2 the source cannot be read to its end\na row is longer than 1048576 bytes: is a quote not closed?"},
	} {
		var rows []string
		for row := range CSV(strings.NewReader(c.text), c.columns) {
			text := fmt.Sprint(row.Line, " ", row.Err)
			if row.Err == nil {
				text = fmt.Sprint(row.Line, " ", row.State.ID.S, " ", row.State.DeviceName.S, " ", row.State.Serial.S)
			}
			rows = append(rows, text)
		}
		if got := strings.Join(rows, "|"); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// Excel's "Unicode text" is UTF-16 with tabs.
func TestCSVUTF16(t *testing.T) {
	text := []byte{0xFF, 0xFE}
	for _, u := range utf16.Encode([]rune("id\tmanagedDeviceDisplayName\r\na\tJürgen\r\n")) {
		text = append(text, byte(u), byte(u>>8))
	}
	for row := range CSV(strings.NewReader(string(text)), nil) {
		if row.Err != nil || row.State.DeviceName.S != "Jürgen" {
			t.Errorf("%+v", row)
		}
	}
}

// A report says nothing of a revocation that it does not know: a row that is there
// keeps how far its revocation has got.
func TestReportKeepsRevocation(t *testing.T) {
	n, _ := certstate.Lookup("certificateRevokeStatus")
	for status, want := range map[string]bool{"Issued": false, "Revoked": true} {
		for row := range CSV(strings.NewReader("DeviceName,CertificateStatus\none,"+status+"\n"), nil) {
			if row.Set.Has(n) != want || row.State.Source != edm.Str(ReportSource) {
				t.Errorf("%s: %+v", status, row)
			}
		}
	}
}

func FuzzCSV(f *testing.F) {
	for _, text := range []string{"id\na", "sep=;\nid;userId\n\"a\";\"b\nc\"", "\xFF\xFEi\x00d\x00", "DeviceName\tKeyUsage\nx\tCRL Signing (02)"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for row := range CSV(strings.NewReader(text), nil) {
			if (row.State == nil) == (row.Err == nil) || row.Line < 1 {
				t.Errorf("%+v", row)
			}
		}
	})
}
