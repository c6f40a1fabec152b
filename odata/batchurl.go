package odata

import (
	"net/url"
	"slices"
	"strings"

	"certstate"
)

// graphRoots are where Graph is (Graph, "National cloud deployments", and its
// canary). SDKs write them into the requests of a batch when they were pointed
// at this server too late.
var graphRoots = []string{
	"https://graph.microsoft.com",
	"https://graph.microsoft.us",
	"https://dod-graph.microsoft.us",
	"https://microsoftgraph.chinacloudapi.cn",
	"https://canary.graph.microsoft.com",
}

// Target is the path and query of an item's URL on this server, whose public
// root is base. Clients write it below the version of the batch, with or without
// a slash before it; with a version of its own; or whole, in base or in one of
// Graph's roots.
func (it *BatchItem) Target(version, base string) (*url.URL, error) {
	u, err := url.Parse(it.URL)
	if err != nil {
		return nil, badTarget("The url %q cannot be read as a URL.", clip(it.URL))
	}
	if strings.Contains(it.URL, "#") {
		return nil, badTarget("The url %q has a fragment; a # in a name or value is written %%23.", clip(it.URL))
	}
	absolute := u.Scheme != "" || u.Host != "" || u.User != nil
	if absolute && !isRoot(u, base) {
		return nil, badTarget("The url %q leads to another server: write it relative to /%s, or below %s.", clip(it.URL), version, base)
	}
	path := strings.TrimPrefix(u.EscapedPath(), "/")
	first, _, _ := strings.Cut(path, "/")
	switch {
	case slices.Contains(Versions, strings.ToLower(first)):
	case absolute:
		return nil, badTarget("The url %q has no version after its host: write %s/%s/….", clip(it.URL), u.Host, version)
	default:
		path = version + "/" + path
	}
	for part := range strings.SplitSeq(path, "/") {
		// Dots may be percent-encoded and mean the same (RFC 3986 §5.2.4, §2.3).
		if s, _ := url.PathUnescape(part); s == "." || s == ".." {
			return nil, badTarget("The url %q has the segment '%s', which a batch does not follow.", clip(it.URL), s)
		}
	}
	target, err := url.Parse("/" + path)
	if err != nil {
		return nil, badTarget("The url %q cannot be read as a URL.", clip(it.URL))
	}
	target.RawQuery = u.RawQuery
	return target, nil
}

func isRoot(u *url.URL, base string) bool {
	root := u.Scheme + "://" + u.Host
	same := func(known string) bool { return strings.EqualFold(root, known) }
	return u.User == nil && (same(base) || slices.ContainsFunc(graphRoots, same))
}

func badTarget(format string, args ...any) error {
	return certstate.Errorf(certstate.Invalid, "url", format, args...)
}
