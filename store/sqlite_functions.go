package store

import (
	"strings"

	"certstate/odata"
)

// sqliteTemplates are SQLite's own functions. Those named certstate_… are
// registered with the drivers: SQLite's lower and upper know ASCII alone.
var sqliteTemplates = withCommon(map[string]template{
	"contains(String,String)":           {text: "instr({1}, {2}) > 0"},
	"endswith(String,String)":           {text: "(length({1}) >= length({2}) AND substr({1}, length({1}) - length({2}) + 1) = {2})"},
	"matchesPattern(String,String)":     {text: "certstate_matches({1}, {2})"},
	"length(String)":                    {text: "length({1})"},
	"indexof(String,String)":            {text: "(instr({1}, {2}) - 1)"},
	"substring(String,Int64)":           {text: "substr({1}, max({2}, 0) + 1)"},
	"substring(String,Int64,Int64)":     {text: "substr({1}, max({2}, 0) + 1, max({3}, 0))"},
	"tolower(String)":                   {text: "certstate_lower({1})"},
	"toupper(String)":                   {text: "certstate_upper({1})"},
	"trim(String)":                      {text: "trim({1}, '" + odata.WhiteSpace + "')"},
	"year(DateTimeOffset)":              {datePart("%Y", "{1l} / 10000000"), clockRange},
	"month(DateTimeOffset)":             {datePart("%m", "{1l} / 10000000"), clockRange},
	"day(DateTimeOffset)":               {datePart("%d", "{1l} / 10000000"), clockRange},
	"year(Date)":                        {text: datePart("%Y", "{1} * 86400")},
	"month(Date)":                       {text: datePart("%m", "{1} * 86400")},
	"day(Date)":                         {text: datePart("%d", "{1} * 86400")},
	"fractionalseconds(DateTimeOffset)": {"({1l} % 10000000 / 10000000.0)", clockRange},
	"fractionalseconds(TimeOfDay)":      {text: "({1} % 10000000 / 10000000.0)"},
	"totalseconds(Duration)":            {text: "({1} / 10000000.0)"},
	"cast(Int64,String)":                {text: "CAST({1} AS text)"},
	"cast(microsoft.graph.certificateRevocationStatus,String)": {text: enumText("{1}")},
	"cast(Int64,Double)":   {text: "CAST({1} AS real)"},
	"div(Double,Double)":   {"(CAST({1} AS real) / nullif({2}, 0))", "{2} = 0"},
	"divby(Double,Double)": {"(CAST({1} AS real) / nullif({2}, 0))", "{2} = 0"},
})

// textFunctions are what SQL calls for text beyond ASCII; matchesFunction takes
// a text and a pattern.
var textFunctions = map[string]func(string) string{"certstate_lower": strings.ToLower, "certstate_upper": strings.ToUpper}

const matchesFunction = "certstate_matches"

// datePart is a part of the date of a number of seconds since 0001-01-01.
func datePart(form, seconds string) string {
	return "CAST(strftime('" + form + "', " + seconds + " - 62135596800, 'unixepoch') AS integer)"
}
