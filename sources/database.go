package sources

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
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
const DatabaseForms = "postgres://USER@HOST/DATABASE, mysql://USER@HOST/DATABASE (MariaDB too), or a file (bbolt) or folder (badger) that no step-ca has open"

// servers opens the databases that are not files, by the scheme of their URL.
var servers = map[string]func(ctx context.Context, where string) (Database, error){
	"postgres":   openPostgres,
	"postgresql": openPostgres,
	"mysql":      openMySQL,
}

// checkDatabase finds what is wrong with how a database is named. It says no
// password.
func checkDatabase(where string) error {
	scheme, rest, remote := strings.Cut(where, "://")
	switch {
	case !remote && where != "" && !filepath.IsAbs(where):
		return fmt.Errorf("%s: give the whole path, for the server may run in another folder", where)
	case !remote:
		return nil
	case servers[scheme] == nil:
		return fmt.Errorf("a step-ca's database is read from %s, not from %s://", DatabaseForms, scheme)
	}
	_, err := url.Parse(where) // its fault has the whole URL in it
	if authority := strings.IndexAny(rest, "/?#"); err != nil || authority >= 0 && strings.Contains(rest[authority:], "@") {
		return fmt.Errorf("the URL of the step-ca's database cannot be read: write whatever is no letter or digit in the password as %%XX, and an @ that comes later as %%40; the forms are %s", DatabaseForms)
	}
	if scheme == "mysql" {
		_, err = mysqlConfig(where)
	}
	return err
}

// OpenDatabase opens a step-ca's database, which [DatabaseForms] names, or the
// dataSource in the step-ca's own configuration. It is not changed.
func OpenDatabase(ctx context.Context, where string) (Database, error) {
	where, err := asURL(where)
	if err != nil {
		return nil, err
	}
	if scheme, _, remote := strings.Cut(where, "://"); remote {
		if err := checkDatabase(where); err != nil {
			return nil, err
		}
		return servers[scheme](ctx, where)
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
