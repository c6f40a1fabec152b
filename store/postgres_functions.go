package store

import (
	"strings"
	"sync"
	"unicode"

	"certstate/odata"
)

// postgresTemplates are PostgreSQL's own functions. Numbers are bigint or
// double precision throughout, texts of the collation "C": an expression that
// has no column in it says so.
var postgresTemplates = withCommon(map[string]template{
	"contains(String,String)":       {text: "strpos({1}, {2}) > 0"},
	"endswith(String,String)":       {text: "right({1}, length({2})) = {2}"},
	"length(String)":                {text: "CAST(length({1}) AS bigint)"},
	"indexof(String,String)":        {text: "CAST(strpos({1}, {2}) - 1 AS bigint)"},
	"substring(String,Int64)":       {text: "substr({1}, " + within("{2}") + " + 1)"},
	"substring(String,Int64,Int64)": {text: "substr({1}, " + within("{2}") + " + 1, " + within("{3}") + ")"},
	"tolower(String)":               {text: mapped("lower")},
	"toupper(String)":               {text: mapped("upper")},
	"trim(String)":                  {text: "btrim({1}, '" + odata.WhiteSpace + "')"},

	"year(DateTimeOffset)":              {postgresDate("year", "{1l} / 864000000000"), clockRange},
	"month(DateTimeOffset)":             {postgresDate("month", "{1l} / 864000000000"), clockRange},
	"day(DateTimeOffset)":               {postgresDate("day", "{1l} / 864000000000"), clockRange},
	"year(Date)":                        {text: postgresDate("year", "{1}")},
	"month(Date)":                       {text: postgresDate("month", "{1}")},
	"day(Date)":                         {text: postgresDate("day", "{1}")},
	"fractionalseconds(DateTimeOffset)": {"(CAST({1l} % 10000000 AS double precision) / 10000000)", clockRange},
	"fractionalseconds(TimeOfDay)":      {text: "(CAST({1} % 10000000 AS double precision) / 10000000)"},
	"totalseconds(Duration)":            {text: "(CAST({1} AS double precision) / 10000000)"},

	"cast(Int64,String)": {text: `(CAST({1} AS text) COLLATE "C")`},
	"cast(microsoft.graph.certificateRevocationStatus,String)": {text: "(" + enumText("{1}") + ` COLLATE "C")`},
	"cast(Int64,Double)":   {text: "CAST({1} AS double precision)"},
	"div(Double,Double)":   {"(CAST({1} AS double precision) / nullif({2}, 0))", "{2} = 0"},
	"divby(Double,Double)": {"(CAST({1} AS double precision) / nullif({2}, 0))", "{2} = 0"},
})

// postgresWithout says why PostgreSQL has no matchesPattern: its patterns mean
// something else than those of ECMAScript and RE2, and matching one can take
// time exponential in its length.
var postgresWithout = map[string]string{
	"matchesPattern": "it has patterns of another kind; use contains, startswith, endswith or $search",
}

// within is a number of characters: PostgreSQL counts them in 32 bits.
func within(n string) string { return "CAST(least(greatest(" + n + ", 0), 1073741823) AS integer)" }

// postgresDate is a part of the date of a number of days since 0001-01-01. A
// number that has no date is evaluated too, although nobody looks at the result.
func postgresDate(part, days string) string {
	return "CAST(extract(" + part + " FROM DATE '0001-01-01' + CAST(least(greatest(" + days + ", 0), 3652058) AS integer)) AS bigint)"
}

// mapped changes the case of a text, character by character as Go does. ICU and
// the C library change more (ß to SS, İ to two characters, a final Σ) or less,
// each in its own way; in "C", lower and upper change ASCII and are exact.
// translate looks each character up in a list from its beginning, so texts of
// European languages have a short one. The subquery evaluates the argument once.
func mapped(function string) string {
	x := function + `(x COLLATE "C")`
	return "(SELECT CASE WHEN octet_length(x) = length(x) THEN " + x +
		" WHEN x !~ '[^\\u0001-\\u017f]' THEN translate(" + x + ", {" + function + "Latin}, {" + function + "LatinTo}) " +
		"ELSE translate(" + x + ", {" + function + "All}, {" + function + "AllTo}) END FROM (SELECT {1} AS x OFFSET 0) AS argument)"
}

// caseArguments are what mapped binds: the characters that change, and what
// they change to.
var caseArguments = sync.OnceValue(func() map[string]string {
	m := map[string]string{}
	for function, by := range map[string]func(rune) rune{"lower": unicode.ToLower, "upper": unicode.ToUpper} {
		m["{"+function+"Latin}"], m["{"+function+"LatinTo}"] = changed(by, 0x17f)
		m["{"+function+"All}"], m["{"+function+"AllTo}"] = changed(by, unicode.MaxRune)
	}
	return m
})

// changed lists the characters beyond ASCII that a function changes, and to
// which.
func changed(by func(rune) rune, last rune) (string, string) {
	var from, to strings.Builder
	for r := rune(unicode.MaxASCII + 1); r <= last; r++ {
		if c := by(r); c != r {
			from.WriteRune(r)
			to.WriteRune(c)
		}
	}
	return from.String(), to.String()
}
