package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// disk is a file system of its own, in a file that is mounted or in memory.
type disk struct {
	source, dir string
	options     []string // of mount
}

// newDisk makes an ext4 file system and mounts it. It skips the test where that
// cannot be had.
func newDisk(t testing.TB, megabytes int, options ...string) *disk {
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk")
	d := &disk{image, t.TempDir(), append([]string{"-o", strings.Join(append(options, "loop"), ",")}, image)}
	err := execute("truncate", "-s", fmt.Sprint(megabytes, "M"), image)
	if err == nil {
		err = execute("mkfs.ext4", "-q", "-F", image)
	}
	d.use(t, err)
	return d
}

// newMemory makes a file system in memory.
func newMemory(t testing.TB, megabytes int) *disk {
	t.Helper()
	d := &disk{"tmpfs", t.TempDir(), []string{"-t", "tmpfs", "-o", fmt.Sprint("size=", megabytes, "m"), "tmpfs"}}
	d.use(t, nil)
	return d
}

func (d *disk) use(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		err = d.mount()
	}
	if err != nil {
		t.Skip("no file system of the test's own: ", err)
	}
	t.Cleanup(func() { _ = d.unmount() })
}

func (d *disk) mount() error   { return execute("mount", append(d.options, d.dir)...) }
func (d *disk) unmount() error { return execute("umount", d.dir) }

// database is the URL of a database on the disk.
func (d *disk) database() string { return "sqlite:" + filepath.Join(d.dir, "register.db") }

// shutdown is EXT4_IOC_SHUTDOWN, fs/ext4/ext4.h in Linux; 2 is to flush no log.
const (
	shutdown   = 0x8004587d
	flushNoLog = 2
)

// cut takes the power from the disk: what is not on it is gone, and nothing more gets
// there until it is mounted anew.
func (d *disk) cut() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.IoctlSetPointerInt(int(f.Fd()), shutdown, flushNoLog), f.Close())
}

// execute runs a program of the system's.
func execute(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
