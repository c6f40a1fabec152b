// Package seam is in the servers of these tests alone: go build -overlay puts it,
// and calls of it, into a copy of the source (seam_test.go). Its variables
// come from the environment.
package seam

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	deadly = os.Getenv("SEAM_POINT") // the point at which the process dies
	left   atomic.Int64              // how many times it goes by before
	flaws  = strings.Split(os.Getenv("SEAM_FLAWS"), ",")
)

func init() {
	n, _ := strconv.ParseInt(os.Getenv("SEAM_NTH"), 10, 64)
	left.Store(n)
}

// Point is a moment at which the process may die as by kill -9.
func Point(name string) {
	if name == deadly && left.Add(-1) <= 0 {
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// Flawed reports whether the program is to have a flaw.
func Flawed(name string) bool {
	for _, s := range flaws {
		if s == name {
			return true
		}
	}
	return false
}

// Often is true half of the time.
func Often() bool { return rand.IntN(2) == 0 }

// Pragmas are what a connection to SQLite begins with.
func Pragmas(text string) string {
	if Flawed("does not sync") {
		return strings.Replace(text, "synchronous=FULL", "synchronous=NORMAL", 1)
	}
	return text
}

// Now is the time on a clock that the file SEAM_CLOCK sets forward or back by so
// many seconds. It is only a wall clock: nothing in it goes on evenly.
func Now() time.Time {
	text, _ := os.ReadFile(os.Getenv("SEAM_CLOCK"))
	n, _ := strconv.ParseInt(string(text), 10, 64)
	return time.Now().Round(0).Add(time.Duration(n) * time.Second)
}
