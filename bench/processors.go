package main

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// apart has the server run on one half of the processors and everything else on
// the other, so that a flood takes none from the server but by what it sends.
// Without that the rate at its peak and the rate in a flood would be those of two
// different machines. With one processor nothing is divided.
type apart struct{ server, rest unix.CPUSet }

// divide keeps this process, and what it starts, to its half.
func divide() (*apart, error) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil || all.Count() < 2 {
		return nil, err
	}
	a := &apart{}
	for cpu, n := 0, 0; n < all.Count(); cpu++ {
		if !all.IsSet(cpu) {
			continue
		}
		if n++; n <= all.Count()/2 {
			a.server.Set(cpu)
		} else {
			a.rest.Set(cpu)
		}
	}
	threads, err := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		id, _ := strconv.Atoi(thread.Name())
		_ = unix.SchedSetaffinity(id, &a.rest) // or it has ended
	}
	runtime.GOMAXPROCS(a.rest.Count())
	return a, err
}

// start has fn start the server, on its half.
func (a *apart) start(fn func() error) error {
	if a == nil {
		return fn()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.SchedSetaffinity(0, &a.server); err != nil {
		return err
	}
	defer func() { _ = unix.SchedSetaffinity(0, &a.rest) }() // as it was before
	return fn()
}
