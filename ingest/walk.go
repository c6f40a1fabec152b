package ingest

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// Input is the files that a person names: files, folders with all that is in them,
// patterns, archives, and standard input as "-".
type Input struct {
	Total int64 // size of them all, in bytes; -1: not known
	paths []string
	stdin io.Reader
	sent  *io.SectionReader // the one file there is, if it was uploaded
	left  int64             // octets that may still be unpacked of it, and
	list  int64             // how large its archive's list may be
	read  atomic.Int64

	outer, inner *bufio.Reader // of the file, and of the member of an archive
}

// NewInput finds the files. In folders, files and folders whose name begins with a
// dot are passed over, and what is no regular file.
func NewInput(stdin io.Reader, names []string) (*Input, error) {
	in := &Input{stdin: stdin, outer: bufio.NewReaderSize(nil, headSize), inner: bufio.NewReaderSize(nil, headSize)}
	for _, name := range names {
		if name == "-" {
			in.paths, in.Total = append(in.paths, name), -1
			continue
		}
		matches := []string{name}
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(name, "*?[") {
			if matches, err = filepath.Glob(name); err != nil || len(matches) == 0 {
				return nil, fmt.Errorf("no file is named like %s", name)
			}
		}
		for _, path := range matches {
			if err := in.add(path); err != nil {
				return nil, err
			}
		}
	}
	return in, nil
}

// Bounds of what somebody sends, in octets. A small archive may unpack to more than
// anybody has time for, and a zip archive's list is held in memory: about a fifth of a
// kilobyte for each file.
const (
	maxUnpacked = 64 << 30
	maxList     = 32 << 20
)

// NewUpload is the one file that somebody sent, under a name. Nothing of it is written
// to the disk.
func NewUpload(name string, r io.ReaderAt, size int64) *Input {
	return &Input{Total: size, paths: []string{name}, sent: io.NewSectionReader(r, 0, size), left: maxUnpacked, list: maxList,
		outer: bufio.NewReaderSize(nil, headSize), inner: bufio.NewReaderSize(nil, headSize)}
}

func (in *Input) add(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != root && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := os.Stat(path) // of what a link points at
		switch {
		case path != root && errors.Is(err, fs.ErrNotExist): // a link to nothing
			return nil
		case err != nil:
			return err
		case info.IsDir() || path != root && !info.Mode().IsRegular():
			return nil
		}
		in.paths = append(in.paths, path)
		if in.Total >= 0 {
			in.Total += info.Size()
		}
		return nil
	})
}

// Read is how much of Total was read. It may be asked while that is done.
func (in *Input) Read() int64 { return min(in.read.Load(), max(in.Total, 0)) }

// Paths are the files, as they are to be opened.
func (in *Input) Paths() []string { return in.paths }

// Single reports whether there is one file.
func (in *Input) Single() bool { return len(in.paths) == 1 }

// File is a file, or a member of an archive.
type File struct {
	Name string // with that of the archive before it
	Base string // its own name, without folders
	*bufio.Reader
	Member bool // of an archive
}

// headSize is how much of a file is looked at to know what it is.
const headSize = 1 << 16

func (in *Input) file(name string, r io.Reader) *File {
	in.outer.Reset(r)
	return &File{Name: name, Base: filepath.Base(name), Reader: in.outer}
}

func (in *Input) member(archive, name string, r io.Reader) *File {
	in.inner.Reset(r)
	return &File{Name: archive + ": " + name, Base: filepath.Base(filepath.FromSlash(name)), Reader: in.inner, Member: true}
}

// Files yields each file, with the members of archives (tar, zip, and either or a
// file compressed by gzip) in their place; archives in archives stay what they are.
// A file is valid until the next. An error is of the file that it comes with.
func (in *Input) Files() iter.Seq2[*File, error] {
	return func(yield func(*File, error) bool) {
		for _, path := range in.paths {
			if !in.open(path, yield) {
				return
			}
		}
	}
}

type yieldFile func(*File, error) bool

func (in *Input) open(path string, yield yieldFile) bool {
	if in.sent != nil {
		return in.archive(path, in.sent, in.sent, yield)
	}
	if path == "-" {
		return in.archive("standard input", in.stdin, nil, yield)
	}
	f, err := os.Open(path)
	if err != nil {
		return yield(&File{Name: path}, err)
	}
	defer f.Close() // only read
	return in.archive(path, f, f, yield)
}

// seekable is what can be read out of order.
type seekable interface {
	io.ReaderAt
	io.Seeker
}

// archive yields the members of an archive, or the file itself. whole is where it
// can be read out of order, or nil.
func (in *Input) archive(name string, r io.Reader, whole seekable, yield yieldFile) bool {
	f := in.file(name, &counted{r, &in.read})
	head, err := f.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return yield(f, err)
	}
	if bytes.HasPrefix(head, []byte("\x1F\x8B\x08")) {
		z, err := gzip.NewReader(f)
		if err != nil {
			return yield(f, err)
		}
		f = &File{Name: name, Base: strings.TrimSuffix(f.Base, ".gz"), Reader: bufio.NewReaderSize(in.unpacked(z), headSize)}
		whole = nil
		if head, err = f.Peek(headSize); err != nil && !errors.Is(err, io.EOF) {
			return yield(f, err)
		}
	}
	switch {
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return in.members(f, yield)
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return in.zip(f, whole, yield)
	}
	return yield(f, nil)
}

// members yields what is in a tar archive.
func (in *Input) members(f *File, yield yieldFile) bool {
	for t := tar.NewReader(f); ; {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return true
		case err != nil:
			return yield(f, err)
		case h.Typeflag == tar.TypeReg && !hidden(h.Name) && !yield(in.member(f.Name, h.Name, t), nil):
			return false
		}
	}
}

// zip yields what is in a zip archive, whose list stands at its end.
func (in *Input) zip(f *File, whole seekable, yield yieldFile) bool {
	if whole == nil && in.sent != nil {
		return yield(f, &Fault{Reason: "a zip archive that gzip compressed again", Cure: "send the zip archive itself"})
	}
	if whole == nil {
		spool, err := os.CreateTemp("", "certstate-*.zip")
		if err != nil {
			return yield(f, err)
		}
		defer os.Remove(spool.Name()) // of no use to anyone
		defer spool.Close()
		if _, err := io.Copy(spool, f); err != nil {
			return yield(f, err)
		}
		whole = spool
	}
	size, err := whole.Seek(0, io.SeekEnd)
	if err != nil {
		return yield(f, err)
	}
	list := &boundedAt{&countedAt{whole, &in.read}, math.MaxInt64}
	if in.sent != nil {
		list.left = in.list
	}
	z, err := zip.NewReader(list, size)
	if err != nil {
		return yield(f, err)
	}
	list.left = math.MaxInt64 // it is read
	for _, m := range z.File {
		if m.Name == "[Content_Types].xml" {
			return yield(f, &Fault{Reason: "an Excel workbook or other document", Cure: `save it as "CSV UTF-8" first`})
		}
	}
	for _, m := range z.File {
		if m.FileInfo().Mode().IsRegular() && !hidden(m.Name) && !in.openMember(f.Name, m, yield) {
			return false
		}
	}
	return true
}

func (in *Input) openMember(archive string, m *zip.File, yield yieldFile) bool {
	named := in.member(archive, m.Name, nil)
	if m.Flags&1 != 0 {
		return yield(named, &Fault{Reason: "encrypted", Cure: "unpack the archive first, and import the folder"})
	}
	r, err := m.Open()
	if err != nil {
		return yield(named, err)
	}
	defer r.Close() // only read
	return yield(in.member(archive, m.Name, in.unpacked(r)), nil)
}

// unpacked bounds what is unpacked of a file that somebody sent.
func (in *Input) unpacked(r io.Reader) io.Reader {
	if in.sent == nil {
		return r
	}
	return &bounded{r, &in.left}
}

// bounded fails once more was read than is left.
type bounded struct {
	r    io.Reader
	left *int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if *b.left -= int64(n); *b.left < 0 {
		return 0, fmt.Errorf("it unpacks to more than %d bytes: send it in several files", int64(maxUnpacked))
	}
	return n, err
}

// boundedAt is the same of a list.
type boundedAt struct {
	r    io.ReaderAt
	left int64
}

func (b *boundedAt) ReadAt(p []byte, at int64) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, fmt.Errorf("the archive's list is larger than %d bytes: send it in several archives", maxList)
	}
	return b.r.ReadAt(p, at)
}

// hidden reports whether a member is in what file managers do not show.
func hidden(name string) bool {
	return strings.HasPrefix(name, "__MACOSX/") || strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "./") || strings.Contains(name, "/.")
}

// counted adds up what is read.
type counted struct {
	r io.Reader
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

type countedAt struct {
	r io.ReaderAt
	n *atomic.Int64
}

func (c *countedAt) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.r.ReadAt(p, at)
	c.n.Add(int64(n))
	return n, err
}

// Kinds of files.
const (
	KindNDJSON       = "ndjson"
	KindCSV          = "csv"
	KindCertificates = "certificates"
)

// Kind says what a file is, by its octets, and by its name where they leave it open.
func (f *File) Kind() string {
	head, _ := f.Peek(headSize) // an error comes again with the first read
	name := strings.ToLower(f.Base)
	text := bytes.TrimSpace(asUTF8(head))
	switch {
	case bytes.Contains(text, beginMarker), beginsWithDER(head), len(text) > 0 && keepsPrivateKeys(text):
		return KindCertificates
	case len(text) > 0 && text[0] == '{', strings.HasSuffix(name, ".ndjson"), strings.HasSuffix(name, ".jsonl"):
		return KindNDJSON
	case strings.HasSuffix(name, ".csv"), strings.HasSuffix(name, ".tsv"), namesColumns(text):
		return KindCSV
	}
	return KindCertificates
}

// namesColumns reports whether the first line of a text is a header as CSV knows it.
func namesColumns(text []byte) bool {
	if _, ok := declaredDelimiter(text); ok {
		return true
	}
	line, _, _ := strings.Cut(string(text), "\n")
	comma := delimiter([]byte(line))
	for name := range strings.SplitSeq(line, string(comma)) {
		if _, _, known := meaning(strings.Trim(name, " \r\""), nil); known {
			return true
		}
	}
	return false
}
