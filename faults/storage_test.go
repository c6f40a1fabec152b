package faults

import (
	"encoding/binary"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// storageFaults is what can go wrong with what a file of SQLite's is on.
var storageFaults = []struct {
	name  string
	disk  func(testing.TB) *disk
	fault func(testing.TB, *disk, *server) outage
	flaws []string // that the row sees
}{
	{"the disk is full", memory, full, []string{unaware, unrecovering, boastful}},
	{"writes find no room", memory, noRoom, []string{unaware, unrecovering, boastful}},
	{"the file system turns read-only", ext4, readOnly, []string{unaware, boastful}},
	{"the log cannot be changed", ext4, immutable, []string{unaware, boastful}},
	{"another program holds the database", memory, locked, []string{unaware, unrecovering, boastful}},
	{"a sync fails", memory, syncs("1"), []string{unaware, boastful, heedless}},
	{"the second sync of a thread fails", memory, syncs("2"), []string{heedless}},
	{"the fifth sync of a thread and all that follow fail", memory, syncs("5+"), []string{unaware, boastful}},
	{"pages are damaged", memory, damaged, []string{boastful}},
}

func memory(t testing.TB) *disk { return newMemory(t, 64) }
func ext4(t testing.TB) *disk   { return newDisk(t, 64, "errors=remount-ro") }

func TestStorageFaults(t *testing.T) {
	for _, row := range storageFaults {
		run := func(t testing.TB, flaws ...string) {
			t.Helper()
			d := row.disk(t)
			r := newRegister(t, d.database())
			s := r.serveFlawed(t, flaws)
			l := newLoad(newClient(r, transport()), []string{s.url}, 0)
			l.suffer(t, r, s, row.fault(t, d, s))
			if err := s.stop(); err != nil { // before its disk goes
				t.Error(err)
			}
		}
		eachFlaw(t, row.name, row.flaws, run)
	}
}

// full fills the disk with another file, and removes it.
func full(_ testing.TB, d *disk, _ *server) outage {
	ballast := filepath.Join(d.dir, "ballast")
	return outage{
		cause: func() error {
			f, err := os.Create(ballast)
			if err != nil {
				return err
			}
			for room := make([]byte, 4096); err == nil; {
				_, err = f.Write(room)
			}
			if errors.Is(err, unix.ENOSPC) {
				err = nil
			}
			return errors.Join(err, f.Close())
		},
		mend:   func() error { return os.Remove(ballast) },
		status: 507, says: "changes are refused.*full", reads: true,
	}
}

// noRoom has the kernel say so of each write.
func noRoom(t testing.TB, _ *disk, s *server) outage {
	o, _ := tampered(t, s, "pwrite64,ftruncate,fallocate:error=ENOSPC")
	o.status, o.says, o.reads = 507, "changes are refused.*full", true
	return o
}

// syncs has the kernel fail a thread's syncs, as strace counts them.
func syncs(when string) func(testing.TB, *disk, *server) outage {
	return func(t testing.TB, _ *disk, s *server) outage {
		o, first := tampered(t, s, "fsync,fdatasync:error=EIO:when="+when)
		o.status, o.says, o.reads, o.ends = 503, "no more writes are accepted.*disk I/O error", true, true
		o.last = first
		return o
	}
}

// readOnly has ext4 find an error in itself, after which it takes no writes. An fsync
// that begins then returns success whatever is on the disk (Linux, fs/ext4/fsync.c), so
// what was written before and synced after is lost, to any program: nobody writes here
// at that moment.
func readOnly(_ testing.TB, d *disk, _ *server) outage {
	return outage{
		cause: func() error {
			out, err := exec.Command("findmnt", "-no", "SOURCE", d.dir).Output()
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(out))), "trigger_fs_error"), []byte("test"), 0)
		},
		mend: func() error {
			return errors.Join(d.unmount(), d.mount())
		},
		status: 503, says: "no more writes are accepted", still: true, reads: true, ends: true,
	}
}

// immutable forbids changes of the write-ahead log.
func immutable(_ testing.TB, d *disk, _ *server) outage {
	log := filepath.Join(d.dir, "register.db-wal")
	return outage{
		cause:  func() error { return execute("chattr", "+i", log) },
		mend:   func() error { return execute("chattr", "-i", log) },
		status: 503, says: "no more writes are accepted", reads: true, ends: true,
	}
}

// writeLock is the byte of the -shm file that who writes has locked,
// https://www.sqlite.org/walformat.html §2.3.
const writeLock = 120

// locked takes the lock that SQLite's writers take, as another program would.
func locked(_ testing.TB, d *disk, _ *server) outage {
	var f *os.File
	return outage{
		cause: func() (err error) {
			if f, err = os.OpenFile(filepath.Join(d.dir, "register.db-shm"), os.O_RDWR, 0); err != nil {
				return err
			}
			lock := unix.Flock_t{Type: unix.F_WRLCK, Start: writeLock, Len: 1}
			return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLKW, &lock)
		},
		mend:   func() error { return f.Close() },
		status: 503, says: "changes are refused.*locked", reads: true,
	}
}

// damaged overwrites the beginning of every page but the first, in the file and in
// its write-ahead log, of which the server has read none yet.
func damaged(_ testing.TB, d *disk, s *server) outage {
	path := filepath.Join(d.dir, "register.db")
	var file, log []byte
	return outage{
		cause: func() error {
			if err := errors.Join(s.kill(), s.launch(), s.awaitStatus("/healthz", 200, patience)); err != nil {
				return err
			}
			var errs [2]error
			file, errs[0] = os.ReadFile(path)
			log, errs[1] = os.ReadFile(path + "-wal")
			if err := errors.Join(errs[:]...); err != nil {
				return err
			}
			badFile, badLog := slices.Clone(file), slices.Clone(log)
			size := int(binary.BigEndian.Uint16(file[16:]))
			for at := size; at < len(file); at += size {
				if !pointsBack(at/size+1, size) {
					copy(badFile[at:], "a page of nothing")
				}
			}
			for at := walHeader; at < len(log); at += frameHeader + size {
				if page := int(binary.BigEndian.Uint32(log[at:])); page > 1 && !pointsBack(page, size) {
					copy(badLog[at+frameHeader:], "a page of nothing")
				}
			}
			return errors.Join(overwrite(path, badFile), overwrite(path+"-wal", badLog))
		},
		mend:   func() error { return errors.Join(overwrite(path, file), overwrite(path+"-wal", log)) },
		status: 503, says: "the database is damaged.*malformed", ends: true,
	}
}

// pointsBack reports whether a page is one of the pointer map's, which SQLite
// believes, and writes again, without looking
// (https://www.sqlite.org/fileformat.html §1.8).
func pointsBack(page, size int) bool { return page > 1 && (page-2)%(size/5+1) == 0 }

// Sizes in a write-ahead log, https://www.sqlite.org/fileformat.html §4.1.
const (
	walHeader   = 32
	frameHeader = 24
)

func overwrite(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	return errors.Join(err, f.Close())
}

// A server does not start on what it cannot write, and says so.
func TestStartOnReadOnly(t *testing.T) {
	for name, forbid := range map[string]func(d *disk) error{
		"file system": func(d *disk) error { return execute("mount", "-o", "remount,ro", d.dir) },
		"folder":      func(d *disk) error { return execute("chattr", "+i", d.dir) },
		"file":        func(d *disk) error { return execute("chattr", "+i", filepath.Join(d.dir, "register.db")) },
	} {
		t.Run(name, func(t *testing.T) {
			d := ext4(t)
			r := newRegister(t, d.database())
			if err := forbid(d); err != nil {
				t.Fatal(err)
			}
			s := r.server(t)
			if err := s.launch(); err != nil {
				t.Fatal(err)
			}
			<-s.ended
			if said := s.lastLines(); s.command.ProcessState.ExitCode() != 1 || !strings.Contains(said, d.dir) || strings.Contains(said, "{") {
				t.Errorf("exit code %d: %s", s.command.ProcessState.ExitCode(), said)
			}
		})
	}
}

// A sync that fails while the log is copied into the file ends writing too: that the
// next one succeeds would say nothing of the pages that the kernel has dropped.
func TestCheckpointSyncFails(t *testing.T) {
	t.Parallel()
	r := newRegister(t, memory(t).database())
	s := r.serve(t)
	l := newLoad(newClient(r, transport()), []string{s.url}, 200)
	l.run(t.Context())
	o, _ := tampered(t, s, "fsync,fdatasync:error=EIO")
	const idle = 10 * time.Second // after which the log is copied for certain
	if err := errors.Join(o.cause(), s.awaitStatus("/readyz", http.StatusServiceUnavailable, idle), l.refusal(t, s, outage{status: 503}),
		await("the log says so", noticed, func() bool { return s.said("no more writes are accepted.*disk I/O error") == 1 })); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(o.mend(), s.restart()); err != nil {
		t.Fatal(err)
	}
	l.judge(t, r)
}
