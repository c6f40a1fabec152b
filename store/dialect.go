package store

import (
	"fmt"
	"strings"

	"certstate/odata"
)

// template is a function of the query language in SQL. {1}, {2}, {3} stand for
// the arguments, {1o} for the offset of a date and time in minutes, {1l} for
// the ticks that a clock at its offset shows.
type template struct {
	text string
	// null is when the result is null although no argument is; "" is never.
	null string
}

// clockRange is when a date and time that arithmetic made has no date.
const clockRange = "{1l} NOT BETWEEN 0 AND 3155378975999999999"

// sqliteTemplates has a row for each of odata.Functions, by signature. The
// functions certstate_… are registered with the drivers: SQLite's lower and
// upper know ASCII alone.
var sqliteTemplates = map[string]template{
	"contains(String,String)":       {text: "instr({1}, {2}) > 0"},
	"startswith(String,String)":     {text: "substr({1}, 1, length({2})) = {2}"},
	"endswith(String,String)":       {text: "(length({1}) >= length({2}) AND substr({1}, length({1}) - length({2}) + 1) = {2})"},
	"matchesPattern(String,String)": {text: "certstate_matches({1}, {2})"},
	"length(String)":                {text: "length({1})"},
	"indexof(String,String)":        {text: "(instr({1}, {2}) - 1)"},
	"concat(String,String)":         {text: "({1} || {2})"},
	"substring(String,Int64)":       {text: "substr({1}, max({2}, 0) + 1)"},
	"substring(String,Int64,Int64)": {text: "substr({1}, max({2}, 0) + 1, max({3}, 0))"},
	"tolower(String)":               {text: "certstate_lower({1})"},
	"toupper(String)":               {text: "certstate_upper({1})"},
	"trim(String)":                  {text: "trim({1}, '" + odata.WhiteSpace + "')"},

	"year(DateTimeOffset)":               {datePart("%Y", "{1l} / 10000000"), clockRange},
	"month(DateTimeOffset)":              {datePart("%m", "{1l} / 10000000"), clockRange},
	"day(DateTimeOffset)":                {datePart("%d", "{1l} / 10000000"), clockRange},
	"year(Date)":                         {text: datePart("%Y", "{1} * 86400")},
	"month(Date)":                        {text: datePart("%m", "{1} * 86400")},
	"day(Date)":                          {text: datePart("%d", "{1} * 86400")},
	"hour(DateTimeOffset)":               {"({1l} / 36000000000 % 24)", clockRange},
	"minute(DateTimeOffset)":             {"({1l} / 600000000 % 60)", clockRange},
	"second(DateTimeOffset)":             {"({1l} / 10000000 % 60)", clockRange},
	"hour(TimeOfDay)":                    {text: "({1} / 36000000000 % 24)"},
	"minute(TimeOfDay)":                  {text: "({1} / 600000000 % 60)"},
	"second(TimeOfDay)":                  {text: "({1} / 10000000 % 60)"},
	"fractionalseconds(DateTimeOffset)":  {"({1l} % 10000000 / 10000000.0)", clockRange},
	"fractionalseconds(TimeOfDay)":       {text: "({1} % 10000000 / 10000000.0)"},
	"date(DateTimeOffset)":               {"({1l} / 864000000000)", clockRange},
	"time(DateTimeOffset)":               {"({1l} % 864000000000)", clockRange},
	"totaloffsetminutes(DateTimeOffset)": {text: "{1o}"},
	"totalseconds(Duration)":             {text: "({1} / 10000000.0)"},
	"now()":                              {text: "{now}"},
	"mindatetime()":                      {text: "0"},
	"maxdatetime()":                      {text: "3155378975999999999"},

	"cast(Int64,String)": {text: "CAST({1} AS text)"},
	"cast(microsoft.graph.certificateRevocationStatus,String)": {text: enumText("{1}")},
	"cast(Int64,Double)": {text: "CAST({1} AS real)"},
	"cast(microsoft.graph.certificateRevocationStatus,Int32)": {text: "{1}"},

	"add(Int64,Int64)":                   {text: "({1} + {2})"},
	"add(Double,Double)":                 {text: "({1} + {2})"},
	"add(DateTimeOffset,Duration)":       {text: "({1} + {2})"},
	"add(Duration,Duration)":             {text: "({1} + {2})"},
	"sub(Int64,Int64)":                   {text: "({1} - {2})"},
	"sub(Double,Double)":                 {text: "({1} - {2})"},
	"sub(DateTimeOffset,Duration)":       {text: "({1} - {2})"},
	"sub(DateTimeOffset,DateTimeOffset)": {text: "({1} - {2})"},
	"sub(Duration,Duration)":             {text: "({1} - {2})"},
	"mul(Int64,Int64)":                   {text: "({1} * {2})"},
	"mul(Double,Double)":                 {text: "({1} * {2})"},
	"mul(Duration,Int64)":                {text: "({1} * {2})"},
	"div(Int64,Int64)":                   {"({1} / nullif({2}, 0))", "{2} = 0"},
	"div(Double,Double)":                 {"(CAST({1} AS real) / nullif({2}, 0))", "{2} = 0"},
	"div(Duration,Int64)":                {"({1} / nullif({2}, 0))", "{2} = 0"},
	"divby(Double,Double)":               {"(CAST({1} AS real) / nullif({2}, 0))", "{2} = 0"},
	"mod(Int64,Int64)":                   {"({1} % nullif({2}, 0))", "{2} = 0"},
	"-(Int64)":                           {text: "(-{1})"},
	"-(Double)":                          {text: "(-{1})"},
	"-(Duration)":                        {text: "(-{1})"},
}

// textFunctions are what SQL calls for text beyond ASCII; matchesFunction takes
// a text and a pattern.
var textFunctions = map[string]func(string) string{"certstate_lower": strings.ToLower, "certstate_upper": strings.ToUpper}

const matchesFunction = "certstate_matches"

// datePart is a part of the date of a number of seconds since 0001-01-01.
func datePart(form, seconds string) string {
	return "CAST(strftime('" + form + "', " + seconds + " - 62135596800, 'unixepoch') AS integer)"
}

// enumText is the name of the enumeration's member.
func enumText(value string) string {
	var b strings.Builder
	b.WriteString("CASE " + value)
	for i, name := range revokeStatuses {
		fmt.Fprintf(&b, " WHEN %d THEN '%s'", i, name)
	}
	return b.String() + " END"
}
