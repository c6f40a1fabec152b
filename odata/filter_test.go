package odata_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/odata"
)

var update = flag.Bool("update", false, "write what was got into testdata/filters.txt")

// testdata/filters.txt has filters, and what each is read as or refused for.
func TestFilters(t *testing.T) {
	const file = "testdata/filters.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	in, checked := "", 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			out = append(out, line)
			continue
		}
		mark, want, _ := strings.Cut(line, " ")
		if mark != "=" && mark != "!" {
			in = line
			out = append(out, line)
			continue
		}
		checked++
		e, err := odata.ParseFilter(in, nil)
		switch {
		case err != nil && (mark != "!" || !strings.Contains(err.Error(), want)):
			t.Errorf("%s\nis refused: %v\nwant %s", in, err, line)
			line = "! " + err.Error()
		case err == nil && (mark != "=" || e.String() != want):
			t.Errorf("%s\nis read as %s\nwant %s", in, e, line)
			line = "= " + e.String()
		}
		out = append(out, line)
	}
	if checked < 40 {
		t.Errorf("only %d filters checked", checked)
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(out, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func sampleState() *certstate.State {
	tm := func(s string) edm.DateTimeOffset {
		v, err := edm.ParseDateTimeOffset(s)
		if err != nil {
			panic(err)
		}
		return v
	}
	return &certstate.State{
		ID: edm.Str("a"), RevokeStatus: certstate.Failed, DeviceName: edm.Str("LAPTOP-0042"), UserPrincipalName: edm.String{},
		NotAfter: tm("2026-12-31T23:59:34.9547208-08:00"), Issuer: edm.Str(""), Serial: edm.Str("00:AB:cd"), Subject: edm.Str("CN=Åsa, O=Fleet"),
		KeyUsages: edm.Int(-7), NotBefore: tm("2025-12-31T23:59:34Z"),
	}
}

// Each rule of the standard about null, types and functions, on one record
// (OData URL Conventions §5.1.1). "null" stands for a condition that is null.
func TestEval(t *testing.T) {
	env := &odata.Env{State: sampleState(), Now: edm.Time(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))}
	for filter, want := range map[string]string{
		// null equals null alone; gt and lt are false for it, and so is their opposite's other side
		"userPrincipalName eq null": "true", "userPrincipalName ne null": "false", "null eq null": "true",
		"userPrincipalName eq 'x'": "false", "userPrincipalName ne 'x'": "true", "userPrincipalName eq ''": "false", "certificateIssuerName eq ''": "true",
		"userPrincipalName gt ''": "false", "not (userPrincipalName gt '')": "true", "userPrincipalName lt 'x'": "false",
		"userPrincipalName ge null": "true", "userPrincipalName gt null": "false", "id ge null": "false",
		"userPrincipalName eq certificateThumbprint": "true", "userPrincipalName ne certificateIssuerName": "true",
		"userPrincipalName in ('x',null)": "true", "userPrincipalName in ('x')": "false", "id in ()": "false", "not (id in ())": "true",
		// a function of null is null, and null is neither true nor its negation
		"contains(userPrincipalName,'')": "null", "not contains(userPrincipalName,'')": "null", "contains(userPrincipalName,'') eq null": "true",
		"contains(userPrincipalName,'') eq false": "false", "contains(userPrincipalName,'') ne true": "true",
		// three-valued and, or (§5.1.1.2)
		"contains(userPrincipalName,'') and false": "false", "contains(userPrincipalName,'') and true": "null",
		"contains(userPrincipalName,'') or true": "true", "contains(userPrincipalName,'') or false": "null", "null and null": "null", "not null": "null",
		// text
		"contains(certificateSubjectName,'Åsa')": "true", "contains(certificateSubjectName,'åsa')": "false", "contains(tolower(certificateSubjectName),'åsa')": "true",
		"startswith(managedDeviceDisplayName,'LAP')": "true", "endswith(managedDeviceDisplayName,'42')": "true",
		"length(certificateSubjectName) eq 15": "true", "indexof(certificateSubjectName,'O=') eq 8": "true", "indexof(id,'zz') eq -1": "true",
		"substring(certificateSubjectName,3,3) eq 'Åsa'": "true", "substring(id,5) eq ''": "true", "substring(id,0,-1) eq ''": "true",
		"concat(concat(id,'-'),id) eq 'a-a'": "true", "trim('\u00a0 x\t') eq 'x'": "true", "toupper('straße') eq 'STRASSE'": "false",
		"managedDeviceDisplayName gt 'LAPTOP-0041'": "true", "'b' gt id": "true",
		// serial numbers: as hexadecimal or decimal, in any spelling; elsewhere as text
		"certificateSerialNumber eq 'abcd'": "true", "certificateSerialNumber eq '43981'": "true", "certificateSerialNumber ne 'AB CD'": "false",
		"certificateSerialNumber in ('1','0xABCD')": "true", "startswith(certificateSerialNumber,'abcd')": "false", "certificateThumbprint ne 'abcd'": "true",
		// numbers
		"certificateKeyUsages div 2 eq -3": "true", "certificateKeyUsages mod 2 eq -1": "true", "certificateKeyUsages divby 2 eq -3.5": "true",
		"certificateKeyUsages div 2.0 eq -3.5": "true", "-certificateKeyUsages eq 7": "true", "certificateKeyUsages sub 1 mul 2 eq -9": "true",
		"certificateKeyUsages eq -7.0": "true", "certificateKeyUsages gt -7.5": "true", "1 div (certificateKeyUsages add 7) eq null": "true",
		// dates, in the offset they were written with
		"year(certificateExpirationDateTime) eq 2026 and month(certificateExpirationDateTime) eq 12 and day(certificateExpirationDateTime) eq 31":   "true",
		"hour(certificateExpirationDateTime) eq 23 and minute(certificateExpirationDateTime) eq 59 and second(certificateExpirationDateTime) eq 34": "true",
		"fractionalseconds(certificateExpirationDateTime) eq 0.9547208":                                                                             "true", "totaloffsetminutes(certificateExpirationDateTime) eq -480": "true",
		"date(certificateExpirationDateTime) eq 2026-12-31": "true", "time(certificateExpirationDateTime) gt 23:59": "true",
		"certificateExpirationDateTime eq 2027-01-01T07:59:34.9547208Z": "true", "certificateExpirationDateTime sub now() lt 'P32D'": "true",
		"certificateExpirationDateTime lt now() add duration'P31D'": "false", "certificateRevokeStatusLastChangeDateTime eq mindatetime()": "true",
		"certificateExpirationDateTime le maxdatetime()": "true", "totalseconds(duration'PT1.5S') eq 1.5": "true",
		"year(maxdatetime() add duration'P1D') eq null": "true", "hour(time(certificateExpirationDateTime)) eq 23": "true",
		// the enumeration
		"certificateRevokeStatus eq 'failed'": "true", "certificateRevokeStatus in ('none','revoked')": "false",
		"cast(certificateRevokeStatus,Edm.String) eq 'failed'": "true", "cast(certificateKeyUsages,Edm.String) eq '-7'": "true",
		"isof(userPrincipalName,Edm.String)": "false", "isof(id,Edm.String)": "true", "isof(id,Edm.Int32)": "false",
		"matchesPattern(certificateSubjectName,'^CN=.+, O=Fleet$')": "true",
		"true": "true", "null": "null",
	} {
		e, err := odata.ParseFilter(filter, nil)
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		v := e.Eval(env)
		got := fmt.Sprint(v.N != 0)
		if v.Null {
			got = "null"
		}
		if got != want {
			t.Errorf("%s is %s, want %s", filter, got, want)
		}
	}
}

func TestSearch(t *testing.T) {
	env := &odata.Env{State: sampleState()}
	for text, want := range map[string]string{ // canonical text, with ! if it does not match
		`laptop`: `"laptop"`, `LAP`: `"LAP"`, `aptop`: `!"aptop"`, `laptop 004`: `"laptop" AND "004"`, `"laptop 004"`: `"laptop 004"`, `"004 laptop"`: `!"004 laptop"`,
		`fleet NOT laptop`: `!"fleet" AND NOT "laptop"`, `x OR åsa AND fleet`: `"x" OR "åsa" AND "fleet"`, `(x OR åsa) AND fleet`: `("x" OR "åsa") AND "fleet"`,
		`NOT (x y)`: `NOT ("x" AND "y")`, `AND`: `!"AND"`, `NOT`: `!"NOT"`, `NOT NOT`: `NOT "NOT"`, `ab:cd`: `"ab:cd"`, `43981`: `"43981"`, `"a\"b"`: `!"a\"b"`,
		`'fleet'`: `"fleet"`, `cn`: `!"cn"`, `"laptop asa"`: `!"laptop asa"`, `--`: `!"--"`,
	} {
		e, err := odata.ParseSearch(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := odata.SearchText(e)
		again, err := odata.ParseSearch(got)
		if err != nil || odata.SearchText(again) != got {
			t.Errorf("%s: %s is read back as %v, %v", text, got, again, err)
		}
		if v := e.Eval(env); v.N == 0 {
			got = "!" + got
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"", `"x`, "(x", "x)", `"x"y`, "x AND (", strings.Repeat("x ", 33) + "x"} {
		if e, err := odata.ParseSearch(text); certstate.ErrorCode(err) != certstate.Invalid {
			t.Errorf("%s is read as %v, %v", text, e, err)
		}
	}
}

func TestApply(t *testing.T) {
	for text, want := range map[string]string{ // "" means refused
		"groupby((certificateRevokeStatus),aggregate($count as n))":                                                "groupby((certificateRevokeStatus),aggregate($count as n))",
		"filter(certificateKeyUsages gt 3)/groupby((userPrincipalName, certificateIssuerName))":                    "filter(certificateKeyUsages gt 3)/groupby((userPrincipalName,certificateIssuerName))",
		"aggregate(certificateKeyUsages with sum as s,certificateExpirationDateTime with max as m)":                "aggregate(certificateKeyUsages with sum as s,certificateExpirationDateTime with max as m)",
		"compute(year(certificateExpirationDateTime) as y)/groupby((y),aggregate($count as n))":                    "compute(year(certificateExpirationDateTime) as y)/groupby((y),aggregate($count as n))",
		"groupby((year(certificateExpirationDateTime),month(certificateExpirationDateTime)))":                      "compute(year(certificateExpirationDateTime) as year,month(certificateExpirationDateTime) as month)/groupby((year,month))",
		"groupby((year(certificateExpirationDateTime) as y),aggregate(userPrincipalName with countdistinct as u))": "compute(year(certificateExpirationDateTime) as y)/groupby((y),aggregate(userPrincipalName with countdistinct as u))",
		"aggregate()": "", "aggregate(certificateKeyUsages with sum)": "", "aggregate(certificateKeyUsages as x)": "", "aggregate($count with sum as x)": "",
		"topcount(2,certificateKeyUsages)": "", "groupby((nothing))": "", "groupby((id,id))": "", "aggregate(userPrincipalName with sum as s)": "",
		"groupby((id))/filter(id eq 'x')": "", "compute(year(certificateExpirationDateTime) as y)": "", "aggregate($count as id)": "", "groupby((id)": "",
	} {
		q, err := odata.ParseQuery("$apply="+strings.ReplaceAll(text, " ", "%20"), odata.ListOptions)
		switch {
		case want == "" && certstate.ErrorCode(err) != certstate.Invalid:
			t.Errorf("%s is read: %v", text, err)
		case want != "" && (err != nil || q.Apply.String() != want):
			t.Errorf("%s: %v, %v; want %s", text, q.Apply, err, want)
		}
	}
}

// What is read is written, and read back the same; nothing takes long.
func FuzzFilter(f *testing.F) {
	text, err := os.ReadFile("testdata/filters.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f.Add(strings.TrimSuffix(line, "\n"))
	}
	env := &odata.Env{State: sampleState()}
	f.Fuzz(func(t *testing.T, in string) {
		started := time.Now()
		e, err := odata.ParseFilter(in, nil)
		if err != nil {
			if certstate.ErrorCode(err) != certstate.Invalid {
				t.Errorf("%q: %v is not for the client", in, err)
			}
			return
		}
		e.Eval(env)
		again, err := odata.ParseFilter(e.String(), nil)
		if err != nil || again.String() != e.String() {
			t.Errorf("%q: %q is read back as %v, %v", in, e, again, err)
		}
		if took := time.Since(started); took > 100*time.Millisecond {
			t.Errorf("%q took %s", in, took)
		}
	})
}

func FuzzSearch(f *testing.F) {
	f.Add(`foo AND (bar OR "baz \" x") NOT quux`)
	f.Fuzz(func(t *testing.T, in string) {
		e, err := odata.ParseSearch(in)
		if err != nil {
			return
		}
		again, err := odata.ParseSearch(odata.SearchText(e))
		if err != nil || odata.SearchText(again) != odata.SearchText(e) {
			t.Errorf("%q: %s is read back as %v, %v", in, odata.SearchText(e), again, err)
		}
	})
}
