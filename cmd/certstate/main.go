// Command certstate keeps the register of device certificates and the ledger
// of their revocation, and serves it as Microsoft Graph does.
package main

import (
	"context"
	"os"
	"runtime/debug"
)

func main() {
	// What lives long is a few MiB, so the default would collect all the time.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	os.Exit(run(context.Background(), os.Args[1:], environ(os.Environ()), os.Stdin, os.Stdout, os.Stderr))
}
