package store_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"testing"

	"certstate"
	"certstate/odata"
	"certstate/store"
)

// digestAt is a digest of all a register tells of the time up to a mark: its
// changes, and its records as they were then.
func digestAt(t *testing.T, s *store.Store, tn store.Tenant, m store.Mark) string {
	t.Helper()
	sum, err := digestOf(t, s, tn, m)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func digestOf(t *testing.T, s *store.Store, tn store.Tenant, m store.Mark) (string, error) {
	sum := fnv.New128a()
	if err := digestChanges(t, s, tn, m.N, sum); err != nil {
		return "", err
	}
	q := odata.Query{Select: certstate.All}
	r := store.Round{From: -1, Head: m}
	for more := true; more; {
		var err error
		if r, more, err = s.Delta(t.Context(), tn, &q, r, 1000, func(told store.Told) error {
			fmt.Fprintf(sum, "%+v\n", *told.State)
			return nil
		}); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

var errEnough = errors.New("enough")

func digestChanges(t *testing.T, s *store.Store, tn store.Tenant, last int64, sum hash.Hash) error {
	err := s.Changes(t.Context(), tn, 0, 1<<30, func(c *certstate.Change) error {
		if c.Seq > last {
			return errEnough
		}
		fmt.Fprintf(sum, "%+v\n", *c)
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// headOf is where a tenant's log ends.
func headOf(t *testing.T, s *store.Store, tn store.Tenant) store.Mark {
	t.Helper()
	r, err := s.FirstRound(t.Context(), tn)
	if err != nil {
		t.Fatal(err)
	}
	return r.Head
}
