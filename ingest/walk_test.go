package ingest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestFiles finds files wherever they are, says what each is, and counts what was
// read of them.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	pem := []byte("-----BEGIN CERTIFICATE-----\n")
	write("in/b/x.pem", pem)
	write("in/a.txt", []byte("id,userId\n1,2\n"))
	write("in/.hidden", pem)
	write("in/.git/x.pem", pem)
	write("in/lines", []byte("\xEF\xBB\xBF{\"id\":\"a\"}\n"))
	write("in/key", []byte(`{"kty":"EC","d":"x"}`))
	write("in/der.bin", []byte("\x30\x82\x01\x00\x30\x82"))
	write("pack.tar", tarOf(t, "d/one.crt", string(pem), ".x", "hidden", "d/two.csv", "x"))
	write("pack.tar.gz", gzipOf(t, tarOf(t, "d/one.crt", string(pem))))
	write("rows.csv.gz", gzipOf(t, []byte("id\n")))
	write("pack.zip", zipOf(t, "report.csv", "DeviceName\n", "__MACOSX/report.csv", "x"))
	write("book.xlsx", zipOf(t, "[Content_Types].xml", "<x/>"))
	write("broken.zip", []byte("PK\x03\x04 and nothing else"))
	if err := os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "in/dangling")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"in"}, "in/a.txt csv|in/b/x.pem certificates|in/der.bin certificates|in/key certificates|in/lines ndjson"},
		{[]string{"in/*.txt", "in/b"}, "in/a.txt csv|in/b/x.pem certificates"},
		{[]string{"pack.tar"}, "pack.tar: d/one.crt certificates|pack.tar: d/two.csv csv"},
		{[]string{"pack.tar.gz", "rows.csv.gz"}, "pack.tar.gz: d/one.crt certificates|rows.csv.gz csv"},
		{[]string{"pack.zip"}, "pack.zip: report.csv csv"},
		{[]string{"book.xlsx"}, `book.xlsx an Excel workbook or other document: save it as "CSV UTF-8" first`},
		{[]string{"broken.zip"}, "broken.zip zip: not a valid zip file"},
	} {
		for i := range c.args {
			c.args[i] = filepath.Join(dir, c.args[i])
		}
		if got := strings.ReplaceAll(listed(t, nil, c.args), dir+"/", ""); got != c.want {
			t.Errorf("%v:\n got %s\nwant %s", c.args, got, c.want)
		}
	}
	for name, want := range map[string]string{"pack.zip": "standard input: report.csv csv", "pack.tar.gz": "standard input: d/one.crt certificates", "in/lines": "standard input ndjson"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := listed(t, f, []string{"-"}); got != want {
			t.Errorf("%s on standard input: %s, want %s", name, got, want)
		}
		f.Close()
	}
	if _, err := NewInput(nil, []string{filepath.Join(dir, "*.none")}); err == nil {
		t.Error("a pattern that no file fits is taken")
	}
}

func listed(t *testing.T, stdin io.Reader, args []string) string {
	t.Helper()
	in, err := NewInput(stdin, args)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for f, err := range in.Files() {
		text := fmt.Sprint(f.Name, " ", err)
		if err == nil {
			text = fmt.Sprint(f.Name, " ", f.Kind())
			if _, err := io.Copy(io.Discard, f); err != nil {
				t.Error(err)
			}
		}
		list = append(list, text)
	}
	if slices.Sort(list); in.Total >= 0 && in.Read() == 0 {
		t.Errorf("%v: nothing was counted", args)
	}
	return strings.Join(list, "|")
}

func tarOf(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o600, Size: int64(len(files[i+1]))})
		if _, e := io.WriteString(w, files[i+1]); err != nil || e != nil {
			t.Fatal(err, e)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipOf(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		m, err := w.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(m, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestDeviceNames takes names out of what docs/certificates.md says of them.
func TestDeviceNames(t *testing.T) {
	for subject, want := range map[string]string{
		"CN=one,O=Fleet": "one", "O=Fleet": "", "OU=CN\\=x,CN=Laptop\\, 1,O=x": "Laptop, 1", "emailAddress=a+CN=two": "two",
		"CN=#0C0161": "", "CN=a\\\\b": `a\b`, "CN=a\\": `a\`, "CN=a\\0Ab": `a\0Ab`, "": "",
	} {
		if got := commonName(subject); got != want {
			t.Errorf("%s: %q, want %q", subject, got, want)
		}
	}
	for base, want := range map[string]string{"LAPTOP-7.pem": "LAPTOP-7", "host.fleet.example": "host.fleet.example", "host.fleet.example.CER": "host.fleet.example", "standard input": ""} {
		if got := deviceOfFile(base); got != want {
			t.Errorf("%s: %q, want %q", base, got, want)
		}
	}
}

// What somebody sends is unpacked up to a bound, its list read up to another, and
// nothing of it is written to the disk.
func TestUploadsAreBounded(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "there is no such folder"))
	var z bytes.Buffer
	w := zip.NewWriter(&z)
	for i := range 1000 {
		m, err := w.Create(fmt.Sprintf("%d.ndjson", i))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = m.Write(bytes.Repeat([]byte(" \n"), 500))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	gz := gzip.NewWriter(&packed)
	_, _ = gz.Write(bytes.Repeat([]byte(" \n"), 1<<20))
	_ = gz.Close()
	var twice bytes.Buffer
	gz = gzip.NewWriter(&twice)
	_, _ = gz.Write(z.Bytes())
	_ = gz.Close()
	for _, c := range []struct {
		name       string
		data       []byte
		left, list int64
		files      int
		want       string
	}{
		{"a zip", z.Bytes(), maxUnpacked, maxList, 1000, ""},
		{"unpacks to too much", z.Bytes(), 1000*1000 - 1, maxList, 1000, "it unpacks to more than"},
		{"a list too large", z.Bytes(), maxUnpacked, 10_000, 1, "the archive's list is larger than"},
		{"gzip unpacks to too much", packed.Bytes(), 2<<20 - 1, maxList, 1, "it unpacks to more than"},
		{"a zip within gzip", twice.Bytes(), maxUnpacked, maxList, 1, "a zip archive that gzip compressed again"},
	} {
		in := NewUpload("sent", bytes.NewReader(c.data), int64(len(c.data)))
		in.left, in.list = c.left, c.list
		files, fault := 0, error(nil)
		for f, err := range in.Files() {
			files++
			if err == nil {
				_, err = io.Copy(io.Discard, f)
			}
			if err != nil {
				fault = err
			}
		}
		if files != c.files || (fault == nil) != (c.want == "") || fault != nil && !strings.Contains(fault.Error(), c.want) {
			t.Errorf("%s: %d files, %v", c.name, files, fault)
		}
	}
}
