package store

import (
	"sync"
	"time"
)

// recent remembers what planning queries found out. A value is good for a while:
// it chooses the way to an answer, which is the same by every way.
type recent[K comparable, V any] struct {
	mu    sync.RWMutex
	m     map[K]V
	until time.Time
}

// What is remembered is forgotten all at once.
const (
	recentFor  = 5 * time.Second
	recentMost = 1024
	recentText = 2048 // bytes of what a statement is remembered by
)

func (r *recent[K, V]) get(key K) (v V, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if time.Now().Before(r.until) {
		v, ok = r.m[key]
	}
	return v, ok
}

func (r *recent[K, V]) put(key K, v V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); !now.Before(r.until) || len(r.m) >= recentMost {
		r.m, r.until = map[K]V{}, now.Add(recentFor)
	}
	r.m[key] = v
}
