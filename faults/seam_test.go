package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// seam is where the servers that are built for tests differ from the source. It
// names a line, by all of it but the space around it, or by its beginning if it
// ends with "…". Once the line is not there, or is there twice, building fails and
// says so: the table has to follow the source then.
type seam struct {
	file, line string
	before     string // lines that are put before it,
	after      string // and after it
	instead    string // what stands in its place, "" for itself
}

// seams are those that are neither points nor flaws.
var seams = []seam{
	// So that a short test sees the checkpointer act.
	{file: "store/checkpoint.go", line: "case size >= truncateAt, size > 0 && quiet == 20:", instead: "case size > 0 && seam.Often():"},
	{file: "store/checkpoint.go", line: "passiveAt  = …", instead: "passiveAt = 1"},
	// A clock that can be set.
	{file: "store/store.go", line: "s.now = time.Now", instead: "s.now = seam.Now"},
	{file: "api/server.go", line: "cfg.Now = time.Now", instead: "cfg.Now = seam.Now"},
	{file: "auth/auth.go", line: "cfg.Now = time.Now", instead: "cfg.Now = seam.Now"},
}

// programWithSeams is the path of certstate with points at which it dies, flaws that
// it can be told to have, and a clock that can be set. Nothing of that is in
// the source: for some files the compiler is given another text.
var programWithSeams = sync.OnceValues(func() (string, error) {
	root, err := filepath.Abs("..")
	if err != nil {
		return "", err
	}
	overlay, err := writeOverlay(root, slices.Concat(seams, flawSeams, pointSeams()))
	if err != nil {
		return "", err
	}
	return build("certstate-with-seams", "-overlay", overlay)
})

// writeOverlay writes the file that -overlay wants, and the texts that it names.
func writeOverlay(root string, list []seam) (string, error) {
	replace := map[string]string{filepath.Join(root, "seam", "seam.go"): filepath.Join(root, "faults", "testdata", "seam.go")}
	var errs []error
	byFile := map[string][]seam{}
	for _, s := range list {
		byFile[s.file] = append(byFile[s.file], s)
	}
	for file, list := range byFile {
		source, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return "", err
		}
		text, err := sewn(string(source), list)
		errs = append(errs, err)
		path := filepath.Join(binaries, strings.ReplaceAll(file, "/", "-"))
		replace[filepath.Join(root, file)] = path
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(binaries, "overlay.json")
	return path, os.WriteFile(path, b, 0o600)
}

// The seams fit the source: this fails first, and alone says why all tests that need
// them fail.
func TestSeams(t *testing.T) {
	if _, err := programWithSeams(); err != nil {
		t.Fatal(err)
	}
}

// sewn is a source file with its seams.
func sewn(source string, list []seam) (string, error) {
	lines := strings.Split(source, "\n")
	used := make([]int, len(list))
	for i, line := range lines {
		head, body, tail := "", line, ""
		for n, s := range list {
			if !s.at(line) {
				continue
			}
			used[n]++
			head, tail = head+s.before+"\n", s.after+"\n"+tail
			if s.instead != "" {
				body = s.instead
			}
		}
		if head+tail != "" {
			lines[i] = head + body + "\n" + tail
		}
	}
	var errs []error
	for n, times := range used {
		if times != 1 {
			errs = append(errs, fmt.Errorf("%s has %d lines %q: the seams have to follow the source", list[n].file, times, list[n].line))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	return strings.Replace(strings.Join(lines, "\n"), "import (", "import (\n\t\"certstate/seam\"", 1), nil
}

func (s *seam) at(line string) bool {
	line = strings.TrimSpace(line)
	if beginning, ok := strings.CutSuffix(s.line, "…"); ok {
		return strings.HasPrefix(line, beginning)
	}
	return line == s.line
}
