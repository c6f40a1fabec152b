package store

import (
	"hash/maphash"

	"certstate"
)

// fresh remembers what certificates a load into an empty register has brought, so
// that it need not ask the register, whose indexes are not there yet. It may take
// a certificate for one that was brought, and never the other way round: a Bloom
// filter, of the same size however much is brought. Only the writer uses it.
type fresh struct {
	seed  maphash.Seed
	bits  []uint64
	at    map[int64]int64 // part → the number of its last change, which was the load's
	ended bool            // something else was written, or may be known
	mixed bool            // somebody else has written
}

// freshBits is 16 MiB: for a million records with two keys each, one in 10¹¹ is
// taken for another; for ten million, one in 3000.
const freshBits = 1 << 27

func newFresh() *fresh {
	return &fresh{seed: maphash.MakeSeed(), bits: make([]uint64, freshBits/64), at: map[int64]int64{}}
}

// alone reports whether nobody but the load has written to a part.
func (f *fresh) alone(h *head) bool {
	n, known := f.at[h.t.part()]
	return known && n == h.began || !known && h.live == 0
}

// add notes the keys of a record, and with them its device where they alone name
// no certificate.
func (f *fresh) add(s *certstate.State) {
	k := keysOf(s)
	f.each(&k, s, func(word *uint64, bit uint64) bool {
		*word |= bit
		return true
	}, func() bool { return true })
}

// first notes a lineage, and reports whether no record of it is there.
func (f *fresh) first(h *head, lineage int64) bool {
	there := true
	f.probe(uint64(lineage)^uint64(h.t.part()), func(word *uint64, bit uint64) bool {
		there = there && *word&bit != 0
		*word |= bit
		return true
	})
	return !there && !f.mixed
}

// has reports whether a record with keys may be of a certificate that was brought.
func (f *fresh) has(k *keys, s *certstate.State) (has bool) {
	all := true
	f.each(k, s, func(word *uint64, bit uint64) bool {
		all = all && *word&bit != 0
		return all
	}, func() bool {
		has, all = has || all, true
		return !has
	})
	return has
}

// each calls fn for the bits of each key until it returns false, and then end,
// until that does.
func (f *fresh) each(k *keys, s *certstate.State, fn func(word *uint64, bit uint64) bool, end func() bool) {
	more := true
	key := func(kind byte, text, device string) {
		if text == noKey || !more {
			return
		}
		var h maphash.Hash
		h.SetSeed(f.seed)
		_ = h.WriteByte(kind)        // never fails, hash.Hash
		_, _ = h.WriteString(text)   // likewise
		_, _ = h.WriteString("\x00") // likewise
		_, _ = h.WriteString(device) // likewise
		f.probe(h.Sum64(), fn)
		more = end()
	}
	for _, text := range k.thumbprints {
		key('t', text, "")
	}
	for _, text := range k.serials {
		key('n', text, s.DeviceName.S)
		if s.DeviceID.S != "" {
			key('i', text, s.DeviceID.S)
		}
	}
}

// probe calls fn for eight bits.
func (f *fresh) probe(sum uint64, fn func(word *uint64, bit uint64) bool) {
	step := sum>>32 | 1
	for i := range uint64(8) {
		n := (sum + i*step) % freshBits
		if !fn(&f.bits[n/64], 1<<(n%64)) {
			return
		}
	}
}
