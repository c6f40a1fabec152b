package odata

import (
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"certstate"
	"certstate/edm"
)

// MaxPageSize is how many records a page has if it is not asked to have fewer.
// Scripts read the first page and never the next, so it is large.
const MaxPageSize = 1000

// MaxQuery bounds the query of a URL, in bytes. The link to the next page holds
// it again, with the token, and must fit a request's headers.
const MaxQuery = 16 << 10

// MaxSkip bounds $skip: what is skipped is walked over.
const MaxSkip = 100_000

// Query is the checked query part of a URL.
type Query struct {
	Select    certstate.Set // the properties to write; Defaults if none were named
	Selected  []string      // as named by $select, in its order; nil if there was none
	Filter    Expr          // nil if there is none
	Search    Expr          // nil if there is none
	Apply     *Apply        // nil if there is none
	Order     []Order       // after which records stand in the order of their creation
	Top       int           // as it was given, 0 if it was not
	Skip      int           // records to leave out before the first page
	Count     bool
	SkipToken string
	Delta     string              // a $deltatoken
	AsOf      *edm.DateTimeOffset // the time to answer for, nil for now
	Signature string              // the token of a URL that anybody may follow
	Format    string              // as given: who answers reads it by [Format], before anything else
}

// Condition is what a record must satisfy: filter and search, nil for none.
func (q *Query) Condition() Expr { return And(q.Filter, q.Search) }

// Matches reports whether the query's condition holds for a record at a time.
func (q *Query) Matches(s *certstate.State, now edm.DateTimeOffset) bool {
	c := q.Condition()
	return c == nil || c.Eval(&Env{State: s, Now: now}).is(true)
}

// option is a row of the table of query options: what is not in it is refused
// by name, and what is in it is allowed only where a route says so.
type option struct {
	name  string // as documented
	parse func(q *Query, value string, aliases map[string]string) error
}

func (o option) key() string { return optionKey(o.name) }

// optionKey is the form in which names of options are compared.
func optionKey(name string) string { return strings.ToLower(strings.TrimPrefix(name, "$")) }

// Options is a set of options a resource takes.
type Options []option

// The table of options. They are read in the order of a set: $orderby after
// $apply, whose columns it may name.
var (
	optFormat    = option{"$format", parse(func(q *Query, v string) error { q.Format = v; return nil })}
	optSelect    = option{"$select", parse((*Query).parseSelect)}
	optFilter    = option{"$filter", (*Query).parseFilter}
	optSteady    = option{"$filter", (*Query).parseSteadyFilter}
	optSearch    = option{"$search", parse((*Query).parseSearch)}
	optApply     = option{"$apply", (*Query).parseApply}
	optOrder     = option{"$orderby", parse((*Query).parseOrder)}
	optTop       = option{"$top", parse((*Query).parseTop)}
	optSkip      = option{"$skip", parse((*Query).parseSkip)}
	optCount     = option{"$count", parse((*Query).parseCount)}
	optSkipToken = option{"$skiptoken", parse(func(q *Query, v string) error { q.SkipToken = v; return nil })}
	optDelta     = option{"$deltatoken", parse(func(q *Query, v string) error { q.Delta = v; return nil })}
	optSignature = option{"sig", parse(func(q *Query, v string) error { q.Signature = v; return nil })}
	optAsOf      = option{"certstate.asOf", parse((*Query).parseAsOf)}
)

// parse makes a reader of an option in which no aliases can stand.
func parse(read func(*Query, string) error) func(*Query, string, map[string]string) error {
	return func(q *Query, v string, _ map[string]string) error { return read(q, v) }
}

// What each kind of request takes.
var (
	ListOptions   = Options{optSelect, optFilter, optSearch, optApply, optOrder, optTop, optSkip, optCount, optSkipToken, optAsOf, optFormat}
	TableOptions  = Options{optSelect, optFilter, optSearch, optOrder, optTop, optSkip, optAsOf, optFormat} // of all records, as lines
	ReadOptions   = Options{optSelect, optAsOf, optFormat}
	CountOptions  = Options{optFilter, optSearch, optAsOf}
	WriteOptions  = Options{optSelect, optFormat}
	FormatOption  = Options{optFormat} // all that a resource takes which is not a record
	NoOptions     = Options{}
	SignedURL     = Options{optSignature}
	RejectOptions = Options{optTop, optSkipToken, optFormat}

	DeltaOptions   = Options{optSelect, optSteady, optTop, optSkipToken, optDelta, optFormat}
	HistoryOptions = Options{optTop, optSkipToken, optFormat}
)

// Names lists the options as they are documented.
func (o Options) Names() []string {
	names := make([]string, len(o))
	for i := range o {
		names[i] = o[i].name
	}
	return names
}

// Has reports whether an option is in the set, by its documented name.
func (o Options) Has(name string) bool { return slices.Contains(o.Names(), name) }

// Format is the value of $format in the raw query of a URL. [ParseQuery]
// refuses it where it may not stand, and a second one.
func Format(raw string) (value string, given bool) {
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, err := unescapePair(pair)
		if err == nil && optionKey(name) == optFormat.key() {
			return value, true
		}
	}
	return "", false
}

// ParseQuery reads the raw query of a URL. Names may carry their $ plain, as
// %24 or not at all, in any case (OData URL Conventions §5.1, Graph's
// query-parameters page); + is a space, as in ODataLib.
func ParseQuery(raw string, allowed Options) (Query, error) {
	if raw == "" {
		return Query{Select: certstate.Defaults}, nil
	}
	return recent.parse(raw, allowed)
}

func parseQuery(raw string, allowed Options) (Query, error) {
	q := Query{Select: certstate.Defaults}
	values, aliases, err := splitQuery(raw, allowed)
	if err != nil {
		return q, err
	}
	for _, o := range allowed {
		if value, given := values[o.key()]; given {
			if err := o.parse(&q, value, aliases); err != nil {
				return q, err
			}
		}
	}
	return q, q.check()
}

// splitQuery takes the raw query apart: the values of options, by key, and
// those of parameter aliases.
func splitQuery(raw string, allowed Options) (values, aliases map[string]string, err error) {
	if len(raw) > MaxQuery {
		return nil, nil, certstate.Errorf(certstate.Invalid, "", "The query is longer than %d bytes: ask in several requests.", MaxQuery)
	}
	values, aliases = map[string]string{}, map[string]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, err := unescapePair(pair)
		if err != nil {
			return nil, nil, err
		}
		into, key := values, optionKey(name)
		if strings.HasPrefix(name, "@") {
			into, key = aliases, name
		} else if i := slices.IndexFunc(allowed, func(o option) bool { return o.key() == key }); i >= 0 {
			name = allowed[i].name
		} else {
			return nil, nil, unknownOption(name, allowed)
		}
		if _, twice := into[key]; twice {
			return nil, nil, certstate.Errorf(certstate.Invalid, clip(name), "Query option '%s' was given more than once.", clip(name))
		}
		into[key] = value
	}
	return values, aliases, nil
}

// check refuses combinations that have no one meaning.
func (q *Query) check() error {
	if q.Apply == nil {
		return nil
	}
	for name, given := range map[string]bool{"$filter": q.Filter != nil, "$search": q.Search != nil, "$select": q.Selected != nil} {
		if given {
			return certstate.Errorf(certstate.Invalid, name, "%s cannot be combined with $apply: filter before grouping, $apply=filter(…)/groupby(…).", name)
		}
	}
	return nil
}

func unescapePair(pair string) (name, value string, err error) {
	rawName, rawValue, _ := strings.Cut(pair, "=")
	name, err1 := url.QueryUnescape(rawName)
	value, err2 := url.QueryUnescape(rawValue)
	if err1 != nil || err2 != nil {
		return "", "", certstate.Errorf(certstate.Invalid, "", "The query %q is not well percent-encoded.", clip(pair))
	}
	return strings.TrimSpace(name), strings.TrimSpace(value), nil
}

func unknownOption(name string, allowed Options) error {
	takes := "This resource takes no query options."
	if len(allowed) > 0 {
		takes = "This resource takes " + strings.Join(allowed.Names(), ", ") + "."
	}
	return certstate.Errorf(certstate.Invalid, clip(name),
		"The query specified in the URI is not valid. Query option '%s' is not allowed. %s", clip(name), takes)
}

func (q *Query) parseSelect(v string) error {
	q.Select = 0
	for item := range strings.SplitSeq(v, ",") {
		name := strings.TrimSpace(item)
		if name == "*" {
			q.Select |= certstate.Defaults
			q.Selected = append(q.Selected, name)
			continue
		}
		i, ok := certstate.Lookup(name)
		if !ok {
			return noProperty("$select", name)
		}
		if !slices.Contains(q.Selected, name) {
			q.Selected = append(q.Selected, name)
		}
		q.Select |= 1 << i
	}
	return nil
}

func noProperty(option, name string) error {
	return certstate.Errorf(certstate.Invalid, option,
		"Could not find a property named '%s' on type '%s'%s", clip(name), certstate.TypeName, didYouMean(name, "."))
}

func (q *Query) parseFilter(v string, aliases map[string]string) (err error) {
	q.Filter, err = ParseFilter(v, aliases)
	return err
}

func (q *Query) parseSearch(v string) (err error) {
	q.Search, err = ParseSearch(v)
	return err
}

// parseApply reads $apply; one that only filters is a filter.
func (q *Query) parseApply(v string, aliases map[string]string) error {
	a, err := parseApply(v, aliases)
	switch {
	case err != nil:
		return err
	case len(a.Groups)+len(a.Aggregates) == 0:
		q.Filter = And(q.Filter, a.Filter)
	default:
		q.Apply = a
	}
	return nil
}

func (q *Query) parseOrder(v string) (err error) {
	q.Order, err = parseOrder(v, q.Apply)
	return err
}

func (q *Query) parseSkip(v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || v[0] == '+' || v[0] == '-' {
		return certstate.Errorf(certstate.Invalid, "$skip", "Invalid value '%s' for $skip query option found. The $skip query option requires a non-negative integer.", clip(v))
	}
	if n > MaxSkip {
		return certstate.Errorf(certstate.Invalid, "$skip", "The limit of '%d' for Skip query has been exceeded: follow @odata.nextLink, or filter.", MaxSkip)
	}
	q.Skip = n
	return nil
}

func (q *Query) parseAsOf(v string) error {
	t, err := edm.ParseDateTimeOffset(strings.Replace(v, " ", "+", 1))
	if err != nil {
		return certstate.Errorf(certstate.Invalid, "certstate.asOf", "certstate.asOf: %s.", err)
	}
	q.AsOf = &t
	return nil
}

func (q *Query) parseTop(v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > math.MaxInt32 || v[0] == '+' {
		return certstate.Errorf(certstate.Invalid, "$top", "Invalid value '%s' for $top query option found. The $top query option requires a positive integer.", clip(v))
	}
	q.Top = n
	return nil
}

func (q *Query) parseCount(v string) error {
	switch strings.ToLower(v) {
	case "true":
		q.Count = true
	case "false":
	default:
		return certstate.Errorf(certstate.Invalid, "$count", "Invalid value '%s' for $count query option found. Valid values are 'true' and 'false'.", clip(v))
	}
	return nil
}

// PageSize is the number of records on a page: $top, or the client's
// odata.maxpagesize preference, or the default. Like Graph it takes $top as a
// page size and caps it; nothing is lost, since a nextLink follows.
func (q *Query) PageSize(preferred int) int {
	size := MaxPageSize
	for _, wanted := range []int{q.Top, preferred} {
		if wanted > 0 {
			size = min(size, wanted)
		}
	}
	return size
}

// String is the query in canonical form without its tokens and $skip: equal for
// URLs that mean the same, whoever encoded them. Tokens are bound to it, and it
// is the query of the next page, which begins after what was skipped.
func (q *Query) String() string {
	var b strings.Builder
	add := func(name, value string) {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(name + "=" + escapeValue(value))
	}
	if q.Selected != nil {
		add("$select", strings.Join(q.Selected, ","))
	}
	if q.Filter != nil {
		add("$filter", q.Filter.String())
	}
	if q.Search != nil {
		add("$search", SearchText(q.Search))
	}
	if q.Apply != nil {
		add("$apply", q.Apply.String())
	}
	if q.Order != nil {
		add("$orderby", q.orderText())
	}
	if q.Top > 0 {
		add("$top", strconv.Itoa(q.Top))
	}
	if q.Count {
		add("$count", "true")
	}
	if q.AsOf != nil {
		add("certstate.asOf", q.AsOf.Text())
	}
	if q.Format != "" {
		add("$format", q.Format)
	}
	return b.String()
}

func (q *Query) orderText() string {
	keys := make([]string, len(q.Order))
	for i, o := range q.Order {
		if q.Apply != nil {
			keys[i] = q.Apply.columnName(o.Key)
		} else {
			keys[i] = certstate.Properties[o.Key].Name
		}
		if o.Desc {
			keys[i] += " desc"
		}
	}
	return strings.Join(keys, ",")
}

// escapeValue percent-encodes the value of an option, and leaves readable what
// no client's re-encoding has been seen to change.
func escapeValue(v string) string { return readable.Replace(url.QueryEscape(v)) }

var readable = strings.NewReplacer("+", "%20", "%2C", ",", "%28", "(", "%29", ")", "%3A", ":", "%2F", "/", "%24", "$", "%40", "@", "%27", "'")

func clip(s string) string {
	if len(s) > 128 {
		return strings.ToValidUTF8(s[:128], "") + "…"
	}
	return s
}
