package sources

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The tables of a step-ca's database that are read. Keys are serial numbers in
// decimal.
const (
	certsTable   = "x509_certs"         // DER
	dataTable    = "x509_certs_data"    // JSON, of the provisioner
	revokedTable = "revoked_x509_certs" // JSON
)

// Database is that of a step-ca, as github.com/smallstep/nosql writes it, to be read.
type Database interface {
	// now is when it is read or, of files that nobody writes to, was copied: all
	// that was in it by then is found.
	now(ctx context.Context) (time.Time, error)
	// keys lists keys of a table, after one and in the order of their octets, at
	// most limit.
	keys(ctx context.Context, table, after string, limit int) ([]string, error)
	// values are those of the keys that there are.
	values(ctx context.Context, table string, keys []string) (map[string][]byte, error)
	Close() error
}

// DatabaseForms says how a step-ca's database is named.
const DatabaseForms = "postgres://USER@HOST/DATABASE, or a file (bbolt) or folder (badger) that no step-ca has open"

// checkDatabase finds what is wrong with how a database is named.
func checkDatabase(where string) error {
	scheme, _, remote := strings.Cut(where, "://")
	if remote && !isPostgres(where) {
		return fmt.Errorf("a step-ca's database is read from %s, not from %s://", DatabaseForms, scheme)
	}
	if !remote && where != "" && !filepath.IsAbs(where) {
		return fmt.Errorf("%s: give the whole path, for the server may run in another folder", where)
	}
	return nil
}

func isPostgres(where string) bool {
	return strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://")
}

// OpenDatabase opens a step-ca's database, which [DatabaseForms] names. It is not
// changed.
func OpenDatabase(ctx context.Context, where string) (Database, error) {
	if isPostgres(where) {
		return openPostgres(ctx, where)
	}
	st, err := os.Stat(where)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no %s: a step-ca's database is %s", where, DatabaseForms)
	case err != nil:
		return nil, err
	case st.IsDir():
		return openBadger(where)
	}
	return openBolt(where)
}

// newest is when the newest file of a folder was written, or the file was.
func newest(root string) (at time.Time, err error) {
	err = filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && !d.IsDir() && info.ModTime().After(at) {
			at = info.ModTime()
		}
		return err
	})
	return at, err
}
