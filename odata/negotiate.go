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

const jsonType = "application/json"

// Accept reads an Accept header: the first JSON range decides. A client that
// accepts anything, or says nothing, gets minimal metadata; one that accepts
// only other types is refused (RFC 9110 §12.5.1).
func Accept(header string) (Representation, error) {
	if strings.TrimSpace(header) == "" || header == jsonType || header == "*/*" {
		return Representation{}, nil
	}
	wildcard := false
	for item := range strings.SplitSeq(header, ",") {
		mt, params, err := mime.ParseMediaType(strings.TrimSpace(item))
		if err != nil || params["q"] == "0" {
			continue
		}
		switch mt {
		case jsonType:
			return representation("Accept", params)
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

// ParseFormat reads the value of $format: json in any case, or a media type as
// in Accept, which it overrules (OData Protocol §11.2.12). tables says that the forms
// of lines are had too, which [TableFormOf] knows.
func ParseFormat(value string, tables bool) (Representation, error) {
	if strings.EqualFold(value, "json") {
		return Representation{}, nil
	}
	if mt, params, err := mime.ParseMediaType(value); err == nil && mt == jsonType {
		return representation("$format", params)
	}
	known := "json"
	if tables {
		known += ", csv, ndjson"
	}
	return Representation{}, UnknownFormat(value, known+", or application/json with the parameters odata.metadata and IEEE754Compatible")
}

// UnknownFormat refuses a value of $format as Accept would be refused.
func UnknownFormat(value, known string) error {
	return certstate.Errorf(certstate.NotAcceptable, "$format", "$format=%s is not supported: use %s.", clip(value), known)
}

// CheckVersions refuses a request whose answer may only be in a version of OData
// before 4.0, or whose body is not in 4.0 or 4.01 (OData Protocol §8.1.5, §8.2.7).
// The arguments are the values of OData-MaxVersion and of OData-Version.
func CheckVersions(max, body []string) error {
	for _, v := range max {
		major, ok := majorVersion(v)
		if !ok {
			return certstate.Errorf(certstate.Invalid, "OData-MaxVersion", "OData-MaxVersion: '%s' is not a version such as 4.0.", clip(v))
		}
		if len(major) == 0 || len(major) == 1 && major < "4" {
			return certstate.Errorf(certstate.Invalid, "OData-MaxVersion", "OData-MaxVersion: %s excludes 4.0, in which this service answers.", clip(v))
		}
	}
	for _, v := range body {
		if bare, _, _ := strings.Cut(v, ";"); bare != "4.0" && bare != "4.01" {
			return certstate.Errorf(certstate.Invalid, "OData-Version", "OData-Version: '%s' is not supported: send 4.0 or 4.01.", clip(v))
		}
	}
	return nil
}

// majorVersion is what stands before the point, without leading zeros. Older
// .NET clients add ";NetFx".
func majorVersion(v string) (major string, ok bool) {
	v, _, _ = strings.Cut(v, ";")
	major, minor, _ := strings.Cut(v, ".")
	if major == "" || strings.Trim(major+minor, "0123456789") != "" {
		return "", false
	}
	return strings.TrimLeft(major, "0"), true
}

// representation reads the parameters of application/json; where names the
// place they stand in.
func representation(where string, params map[string]string) (Representation, error) {
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
		return r, certstate.Errorf(certstate.NotAcceptable, where, "odata.metadata=%s is not one of none, minimal, full.", clip(level))
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
// the version of a register's epoch: *, or a list of entity tags compared weakly (RFC 9110 §8.8.3.2).
func MatchETag(header string, version, epoch int64) bool {
	tag := strings.TrimPrefix(ETag(version, epoch), "W/")
	for item := range strings.SplitSeq(header, ",") {
		item = strings.TrimSpace(item)
		if item == "*" || strings.TrimPrefix(item, "W/") == tag {
			return true
		}
	}
	return false
}
