package odata

import (
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"certstate"
)

// Page sizes. Scripts read the first page and never the next, so the default
// is large.
const (
	DefaultPageSize = 1000
	MaxPageSize     = 1000
)

// Query is the checked query part of a URL.
type Query struct {
	Select    certstate.Set // the properties to write; Defaults if none were named
	Selected  []string      // as named by $select, in its order; nil if there was none
	Top       int           // page size, 0 if not given
	Count     bool
	SkipToken string
}

// option is a row of the table of query options: what is not in it is refused
// by name, and what is in it is allowed only where a route says so.
type option struct {
	name  string // lower case, without $
	parse func(q *Query, value string) error
}

// Options is a set of options a resource takes.
type Options []option

var (
	optSelect    = option{"select", (*Query).parseSelect}
	optTop       = option{"top", (*Query).parseTop}
	optCount     = option{"count", (*Query).parseCount}
	optSkipToken = option{"skiptoken", func(q *Query, v string) error { q.SkipToken = v; return nil }}
)

// What each kind of request takes.
var (
	ListOptions  = Options{optSelect, optTop, optCount, optSkipToken}
	ReadOptions  = Options{optSelect}
	CountOptions = Options{}
	WriteOptions = Options{optSelect}
)

// ParseQuery reads the raw query of a URL. Names may carry their $ plain, as
// %24 or not at all, in any case (OData URL Conventions §5.1, Graph's
// query-parameters page); + is a space, as in ODataLib.
func ParseQuery(raw string, allowed Options) (Query, error) {
	q := Query{Select: certstate.Defaults}
	var seen []string
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, err := unescapePair(pair)
		if err != nil {
			return q, err
		}
		key := strings.ToLower(strings.TrimPrefix(name, "$"))
		i := slices.IndexFunc(allowed, func(o option) bool { return o.name == key })
		if i < 0 {
			return q, unknownOption(name, allowed)
		}
		if slices.Contains(seen, key) {
			return q, certstate.Errorf(certstate.Invalid, "$"+key, "Query option '$%s' was given more than once.", key)
		}
		seen = append(seen, key)
		if err := allowed[i].parse(&q, value); err != nil {
			return q, err
		}
	}
	return q, nil
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
	names := make([]string, len(allowed))
	for i, o := range allowed {
		names[i] = "$" + o.name
	}
	takes := "This resource takes no query options."
	if len(names) > 0 {
		takes = "This resource takes " + strings.Join(names, ", ") + "."
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
	hint := ""
	if s := certstate.Suggest(name); s != "" {
		hint = " Did you mean '" + s + "'?"
	}
	return certstate.Errorf(certstate.Invalid, option,
		"Could not find a property named '%s' on type '%s'.%s", clip(name), certstate.TypeName, hint)
}

func (q *Query) parseTop(v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > math.MaxInt32 || v[0] == '+' {
		return certstate.Errorf(certstate.Invalid, "$top", "Invalid value '%s' for $top query option found. The $top query option requires a positive integer.", clip(v))
	}
	// Graph takes $top as a page size and caps it; nothing is lost, since a
	// nextLink follows.
	q.Top = min(n, MaxPageSize)
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
// odata.maxpagesize preference, or the default.
func (q *Query) PageSize(preferred int) int {
	switch {
	case q.Top > 0 && preferred > 0:
		return min(q.Top, preferred)
	case q.Top > 0:
		return q.Top
	case preferred > 0:
		return min(preferred, MaxPageSize)
	}
	return DefaultPageSize
}

// String is the query in canonical form without its $skiptoken: equal for URLs
// that mean the same, whoever encoded them. Page tokens are bound to it.
func (q *Query) String() string {
	var b strings.Builder
	add := func(name, value string) {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(name + "=" + url.PathEscape(value))
	}
	if q.Selected != nil {
		add("$select", strings.Join(q.Selected, ","))
	}
	if q.Top > 0 {
		add("$top", strconv.Itoa(q.Top))
	}
	if q.Count {
		add("$count", "true")
	}
	return b.String()
}

func clip(s string) string {
	if len(s) > 128 {
		return strings.ToValidUTF8(s[:128], "") + "…"
	}
	return s
}
