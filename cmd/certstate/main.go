// Command certstate keeps the register of device certificates and the ledger
// of their revocation, and serves it as Microsoft Graph does.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], environ(os.Environ()), os.Stdin, os.Stdout, os.Stderr))
}
