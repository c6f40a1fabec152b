package odata

import (
	"net/url"
	"slices"
	"strings"

	"certstate"
)

// The names of the resource in a path: a contained collection of a singleton.
const (
	Singleton  = "deviceManagement"
	Collection = "deviceConfigurationsAllManagedDeviceCertificateStates"
	// CanonicalPath is the collection below the version root.
	CanonicalPath = Singleton + "/" + Collection
	// Reports, ExportJobs and ImportJobs name where jobs are.
	Reports    = "reports"
	ExportJobs = "exportJobs"
	ImportJobs = Own + "." + OwnImportJobs
	// Own is the root of what Graph does not have: OwnImportJobs names the import jobs
	// there, and Sources live sources.
	Own           = "certstate"
	OwnImportJobs = "importJobs"
	Sources       = "sources"
)

// keyedNames are those that a key in parentheses may follow.
var keyedNames = []string{Collection, ExportJobs, ImportJobs, OwnImportJobs, Sources}

// Versions are the version roots there are. The records are below the first.
var Versions = []string{"beta", "v1.0"}

// Path is a resource path cut into its parts.
type Path struct {
	Version  string   // one of Versions if it is right, lower case
	Segments []string // decoded; a key in parentheses is a segment of its own
	Keys     []bool   // Keys[i]: Segments[i] was written as ('key')
}

// ParsePath cuts an escaped URL path. All key forms come out the same:
// /Set/a%2Fb, /Set('a%2Fb') and /Set(id='a%2Fb') are the segments "Set" and "a/b"
// (OData URL Conventions §4.3.1, §4.3.6). A quote inside a parenthesised key
// is doubled.
func ParsePath(escaped string) (Path, error) {
	version, rest, more := strings.Cut(strings.Trim(escaped, "/"), "/")
	p := Path{Version: strings.ToLower(version)}
	if !more {
		return p, nil
	}
	most := strings.Count(rest, "/") + 2 // one of them with a key in parentheses
	p.Segments, p.Keys = make([]string, 0, most), make([]bool, 0, most)
	for part := range strings.SplitSeq(rest, "/") {
		s, err := url.PathUnescape(part)
		if err != nil {
			return p, certstate.Errorf(certstate.Invalid, part, "The path segment %q is not well percent-encoded.", part)
		}
		name, key, keyed, err := cutKey(s)
		if err != nil {
			return p, err
		}
		p.Segments, p.Keys = append(p.Segments, name), append(p.Keys, false)
		if keyed {
			p.Segments, p.Keys = append(p.Segments, key), append(p.Keys, true)
		}
	}
	return p, nil
}

// cutKey splits Name('key'). Anything else comes back whole: ids may contain
// parentheses of their own.
func cutKey(s string) (name, key string, keyed bool, err error) {
	name, rest, found := strings.Cut(s, "(")
	if !found || !slices.ContainsFunc(keyedNames, func(keyed string) bool { return strings.EqualFold(name, keyed) }) {
		return s, "", false, nil
	}
	quoted, closed := strings.CutSuffix(rest, ")")
	quoted = strings.TrimPrefix(quoted, "id=") // the key by its name
	if len(quoted) < 2 || !closed || quoted[0] != '\'' || quoted[len(quoted)-1] != '\'' {
		return "", "", false, certstate.Errorf(certstate.Invalid, s,
			"The key in %q must be a quoted string: %s('id').", s, name)
	}
	inner := quoted[1 : len(quoted)-1]
	if strings.Contains(strings.ReplaceAll(inner, "''", ""), "'") {
		return "", "", false, certstate.Errorf(certstate.Invalid, s, "A quote inside a key is written twice: ''.")
	}
	return name, strings.ReplaceAll(inner, "''", "'"), true, nil
}

// KeyPath is the canonical path of a record below the version root, as it is
// put into Location, @odata.id and @odata.editLink.
func KeyPath(id string) string { return keyPath(CanonicalPath, id) }

// JobPath is the same of a job; collection is [ExportJobs] or [ImportJobs].
func JobPath(collection, id string) string {
	if collection == ExportJobs {
		collection = Reports + "/" + ExportJobs
	}
	return keyPath(Singleton+"/"+collection, id)
}

// SourcePath is the same of a live source.
func SourcePath(name string) string { return keyPath(Own+"/"+Sources, name) }

func keyPath(collection, key string) string {
	return collection + "('" + url.PathEscape(strings.ReplaceAll(key, "'", "''")) + "')"
}
