//go:build cgo && linux

package store

/*
#include <malloc.h>

static void arenas(int most) {
#ifdef M_ARENA_MAX // glibc
	mallopt(M_ARENA_MAX, most);
#endif
}
*/
import "C"

import (
	"os"
	"runtime"
	"sync"
)

// fewArenas has the C library give its threads no more arenas than run at once. By
// itself it makes eight for each processor, and since a goroutine's statements run
// on one thread after the other, each arena grows in time to what all of them need
// (mallopt(3), M_ARENA_MAX). The environment's word counts for more.
var fewArenas = sync.OnceFunc(func() {
	if os.Getenv("MALLOC_ARENA_MAX") == "" {
		C.arenas(C.int(runtime.GOMAXPROCS(0)))
	}
})
