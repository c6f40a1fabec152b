package api

import "context"

// Occupy has requests of a tenant take every turn and all the room to wait, as
// far as that is still free, until release is called.
func (s *Server) Occupy(tenant string) (release func()) {
	ctx, cancel := context.WithCancel(context.Background())
	for _, l := range []*lane{s.load.reads, s.load.writes} {
		for {
			w, err := l.join(tenant)
			if err != nil {
				break
			}
			go func() {
				if w != nil {
					select {
					case turn := <-w.turn:
						if !turn {
							return
						}
					case <-ctx.Done():
						if !l.forget(w) {
							return
						}
					}
				}
				<-ctx.Done()
				l.give()
			}()
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
