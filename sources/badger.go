package sources

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// badgerDatabase is a step-ca's database of the type badger or badgerv2. It is opened
// to be read alone, which badger does only with one that was closed well.
type badgerDatabase struct {
	badgerFolder
	path   string
	sorted map[string][]string // the keys of a table in the order of their octets; badger's is by length first
}

// badgerFolder is an open folder of one release of badger's.
type badgerFolder interface {
	// each calls fn with the keys that begin with a prefix, which fn may not keep.
	each(prefix []byte, fn func(key []byte)) error
	// get is the value of a key, if there is one.
	get(key []byte) (value []byte, there bool, err error)
	Close() error
}

// badgerRelease is one of badger's that a step-ca uses.
type badgerRelease struct {
	kind string // as the step-ca's configuration names it
	open func(path string) (badgerFolder, error)
}

// badgerReleases are those releases, by the version that the file MANIFEST in a
// folder of theirs has. None reads what another has written.
var badgerReleases = map[uint32]badgerRelease{
	oldManifest: {"badger", openBadger1},
	7:           {"badgerv2", openBadger2},
}

// oldManifest is the version of badger 1.
const oldManifest = 4

func openBadger(path string) (Database, error) {
	version, err := manifestVersion(path)
	if err != nil {
		return nil, err
	}
	release, known := badgerReleases[version]
	if !known {
		return nil, fmt.Errorf("%s is of a release of badger that no step-ca uses: its MANIFEST has the version %d", path, version)
	}
	// Without any, badger would make one, in a folder that is not to be changed.
	if logs, err := filepath.Glob(filepath.Join(path, "*.vlog")); err != nil || len(logs) == 0 {
		return nil, fmt.Errorf("%s has no file *.vlog: if the step-ca's ca.json names a valueDir, copy what is there into it", path)
	}
	folder, err := release.open(path)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read as a step-ca's folder of the type %s: stop the step-ca, or give a copy made while it was stopped: %w", path, release.kind, err)
	}
	return &badgerDatabase{folder, path, map[string][]string{}}, nil
}

// manifestVersion is the version in a folder's MANIFEST: four octets after its first
// four, big end first.
func manifestVersion(path string) (uint32, error) {
	f, err := os.Open(filepath.Join(path, "MANIFEST"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%s has no MANIFEST, so that it is not the folder of a step-ca's database: %s", path, DatabaseForms)
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var head [8]byte
	if _, err := io.ReadFull(f, head[:]); err != nil || string(head[:4]) != "Bdgr" {
		return 0, fmt.Errorf("the MANIFEST of %s is damaged, or not a badger's", path)
	}
	return binary.BigEndian.Uint32(head[4:]), nil
}

// checkFollowed refuses a database that may be imported, but not read again and
// again. Badger 1 is one: each time that it cannot open a folder, it keeps threads,
// memory and open files until the process ends.
func checkFollowed(where string) error {
	if version, err := manifestVersion(where); err == nil && version == oldManifest {
		return fmt.Errorf("%s is of the type badger (v1), which is not followed: bring it in with certstate import --from-step-ca, or move the step-ca to PostgreSQL or MySQL with smallstep's badger-migration", where)
	}
	return nil
}

func (d *badgerDatabase) now(context.Context) (time.Time, error) { return newest(d.path) }

// badgerKey is how nosql writes a key of a table: both with their lengths before
// them, in two octets, little end first. Without a key it is what stands for the
// table.
func badgerKey(table, key string) []byte {
	b := binary.LittleEndian.AppendUint16(nil, uint16(len(table)))
	b = append(b, table...)
	if key == "" {
		return b
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(key)))
	return append(b, key...)
}

func (d *badgerDatabase) keys(_ context.Context, table, after string, limit int) ([]string, error) {
	if d.sorted[table] == nil {
		if err := d.sort(table); err != nil {
			return nil, err
		}
	}
	all := d.sorted[table]
	from, found := slices.BinarySearch(all, after)
	if found {
		from++
	}
	return all[from:min(from+limit, len(all))], nil
}

func (d *badgerDatabase) sort(table string) error {
	prefix, there, list := badgerKey(table, ""), false, []string{}
	err := d.each(prefix, func(key []byte) {
		there = true
		if rest := key[len(prefix):]; len(rest) > 2 {
			list = append(list, string(rest[2:]))
		}
	})
	if err == nil && !there {
		err = fmt.Errorf("%s has no table %s, so that it is not a step-ca's", d.path, table)
	}
	slices.Sort(list)
	d.sorted[table] = list
	return err
}

func (d *badgerDatabase) values(_ context.Context, table string, keys []string) (map[string][]byte, error) {
	found := map[string][]byte{}
	for _, key := range keys {
		value, there, err := d.get(badgerKey(table, key))
		if err != nil {
			return nil, err
		}
		if there {
			found[key] = value
		}
	}
	return found, nil
}
