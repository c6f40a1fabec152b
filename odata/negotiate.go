package odata

import (
	"mime"
	"strconv"
	"strings"

	"certstate"
)

// Representation is what a client's Accept header asks for.
type Representation struct {
	Level   Level
	IEEE754 bool
}

// ContentType is the media type of a JSON response, with Graph's parameters in
// Graph's order.
func (r Representation) ContentType() string { return contentTypes[r] }

var contentTypes = func() map[Representation]string {
	m := map[Representation]string{}
	for _, r := range []Representation{{Minimal, false}, {Minimal, true}, {None, false}, {None, true}, {Full, false}, {Full, true}} {
		m[r] = "application/json;odata.metadata=" + r.Level.String() +
			";odata.streaming=true;IEEE754Compatible=" + strconv.FormatBool(r.IEEE754) + ";charset=utf-8"
	}
	return m
}()

// Accept reads an Accept header: the first JSON range decides. A client that
// accepts anything, or says nothing, gets minimal metadata; one that accepts
// only other types is refused (RFC 9110 §12.5.1).
func Accept(header string) (Representation, error) {
	if strings.TrimSpace(header) == "" || header == "application/json" || header == "*/*" {
		return Representation{}, nil
	}
	wildcard := false
	for item := range strings.SplitSeq(header, ",") {
		mt, params, err := mime.ParseMediaType(strings.TrimSpace(item))
		if err != nil || params["q"] == "0" {
			continue
		}
		switch mt {
		case "application/json":
			return representation(params)
		case "*/*", "application/*":
			wildcard = true
		}
	}
	if wildcard {
		return Representation{}, nil
	}
	return Representation{}, certstate.Errorf(certstate.NotAcceptable, "Accept",
		"A supported MIME type could not be found that matches the acceptable MIME types for the request: ask for application/json.")
}

func representation(params map[string]string) (Representation, error) {
	r := Representation{IEEE754: strings.EqualFold(params["ieee754compatible"], "true")}
	level := params["odata.metadata"]
	if level == "" {
		level = params["metadata"] // OData 4.01 without the prefix
	}
	switch strings.ToLower(level) {
	case "", "minimal":
	case "none":
		r.Level = None
	case "full":
		r.Level = Full
	default:
		return r, certstate.Errorf(certstate.NotAcceptable, "Accept", "odata.metadata=%s is not one of none, minimal, full.", clip(level))
	}
	return r, nil
}

// Preferences is what a Prefer header asks for (RFC 7240, OData Protocol §8.2.8).
type Preferences struct {
	Return      string // "minimal", "representation" or ""
	MaxPageSize int    // 0 if not given
}

// ParsePrefer reads Prefer headers. Unknown preferences are ignored, as RFC
// 7240 §2 requires; so are values that make no sense.
func ParsePrefer(headers []string) (p Preferences) {
	for item := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		item, _, _ = strings.Cut(item, ";")
		name, value, _ := strings.Cut(item, "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "odata.") {
		case "return":
			if p.Return == "" && (value == "minimal" || value == "representation") {
				p.Return = value
			}
		case "maxpagesize":
			if n, err := strconv.Atoi(value); err == nil && n > 0 && p.MaxPageSize == 0 {
				p.MaxPageSize = n
			}
		}
	}
	return p
}

// MatchETag reports whether a field value of If-Match or If-None-Match names
// the version: *, or a list of entity tags compared weakly (RFC 9110 §8.8.3.2).
func MatchETag(header string, version int64) bool {
	tag := strings.TrimPrefix(ETag(version), "W/")
	for item := range strings.SplitSeq(header, ",") {
		item = strings.TrimSpace(item)
		if item == "*" || strings.TrimPrefix(item, "W/") == tag {
			return true
		}
	}
	return false
}
