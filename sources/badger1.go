package sources

import (
	"errors"

	"github.com/dgraph-io/badger"
)

// badger1 is a folder of badger 1.
type badger1 struct{ *badger.DB }

func openBadger1(path string) (badgerFolder, error) {
	db, err := badger.Open(badger.DefaultOptions(path).WithReadOnly(true).WithLogger(nil))
	if err != nil {
		return nil, err
	}
	return badger1{db}, nil
}

func (d badger1) each(prefix []byte, fn func(key []byte)) error {
	return d.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
		defer it.Close()
		for it.Rewind(); it.ValidForPrefix(prefix); it.Next() {
			fn(it.Item().Key())
		}
		return nil
	})
}

func (d badger1) get(key []byte) (value []byte, there bool, err error) {
	err = d.View(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err == nil {
			there = true
			value, err = item.ValueCopy(nil)
		}
		return err
	})
	return value, there, err
}
