//go:build !cgo

package store

import (
	"database/sql/driver"
	"errors"

	"modernc.org/sqlite"
)

var sqliteDriver driver.Driver = &sqlite.Driver{}

// sqliteOptions go into every data source name.
const sqliteOptions = "_txlock=immediate"

// sqliteCode is the extended result code of an error, 0 if it is none of SQLite's.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}
