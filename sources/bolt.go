package sources

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// boltDatabase is a step-ca's database of the type bbolt.
type boltDatabase struct {
	db   *bbolt.DB
	path string
}

func openBolt(path string) (Database, error) {
	db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%s: a step-ca has it open: give a copy", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &boltDatabase{db, path}, nil
}

func (d *boltDatabase) Close() error { return d.db.Close() }

func (d *boltDatabase) now(context.Context) (time.Time, error) { return newest(d.path) }

func (d *boltDatabase) bucket(table string, fn func(*bbolt.Bucket)) error {
	return d.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(table))
		if b == nil {
			return fmt.Errorf("%s has no table %s, so that it is not a step-ca's", d.path, table)
		}
		fn(b)
		return nil
	})
}

func (d *boltDatabase) keys(_ context.Context, table, after string, limit int) (list []string, err error) {
	err = d.bucket(table, func(b *bbolt.Bucket) {
		c := b.Cursor()
		for k, _ := c.Seek([]byte(after)); k != nil && len(list) < limit; k, _ = c.Next() {
			if string(k) > after {
				list = append(list, string(k))
			}
		}
	})
	return list, err
}

func (d *boltDatabase) values(_ context.Context, table string, keys []string) (map[string][]byte, error) {
	found := map[string][]byte{}
	return found, d.bucket(table, func(b *bbolt.Bucket) {
		for _, key := range keys {
			if v := b.Get([]byte(key)); v != nil {
				found[key] = bytes.Clone(v)
			}
		}
	})
}
