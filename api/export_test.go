package api

import (
	"context"
	"runtime"

	"certstate/store"
)

// Occupy has requests of a tenant take every turn and all the room to wait, as
// far as that is still free, until release is called.
func (s *Server) Occupy(tenant string) (release func()) {
	ctx, cancel := context.WithCancel(context.Background())
	for _, l := range []*store.Lane{s.load.reads, s.load.writes} {
		for !l.Full(tenant) {
			before := l.Len()
			took := make(chan bool, 1)
			go func() {
				err := l.Take(ctx, tenant)
				took <- err == nil
				if err == nil {
					<-ctx.Done()
					l.Give()
				}
			}()
			for l.Len() == before && len(took) == 0 { // it has neither a turn nor a place yet
				runtime.Gosched()
			}
		}
	}
	return cancel
}

// FillBodies has bodies take all the memory there is for them.
func (s *Server) FillBodies() (release func()) {
	s.load.bodies.Add(maxBodies)
	return func() { s.load.bodies.Add(-maxBodies) }
}

// HeldBodies is how much memory the bodies that are held count for.
func (s *Server) HeldBodies() int64 { return s.load.bodies.Load() }
