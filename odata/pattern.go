package odata

import (
	"regexp"
	"sync"
)

// maxPattern bounds a pattern, in bytes. Go's engine takes time linear in the
// text, whatever the pattern.
const maxPattern = 256

// MatchPattern reports whether text matches a pattern that was checked before.
func MatchPattern(text, pattern string) bool {
	re, err := patterns.get(pattern)
	return err == nil && re.MatchString(text)
}

var patterns patternCache

// patternCache keeps the patterns of the filters under way compiled. SQL hands
// each row's text over with the pattern's text.
type patternCache struct {
	mu sync.RWMutex
	m  map[string]*regexp.Regexp
}

// maxPatterns is how many are kept; more are compiled again.
const maxPatterns = 64

func (c *patternCache) get(pattern string) (*regexp.Regexp, error) {
	c.mu.RLock()
	re := c.m[pattern]
	c.mu.RUnlock()
	if re != nil {
		return re, nil
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= maxPatterns {
		c.m = map[string]*regexp.Regexp{}
	}
	c.m[pattern] = re
	return re, nil
}
