package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxVerified bounds the memory of verified tokens: some 3 MB.
const maxVerified = 10_000

// verified remembers tokens by their hash.
type verified struct {
	mu sync.RWMutex
	m  map[[sha256.Size]byte]*remembered
}

// remembered is a verified token's principal, and for how long it holds.
type remembered struct {
	principal  *Principal
	from, to   time.Time
	set        *keySet
	generation int // of the keys the signature was checked against
}

func (v *verified) get(hash [sha256.Size]byte, now time.Time) *Principal {
	v.mu.RLock()
	r := v.m[hash]
	v.mu.RUnlock()
	if r == nil || now.Before(r.from) || !now.Before(r.to) || !r.set.current(r.generation, now) {
		return nil
	}
	return r.principal
}

func (v *verified) put(hash [sha256.Size]byte, r *remembered) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.m == nil {
		v.m = map[[sha256.Size]byte]*remembered{}
	}
	if len(v.m) >= maxVerified {
		for old := range v.m { // any one: a token is cheap to verify again
			delete(v.m, old)
			break
		}
	}
	v.m[hash] = r
}
