package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// When SQLite opens a file whose last writer was killed, it takes over the
// write-ahead log up to the first frame whose checksum is wrong: that is where
// a power cut ended it. A frame that the disk damaged looks the same, and
// everything acknowledged after it would silently be gone. The two can be told
// apart: a transaction's frames are synced before those of the next are written,
// so if frames of the log follow a transaction with a wrong one, the wrong one
// once was right. (Of the last transaction in the log nothing follows, and a
// power cut may have caught it, so there nothing can be told.)

// https://www.sqlite.org/fileformat2.html#walformat
const (
	walHeader   = 32
	frameHeader = 24
	walMagic    = 0x377f0682 // and the next with big-endian checksums
)

// checkLog fails if transactions follow a damaged place in the write-ahead log
// of a file that no server has open, or if the log has the schema of a newer
// release: SQLite would put it into the file.
func checkLog(path string, serve bool) error {
	if !serve && heldByServer(path) {
		return nil
	}
	for try := 1; ; try++ { // another program may be writing just now
		at, version, err := damagedLog(path)
		switch {
		case err != nil:
			return err
		case version > len(sqliteMigrations()):
			return newerError(path, version, len(sqliteMigrations()))
		case at < 0 || !serve && heldByServer(path):
			return nil
		case try == 3:
			return fmt.Errorf("%s-wal is damaged at byte %d, and transactions follow there that cannot be read: restore a backup, or, to go on without them, run: truncate -s %[2]d %[1]s-wal", path, at)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// heldByServer reports whether a server has the file open. Its log is not read
// from the disk again.
func heldByServer(path string) bool {
	f, err := os.Open(path + ".lock")
	if err != nil {
		return false
	}
	defer func() { _ = unlockFile(f) }()
	return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}

// damagedLog is where in the log of a file there is damage that transactions
// follow, -1 if nowhere, and the schema that the log has, 0 if it does not say.
func damagedLog(path string) (at int64, version int, err error) {
	page, err := pageSize(path)
	if err != nil || page == 0 {
		return -1, 0, err
	}
	f, err := os.Open(path + "-wal")
	if errors.Is(err, os.ErrNotExist) {
		return -1, 0, nil
	}
	if err != nil {
		return -1, 0, err
	}
	defer f.Close() // only read
	head := make([]byte, walHeader)
	if _, err := io.ReadFull(f, head); err != nil {
		return -1, 0, ended(err)
	}
	s := newWalScan(head)
	at, err = s.run(f, page)
	return at, s.version, err
}

// pageSize is that of a database file, 0 if it is no whole one.
func pageSize(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close() // only read
	head := make([]byte, 18)
	if _, err := io.ReadFull(f, head); err != nil {
		return 0, ended(err)
	}
	if n := int(binary.BigEndian.Uint16(head[16:])); n != 1 {
		return n &^ 511, nil
	}
	return 65536, nil
}

// ended is an error that is not the file's end.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// walScan goes through a log's frames. Each carries the sum of all before it,
// and so tells also where the sum stands after a wrong one.
type walScan struct {
	order  binary.ByteOrder
	salt   []byte    // of the log's frames; others are left over from an older one
	sum    [2]uint32 // as the last frame says
	bad    int64     // where the first wrong frame is, -1: none yet
	closed bool      // a transaction ended at it or after it

	version, next int // the schema, of the last transaction and of the one that is read
}

func newWalScan(head []byte) *walScan {
	s := &walScan{order: binary.LittleEndian, bad: -1, salt: head[16:24]}
	magic := binary.BigEndian.Uint32(head)
	if magic == walMagic+1 {
		s.order = binary.BigEndian
	}
	sum := s.add([2]uint32{}, head[:24])
	s.sum = [2]uint32{binary.BigEndian.Uint32(head[24:]), binary.BigEndian.Uint32(head[28:])}
	if magic&^1 != walMagic || sum != s.sum {
		s.bad, s.salt, s.closed = 0, nil, true // it was synced before the first frame was written
	}
	return s
}

// run reads the frames after the header.
func (s *walScan) run(r io.Reader, page int) (int64, error) {
	frame := make([]byte, frameHeader+page)
	for at := int64(walHeader); ; at += int64(len(frame)) {
		if _, err := io.ReadFull(r, frame); err != nil {
			return -1, ended(err)
		}
		if s.salt == nil { // the header's are in doubt
			s.salt = bytes.Clone(frame[8:16])
		}
		right := s.right(frame)
		switch {
		case right && s.bad >= 0 && s.closed:
			return s.bad, nil
		case !right && s.bad < 0:
			s.bad = at
		}
		if binary.BigEndian.Uint32(frame) == 1 { // the database header, see checkSQLiteFile
			s.next = int(binary.BigEndian.Uint32(frame[frameHeader+60:]))
		}
		ends := binary.BigEndian.Uint32(frame[4:]) != 0 // a transaction
		if s.bad >= 0 {
			s.closed = s.closed || ends
		} else if ends {
			s.version = s.next
		}
	}
}

// right reports whether a frame is one of the log and has the sum it says.
func (s *walScan) right(frame []byte) bool {
	sum := s.add(s.add(s.sum, frame[:8]), frame[frameHeader:])
	s.sum = [2]uint32{binary.BigEndian.Uint32(frame[16:]), binary.BigEndian.Uint32(frame[20:])}
	return sum == s.sum && bytes.Equal(frame[8:16], s.salt)
}

// add continues a sum over bytes, eight at a time.
func (s *walScan) add(sum [2]uint32, b []byte) [2]uint32 {
	for ; len(b) >= 8; b = b[8:] {
		sum[0] += s.order.Uint32(b) + sum[1]
		sum[1] += s.order.Uint32(b[4:]) + sum[0]
	}
	return sum
}
