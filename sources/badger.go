package sources

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v2"
)

// badgerDatabase is a step-ca's database of the type badgerv2. It is opened to be
// read alone, which badger does only with one that was closed well.
type badgerDatabase struct {
	db     *badger.DB
	path   string
	sorted map[string][]string // the keys of a table in the order of their octets; badger's is by length first
}

func openBadger(path string) (Database, error) {
	db, err := badger.Open(badger.DefaultOptions(path).WithReadOnly(true).WithLogger(nil))
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read as a step-ca's folder of the type badgerv2: stop the step-ca, or give a copy made while it was stopped: %w", path, err)
	}
	return &badgerDatabase{db, path, map[string][]string{}}, nil
}

func (d *badgerDatabase) Close() error { return d.db.Close() }

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
	err := d.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			there = true
			if rest := it.Item().Key()[len(prefix):]; len(rest) > 2 {
				list = append(list, string(rest[2:]))
			}
		}
		return nil
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
	return found, d.db.View(func(txn *badger.Txn) error {
		for _, key := range keys {
			item, err := txn.Get(badgerKey(table, key))
			if errors.Is(err, badger.ErrKeyNotFound) {
				continue
			}
			if err == nil {
				found[key], err = item.ValueCopy(nil)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
