//go:build !cgo

package store

import (
	"database/sql/driver"
	"errors"
	"fmt"

	modernc "modernc.org/sqlite"

	"certstate/odata"
)

var sqliteDriver driver.Driver = func() driver.Driver {
	d := &modernc.Driver{}
	for name, fn := range textFunctions {
		register(d, name, 1, func(args []string) driver.Value { return fn(args[0]) })
	}
	register(d, matchesFunction, 2, func(args []string) driver.Value { return odata.MatchPattern(args[0], args[1]) })
	return d
}()

// register makes a function of texts known to the driver's connections.
func register(d *modernc.Driver, name string, args int32, fn func([]string) driver.Value) {
	d.MustRegisterDeterministicScalarFunction(name, args, func(_ *modernc.FunctionContext, given []driver.Value) (driver.Value, error) {
		texts := make([]string, len(given))
		for i, g := range given {
			text, ok := g.(string)
			if !ok {
				return nil, fmt.Errorf("%s of %T", name, g)
			}
			texts[i] = text
		}
		return fn(texts), nil
	})
}

// sqliteOptions go into every data source name.
const sqliteOptions = "_txlock=immediate"

// sqliteCode is the extended result code of an error, 0 if it is none of SQLite's.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*modernc.Error](err); ok {
		return e.Code()
	}
	return 0
}
