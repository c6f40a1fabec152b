package odata_test

import (
	"strings"
	"testing"

	"certstate"
	"certstate/edm"
	"certstate/odata"
)

func TestGuardCell(t *testing.T) {
	for text, guarded := range map[string]bool{
		"": false, "laptop": false, "LAPTOP-0042": false, "CN=a, O=b": false, "'": false, "'a": false, "a=1": false, "user@example.com": false,
		"=1+1": true, "+1": true, "-1": true, "@SUM(1)": true, "\t=1": true, "\r=1": true, "\n": true, "\ta": true, " =1": true, "\u00a0=1": true, "\u200b=1": true, "\ufeff@a": true, "＝1": true,
		"'=1": true, "''=1": true, "=": true, "-": true, "=cmd|' /C calc'!A0": true,
		"0": false, "12345": false, "12345678901": false, "123456789012": true, "007": true, "00": true, "12E45": true, "1e5": true, "1.5": true, "12:34:56": true, "3/4": true, "1-2": true,
		"1 2": true, "'007": true, "0x10": false, "12AB": false, "5%": true, "eE": false, "..": false, "2026-01-01T00:00:00Z": false,
	} {
		cell := odata.GuardCell(text)
		if (cell != text) != guarded {
			t.Errorf("%q becomes %q", text, cell)
		}
		if back := odata.UnguardCell(cell); back != text {
			t.Errorf("%q becomes %q, and that %q", text, cell, back)
		}
	}
}

func FuzzGuardCell(f *testing.F) {
	for _, seed := range []string{"'=1", "''007", " \u200b＝", "'", "12E3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cell := odata.GuardCell(text)
		if odata.UnguardCell(cell) != text {
			t.Errorf("%q becomes %q, and that %q", text, cell, odata.UnguardCell(cell))
		}
		if rest := strings.TrimLeft(cell, " \t\r\n"); rest != "" && strings.ContainsRune("=+-@", rune(rest[0])) {
			t.Errorf("%q becomes %q, a formula", text, cell)
		}
	})
}

// What is quoted, and how lines end, by the letter of RFC 4180.
func TestTable(t *testing.T) {
	s := certstate.State{ID: edm.Str("a"), DeviceName: edm.Str("say \"x\", y\r\nz"), Issuer: edm.Str("=1+1"), Serial: edm.Str("0012"), Subject: edm.Str(" a "), KeyUsages: edm.Int(160)}
	for _, c := range []struct{ query, form, want string }{
		{"$select=certificateSerialNumber,managedDeviceDisplayName,id", "csv", "certificateSerialNumber,managedDeviceDisplayName,id\r\n'0012,\"say \"\"x\"\", y\r\nz\",a\r\n"},
		{"$select=certificateIssuerName,certificateSubjectName,certificateKeyUsages,userId,certificateExpirationDateTime,certificateRevokeStatus,id,id", "csv",
			"certificateIssuerName,certificateSubjectName,certificateKeyUsages,userId,certificateExpirationDateTime,certificateRevokeStatus,id\r\n'=1+1,\" a \",160,,0001-01-01T00:00:00Z,none,a\r\n"},
		{"$select=userId,id,certificateSerialNumber", "ndjson", "{\"id\":\"a\",\"certificateSerialNumber\":\"0012\",\"userId\":null}\n"},
	} {
		q, err := odata.ParseQuery(c.query, odata.ListOptions)
		if err != nil {
			t.Fatal(err)
		}
		table := odata.NewTable(odata.TableFormOf(c.form), &q)
		if got := string(table.Append(table.AppendHead(nil), &s)); got != c.want {
			t.Errorf("%s as %s: %q, want %q", c.query, c.form, got, c.want)
		}
	}
	q, err := odata.ParseQuery("$select=policyId,*", odata.ListOptions)
	if table := odata.NewTable(odata.TableForms[0], &q); err != nil || len(table.Columns) != certstate.Defaults.Len()+1 || table.Columns[1].Name != "id" {
		t.Errorf("policyId,* has %d columns, %v", len(table.Columns), err)
	}
}

func TestAcceptTable(t *testing.T) {
	for header, want := range map[string]string{"text/csv": "csv", "text/csv; charset=utf-8, */*;q=0.1": "csv", "application/x-ndjson": "ndjson",
		"": "", "*/*": "", "application/json, text/csv": "", "text/csv;q=0": "", "text/html": ""} {
		got := ""
		if f := odata.AcceptTable(header); f != nil {
			got = f.Name
		}
		if got != want {
			t.Errorf("%q asks for %q, want %q", header, got, want)
		}
	}
}
