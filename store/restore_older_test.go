package store

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"certstate/store/storetest"
)

// before5 is what the release with schema 4 did not know.
var before5 = []string{"san", "aki", "ski", "key_type", "key_size", "signature_algorithm", "crl_locations", "ocsp_locations", "issuer_locations", "findings", "supersedes", "superseded_by"}

// A backup of an older release is restored: what has come to the record since is
// null, and the register is sound.
func TestRestoreOlder(t *testing.T) {
	for _, e := range storetest.Engines {
		t.Run(e.Name, func(t *testing.T) {
			source, err := Open(t.Context(), e.URL(t), Options{Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			storied(t, source)
			var backup bytes.Buffer
			if _, err := source.Backup(t.Context(), &backup, func(int64) {}); err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.Context(), e.URL(t), Options{Serve: true, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := s.Restore(t.Context(), older(t, &backup, before5, []string{"certificate"}), func(int64) {}); err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(t.Context(), func(int64) {}); err != nil {
				t.Error(err)
			}
			if got, want := withoutEpoch(allRows(t, s)), withoutEpoch(allRows(t, source)); got != want {
				t.Errorf("the register is\n%.2000s\nand was\n%.2000s", got, want)
			}
		})
	}
}

// withoutEpoch leaves out what a restore makes anew.
func withoutEpoch(rows string) string {
	return regexp.MustCompile(`(?m)^\[1,"epoch",.*\n`).ReplaceAllString(rows, "")
}

// older is a backup as a release would have written it that knew neither some columns
// nor some tables.
func older(t *testing.T, backup io.Reader, columns, tables []string) io.Reader {
	t.Helper()
	zr, err := gzip.NewReader(backup)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var h backupHeader
	var foot backupFooter
	if err := errors.Join(json.Unmarshal([]byte(lines[0]), &h), json.Unmarshal([]byte(lines[len(lines)-1]), &foot)); err != nil {
		t.Fatal(err)
	}
	var out, packed bytes.Buffer
	add := func(v any) {
		line, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(line, '\n'))
	}
	numbers, all := map[int]int{}, h.Tables // new numbers by old ones
	h.Tables = nil
	for i, at := range all {
		if !slices.Contains(tables, at.Name) {
			numbers[i] = len(h.Tables)
			kept := slices.DeleteFunc(slices.Clone(at.Columns), func(c string) bool { return slices.Contains(columns, c) })
			h.Tables = append(h.Tables, table{at.Name, kept})
		}
	}
	add(h)
	for _, line := range lines[1 : len(lines)-1] {
		var row []json.RawMessage
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		number, err := strconv.Atoi(string(row[0]))
		if err != nil {
			t.Fatal(err)
		}
		now, there := numbers[number]
		if !there {
			continue
		}
		kept := []any{now}
		for i, v := range row[1:] {
			switch name := all[number].Columns[i]; {
			case name == "absent":
				bits, err := strconv.ParseInt(string(v), 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				kept = append(kept, bits&(1<<20-1)) // an older program knew no others
			case !slices.Contains(columns, name):
				kept = append(kept, v)
			}
		}
		add(kept)
	}
	sum := sha256.Sum256(out.Bytes())
	foot.SHA256 = hex.EncodeToString(sum[:])
	add(foot)
	zw := gzip.NewWriter(&packed)
	if _, err := zw.Write(out.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return &packed
}
