package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"strings"
	"time"

	"certstate/odata"
)

// dialect is what one kind of database does otherwise than another: data and
// small functions. Every statement is written once, in what all of them read;
// it asks the dialect for the few phrases that differ.
type dialect struct {
	name        string
	schemes     []string // of the URLs that name such a database
	open        func(s *Store, url string, o Options) error
	openReplica func(url string) (*sql.DB, error) // nil if there are none
	background  func(*Store)                      // runs until the store stops, nil for nothing
	fault       func(error) *fault                // what an error of the engine is, nil if it is the statement's own

	// Statements.
	rebind         func(text string) string            // placeholders from $1 to the engine's
	argument       func(place string, v any) string    // an argument in an expression, where the engine cannot know its type
	integer        func(n int64) string                // a number that is computed with
	templates      map[string]template                 // the functions of the query language, by signature
	constants      func() map[string]string            // texts that the templates bind
	without        map[string]string                   // and why those it cannot have are not there, by name
	total          func(x string, t odata.Type) string // the sum of values
	average        func(x string) string
	unindexed      string // before a column: bars the indexes that begin with it
	driverPrepares bool   // the driver keeps prepared statements itself
	mergesUnions   bool   // reads a union in the order of its tables' indexes only if its conditions stand outside; else, only if inside

	// Transactions.
	session     string               // sets up the writer's connection, "" for nothing
	begin       string               // a transaction that writes
	forUpdate   string               // ends a SELECT that locks its row
	snapshot    string               // a transaction that reads what there is at one moment, for as long as it likes
	warned      func(*sql.Conn) bool // there was a warning since this was last asked, nil: there are none
	txTime      time.Duration        // how long one may take, 0 for ever
	clock       string               // milliseconds since 1970, by the database's clock
	distributed string               // asks whether records are distributed over machines, "" for never
	nodes       bool                 // several servers write (node.go)

	// Schema.
	migrations   func() []string
	derivedSince int // the version from which on derived data is what today's code derives
	version      func(ctx context.Context, q querier) (int, error)
	prepare      string // before the first migration, "" for nothing
	lock         string // makes others that migrate wait for the transaction's end, "" if begin does
	mark         func(version int) string
	indexes      func() map[string]string       // name → statement that makes it
	integrity    string                         // says "ok" if the engine finds its files whole, "" if it has no such question
	haveIndexes  string                         // lists those there are, as they were made
	makeIndex    func(name, text string) string // so that haveIndexes finds how it was made

	// Room.
	space   func(ctx context.Context, s *Store) (Space, error)
	compact func(ctx context.Context, s *Store, tell func(done string)) error
}

// querier is a database, a connection or a transaction.
type querier interface {
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row
}

// dialects are the kinds of database there are.
var dialects = []*dialect{&sqlite, &postgres}

// dialectOf finds the dialect of the database that a URL names.
func dialectOf(url string) (*dialect, error) {
	for _, d := range dialects {
		for _, scheme := range d.schemes {
			if strings.HasPrefix(url, scheme+":") && len(url) > len(scheme)+1 {
				return d, nil
			}
		}
	}
	scheme, _, _ := strings.Cut(url, ":") // what follows may have a password
	return nil, fmt.Errorf("database %q: write it as %s", scheme+":…", URLForms)
}

// URLForms says how a database is named.
const URLForms = "sqlite:PATH or postgres://USER@HOST/DATABASE"

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

// withCommon adds the functions that all engines write alike to an engine's own.
func withCommon(own map[string]template) map[string]template {
	all := maps.Clone(commonTemplates)
	maps.Copy(all, own)
	return all
}

// commonTemplates are the functions that all engines write alike; an engine's
// own and these have a row for each of odata.Functions, by signature.
var commonTemplates = map[string]template{
	"startswith(String,String)":          {text: "substr({1}, 1, length({2})) = {2}"},
	"concat(String,String)":              {text: "({1} || {2})"},
	"hour(DateTimeOffset)":               {"({1l} / 36000000000 % 24)", clockRange},
	"minute(DateTimeOffset)":             {"({1l} / 600000000 % 60)", clockRange},
	"second(DateTimeOffset)":             {"({1l} / 10000000 % 60)", clockRange},
	"hour(TimeOfDay)":                    {text: "({1} / 36000000000 % 24)"},
	"minute(TimeOfDay)":                  {text: "({1} / 600000000 % 60)"},
	"second(TimeOfDay)":                  {text: "({1} / 10000000 % 60)"},
	"date(DateTimeOffset)":               {"({1l} / 864000000000)", clockRange},
	"time(DateTimeOffset)":               {"({1l} % 864000000000)", clockRange},
	"totaloffsetminutes(DateTimeOffset)": {text: "{1o}"},
	"now()":                              {text: "{now}"},
	"mindatetime()":                      {text: "0"},
	"maxdatetime()":                      {text: "3155378975999999999"},
	"cast(microsoft.graph.certificateRevocationStatus,Int32)":          {text: "{1}"},
	"has(certstate.certificateFindings,certstate.certificateFindings)": {text: "({1} & {2}) = {2}"},
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
	"div(Duration,Int64)":                {"({1} / nullif({2}, 0))", "{2} = 0"},
	"mod(Int64,Int64)":                   {"({1} % nullif({2}, 0))", "{2} = 0"},
	"-(Int64)":                           {text: "(-{1})"},
	"-(Double)":                          {text: "(-{1})"},
	"-(Duration)":                        {text: "(-{1})"},
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
