// Command certstate keeps the register of device certificates and the ledger
// of their revocation, and serves it as Microsoft Graph does.
package main

import (
	"context"
	"os"
	"runtime"
)

// ballast is how much memory the garbage collector is told of that is never
// touched, in bytes. What lives long is a few MiB: by them alone it would collect
// all the time. A greater GOGC would do, too, until there are thousands of
// connections, and then take several times what they need.
const ballast = 16 << 20

func main() {
	untouched := make([]byte, ballast)
	code := run(context.Background(), os.Args[1:], environ(os.Environ()), os.Stdin, os.Stdout, os.Stderr)
	runtime.KeepAlive(untouched)
	os.Exit(code)
}
