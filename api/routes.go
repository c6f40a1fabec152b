package api

import (
	"net/http"
	"slices"
	"strings"

	"certstate"
	"certstate/auth"
	"certstate/odata"
)

// route is a row of the table of everything the server does.
type route struct {
	pattern     string // resource below the version root; {id} is a record's key
	method      string
	permissions []auth.Permission // any one of them, from least to most; nil: no token is asked for
	own         bool              // answers in a media type of its own, whatever Accept says
	body        int64             // bound of its body, compressed and decompressed, in bytes; 0: it is not read
	handle      func(*exchange) error
}

var (
	canRead  = []auth.Permission{auth.ReadAll, auth.ReadWriteAll}
	canWrite = []auth.Permission{auth.ReadWriteAll}
	anyone   []auth.Permission
	signed   = []auth.Permission{}                   // the URL itself: it was given to whoever may
	canAsk   = []auth.Permission{auth.Authenticated} // each request of a batch is judged by its own route
)

const (
	service    = ""
	metadata   = "$metadata"
	openAPI    = "openapi.json"
	singleton  = odata.Singleton
	collection = odata.CanonicalPath
	record     = odata.CanonicalPath + "/{id}"
	count      = odata.CanonicalPath + "/$count"
	delta      = odata.CanonicalPath + "/delta"
	register   = odata.CanonicalPath + "/certstate.register"
	history    = odata.CanonicalPath + "/{id}/certstate.history()"
	batch      = "$batch"

	reports    = odata.Singleton + "/" + odata.Reports
	exportJobs = reports + "/" + odata.ExportJobs
	exportJob  = exportJobs + "/{id}"
	exportFile = exportJob + "/certstate.file()"

	importJobs     = odata.Singleton + "/" + odata.ImportJobs
	importJob      = importJobs + "/{id}"
	importUpload   = importJob + "/upload"
	importRejected = importJob + "/rejected"

	own     = odata.Own // what Graph does not have
	sources = odata.Own + "/" + odata.Sources
	source  = sources + "/{id}"
	gaps    = source + "/gaps"
)

var routes = []route{
	{service, http.MethodGet, canRead, false, 0, (*exchange).service},
	{metadata, http.MethodGet, anyone, true, 0, (*exchange).metadata},
	{openAPI, http.MethodGet, anyone, true, 0, (*exchange).openAPI},
	{singleton, http.MethodGet, canRead, false, 0, (*exchange).singleton},
	{reports, http.MethodGet, canRead, false, 0, (*exchange).singleton},
	{own, http.MethodGet, canRead, false, 0, (*exchange).singleton},
	{collection, http.MethodGet, canRead, false, 0, (*exchange).list},
	{collection, http.MethodPost, canWrite, false, maxBody, (*exchange).create},
	{count, http.MethodGet, canRead, true, 0, (*exchange).count},
	{register, http.MethodPost, canWrite, false, maxBatchBody, (*exchange).registerStates},
	{delta, http.MethodGet, canRead, false, 0, (*exchange).delta},
	{record, http.MethodGet, canRead, false, 0, (*exchange).get},
	{record, http.MethodPatch, canWrite, false, maxBody, (*exchange).update},
	{record, http.MethodDelete, canWrite, false, 0, (*exchange).delete},
	{history, http.MethodGet, canRead, false, 0, (*exchange).history},
	{exportJobs, http.MethodGet, canRead, false, 0, (*exchange).listExports},
	{exportJobs, http.MethodPost, canRead, false, maxBody, (*exchange).createExport},
	{exportJob, http.MethodGet, canRead, false, 0, (*exchange).getExport},
	{exportJob, http.MethodDelete, canRead, false, 0, (*exchange).deleteExport},
	{exportFile, http.MethodGet, signed, true, 0, (*exchange).exportFile},
	{importJobs, http.MethodGet, canRead, false, 0, (*exchange).listImports},
	{importJobs, http.MethodPost, canWrite, false, maxBody, (*exchange).createImport},
	{importJob, http.MethodGet, canRead, false, 0, (*exchange).getImport},
	{importJob, http.MethodDelete, canWrite, false, 0, (*exchange).deleteImport},
	{importRejected, http.MethodGet, canRead, false, 0, (*exchange).rejected},
	{importUpload, http.MethodGet, signed, false, 0, (*exchange).uploadSession},
	{importUpload, http.MethodPut, signed, false, 0, (*exchange).upload}, // it reads its body itself
	{importUpload, http.MethodDelete, signed, false, 0, (*exchange).deleteImport},
	{sources, http.MethodGet, canRead, false, 0, (*exchange).listSources},
	{source, http.MethodGet, canRead, false, 0, (*exchange).getSource},
	{gaps, http.MethodGet, canRead, false, 0, (*exchange).listGaps},
	{batch, http.MethodPost, canAsk, false, maxBatchBody, (*exchange).batch},
}

// roots are the resources one segment below the version root.
var roots = []string{metadata, openAPI, singleton}

// jobFunctions are what is bound to a job, by the names it is called by.
var jobFunctions = []struct {
	pattern string
	names   []string
}{
	{exportFile, []string{"certstate.file"}},
	{importUpload, []string{"upload"}},
	{importRejected, []string{"rejected", "certstate.rejected"}},
}

func (rt *route) anonymous() bool { return rt.permissions == nil }

// signed reports whether the URL says who may.
func (rt *route) signed() bool { return rt.permissions != nil && len(rt.permissions) == 0 }

// signature is the kind of token that a signed URL has.
func (rt *route) signature() odata.Token {
	if rt.pattern == exportFile {
		return odata.DownloadToken
	}
	return odata.UploadToken
}

func (rt *route) scopes() string {
	names := make([]string, len(rt.permissions))
	for i, p := range rt.permissions {
		names[i] = string(p)
	}
	return strings.Join(names, ", ")
}

// find takes the path to its route and sets the version and the key.
func (x *exchange) find() (*route, error) {
	if x.refused != nil {
		return nil, x.refused
	}
	path, err := odata.ParsePath(x.r.URL.EscapedPath())
	if err != nil {
		return nil, err
	}
	pattern, key, err := resource(path)
	if err != nil {
		return nil, err
	}
	x.version, x.key = path.Version, key
	method := x.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var allow []string
	for i := range x.s.routes {
		rt := &x.s.routes[i]
		if rt.pattern != pattern {
			continue
		}
		if rt.method == method {
			return rt, nil
		}
		allow = append(allow, rt.method)
	}
	if slices.Contains(allow, http.MethodGet) {
		allow = append(allow, http.MethodHead)
	}
	x.w.Header().Set("Allow", strings.Join(allow, ", "))
	return nil, certstate.Errorf(certstate.NotAllowed, "",
		"Specified HTTP method is not allowed for the request target. It takes %s.", strings.Join(allow, ", "))
}

// resource matches a path to the pattern it is an instance of. Names match in
// any case, as scripts write them; keys do not.
func resource(p odata.Path) (pattern, key string, err error) {
	if !slices.Contains(odata.Versions, p.Version) {
		return "", "", certstate.Errorf(certstate.Invalid, "", "Invalid version: %s. Use beta.", p.Version)
	}
	if len(p.Segments) == 1 && strings.EqualFold(p.Segments[0], batch) {
		return batch, "", nil
	}
	if isExport(p.Segments) { // which Graph has in both versions
		return jobResource(exportJobs, p.Segments[3:])
	}
	if p.Version != "beta" {
		return "", "", nothingAt(p.Segments)
	}
	if len(p.Segments) == 0 {
		return service, "", nil
	}
	if strings.EqualFold(p.Segments[0], odata.Own) {
		return ownResource(p.Segments)
	}
	root := slices.IndexFunc(roots, func(name string) bool { return strings.EqualFold(name, p.Segments[0]) })
	switch {
	case root < 0:
		return "", "", noSegment(p.Segments[0])
	case len(p.Segments) == 1:
		return roots[root], "", nil
	case roots[root] == singleton && strings.EqualFold(p.Segments[1], odata.ImportJobs):
		return jobResource(importJobs, p.Segments[2:])
	case len(p.Segments) == 2 && strings.EqualFold(strings.Join(p.Segments, "/"), reports):
		return reports, "", nil
	case roots[root] != singleton || !strings.EqualFold(p.Segments[1], odata.Collection):
		return "", "", noSegment(p.Segments[1])
	}
	rest, keys := p.Segments[2:], p.Keys[2:]
	switch {
	case len(rest) == 0:
		return collection, "", nil
	case len(rest) == 2 && isFunction(rest[1], "certstate.history"):
		return history, rest[0], nil
	case len(rest) > 1:
		return "", "", noSegment(rest[1])
	case !keys[0] && strings.EqualFold(rest[0], "$count"):
		return count, "", nil
	case !keys[0] && isFunction(rest[0], "certstate.register"):
		return register, "", nil
	case !keys[0] && isFunction(rest[0], "delta", "microsoft.graph.delta"):
		return delta, "", nil
	}
	return record, rest[0], nil
}

// isExport reports whether a path begins with that of the export jobs.
func isExport(segments []string) bool {
	return len(segments) > 2 && strings.EqualFold(segments[2], odata.ExportJobs) && strings.EqualFold(strings.Join(segments[:3], "/"), exportJobs)
}

// ownResource matches what Graph does not have.
func ownResource(segments []string) (pattern, key string, err error) {
	n := len(segments)
	switch {
	case n == 1:
		return own, "", nil
	case strings.EqualFold(segments[1], odata.OwnImportJobs):
		return jobResource(importJobs, segments[2:])
	case !strings.EqualFold(segments[1], odata.Sources):
		return "", "", noSegment(segments[1])
	case n == 2:
		return sources, "", nil
	case n == 3:
		return source, segments[2], nil
	case n == 4 && strings.EqualFold(segments[3], "gaps"):
		return gaps, segments[2], nil
	}
	return "", "", noSegment(segments[3])
}

// jobResource matches what stands after the name of a collection of jobs.
func jobResource(jobs string, rest []string) (pattern, key string, err error) {
	switch len(rest) {
	case 0:
		return jobs, "", nil
	case 1:
		return jobs + "/{id}", rest[0], nil
	case 2:
		for _, fn := range jobFunctions {
			if strings.HasPrefix(fn.pattern, jobs) && isFunction(rest[1], fn.names...) {
				return fn.pattern, rest[0], nil
			}
		}
	}
	return "", "", noSegment(rest[1])
}

// isFunction reports whether a segment calls a function of one of the names,
// with or without parentheses (OData URL Conventions §4.5.1).
func isFunction(segment string, names ...string) bool {
	called := strings.TrimSuffix(segment, "()")
	return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(called, name) })
}

// nothingAt is the answer below v1.0, where Graph has the singleton, and the
// singleton no such collection.
func nothingAt(segments []string) error {
	for _, s := range segments {
		if !strings.EqualFold(s, singleton) {
			return noSegment(s)
		}
	}
	return certstate.Errorf(certstate.Invalid, "", "There is nothing to read at this address: the records are at /beta/%s.", odata.CanonicalPath)
}

// noSegment is Graph's answer to a path it does not have: 400, not 404.
func noSegment(name string) error {
	return certstate.Errorf(certstate.Invalid, "", "Resource not found for the segment '%s'.", name)
}
