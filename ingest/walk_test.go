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
