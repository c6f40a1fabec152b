package store

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"

	"certstate"
)

// Neither engine finds a value that the disk changed where no index has it too
// (PostgreSQL does if it was set up with checksums). So rows carry a digest of
// their values, which Verify computes anew: state and past of a record (its key,
// version, absent and properties), change of all but its part, seq of the floor
// and its time. No read looks at it.

// digest is 64 bits of values that are texts or numbers; never 0, which says
// that a row has none.
func digest(values ...any) int64 {
	h := fnv.New64a()
	var number [8]byte
	for _, v := range values {
		text, isText := v.(string)
		n, isNumber := v.(int64)
		if !isNumber {
			if !isText { // what a damaged row may have
				text = fmt.Sprintf("%T %v", v, v)
			}
			n = int64(len(text))
		}
		binary.BigEndian.PutUint64(number[:], uint64(n))
		_, _ = h.Write(number[:]) // never fails, hash.Hash
		_, _ = h.Write([]byte(text))
	}
	return max(int64(h.Sum64()>>1), 1)
}

// recordDigest is that of a version of a record with key k.
func recordDigest(k int64, s *certstate.State) int64 {
	return digest(appendValues(append(make([]any, 0, 40), k), s)...)
}
