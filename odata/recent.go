package odata

import "sync"

// recent are the queries that were asked last. Scripts, boards and workbooks ask
// the same again and again.
var recent queries

// queries remembers what [ParseQuery] made of texts. What is in a Query is never
// changed, so all who ask share it.
type queries struct {
	mu sync.RWMutex
	m  map[queryText]Query
}

// queryText is the raw query of a URL for a kind of request, told from others by
// where its options are.
type queryText struct {
	raw     string
	allowed *option
}

// What is remembered is forgotten all at once.
const (
	queriesMost = 512
	queriesText = 1024 // bytes
)

func (r *queries) parse(raw string, allowed Options) (Query, error) {
	if len(raw) > queriesText || len(allowed) == 0 {
		return parseQuery(raw, allowed)
	}
	text := queryText{raw, &allowed[0]}
	r.mu.RLock()
	q, ok := r.m[text]
	r.mu.RUnlock()
	if ok {
		return q, nil
	}
	q, err := parseQuery(raw, allowed)
	if err == nil && q.SkipToken == "" && q.Delta == "" { // links, each of which is followed once
		r.put(text, q)
	}
	return q, err
}

func (r *queries) put(text queryText, q Query) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m == nil || len(r.m) >= queriesMost {
		r.m = map[queryText]Query{}
	}
	r.m[text] = q
}
