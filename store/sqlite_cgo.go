//go:build cgo

package store

import (
	"database/sql/driver"
	"errors"

	"github.com/mattn/go-sqlite3"

	"certstate/odata"
)

var sqliteDriver driver.Driver = &sqlite3.SQLiteDriver{ConnectHook: func(conn *sqlite3.SQLiteConn) error {
	var errs []error
	for name, fn := range textFunctions {
		errs = append(errs, conn.RegisterFunc(name, fn, true))
	}
	return errors.Join(append(errs, conn.RegisterFunc(matchesFunction, odata.MatchPattern, true))...)
}}

// sqliteOptions go into every data source name. _mutex=no: database/sql never
// uses a connection from two goroutines at once.
const sqliteOptions = "_mutex=no&_txlock=immediate"

// sqliteCode is the extended result code of an error, 0 if it is none of SQLite's.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[sqlite3.Error](err); ok {
		return int(e.ExtendedCode)
	}
	return 0
}
