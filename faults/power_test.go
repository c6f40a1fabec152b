package faults

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
)

var powerCuts = flag.Int("power-cuts", 60, "power cuts of TestPowerCuts")

const (
	rigs     = 4  // disks that lose their power side by side
	cutsEach = 15 // power cuts that a disk sees: it is small, and judging takes the longer the more was done
)

// The power of the disk goes while clients write. What was acknowledged before it
// went is there when it is back, and nothing is there by half.
func TestPowerCuts(t *testing.T) {
	for n := range rigs {
		t.Run(fmt.Sprint("rig ", n), func(t *testing.T) {
			t.Parallel()
			for left := (*powerCuts + n) / rigs; left > 0; left -= cutsEach {
				cutPower(t, min(left, cutsEach))
			}
		})
	}
}

// Without its syncs, the same is seen to lose what it acknowledged.
func TestPowerCutsCatchAFlaw(t *testing.T) {
	t.Parallel()
	sees(t, unsynced, lost, func(t testing.TB) { cutPower(t, 5, unsynced) })
}

func cutPower(t testing.TB, cuts int, flaws ...string) {
	t.Helper()
	d := newDisk(t, 64)
	r := newRegister(t, d.database())
	s := r.server(t)
	if len(flaws) > 0 {
		s.program, s.flaws = programWithSeams, flaws
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	var power mains
	l := newLoad(newClient(r, front{transport(), power.carry}), []string{s.url}, 0)
	l.while(t, func() error {
		for range cuts {
			if err := l.history.awaitMore(20 + rand.IntN(200)); err != nil {
				return err
			}
			power.turn()
			if err := errors.Join(d.cut(), s.kill(), d.unmount(), d.mount()); err != nil {
				return err
			}
			power.turn()
			if err := s.start(); err != nil {
				return err
			}
		}
		return l.history.awaitMore(20)
	})
	l.judge(t, r)
	if err := s.stop(); err != nil { // before its disk goes
		t.Error(err)
	}
}

// mains carries what clients and servers say to each other while the power is on.
// Between the kernel's order to drop everything and the end of the server, a sync that
// was under way may be told that it succeeded although nothing is on the disk: a machine
// would have been dark then, so nobody hears of it.
type mains struct {
	switched atomic.Int64 // how often; off if it is odd
}

func (m *mains) turn() { m.switched.Add(1) }

func (m *mains) carry(r *request) (*answer, error) {
	before := m.switched.Load()
	a, err := r.send(nil)
	if err == nil && (before%2 == 1 || m.switched.Load() != before) {
		err = errors.New("the power went")
	}
	return a, err
}
