package ingest_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"certstate/ingest"
)

func TestNDJSON(t *testing.T) {
	text := `{"id":"a","certificateKeyUsages":4}` + "\n\n" + `{"id":"b"` + "\r\n" + `{"id":"` + strings.Repeat("x", 2<<20) + "\"}\n" + `{"nothing":1}` + "\n" + `{"id":"c"}`
	var got []string
	for row := range ingest.NDJSON(strings.NewReader(text)) {
		switch {
		case row.Err != nil:
			got = append(got, fmt.Sprint(row.Line, "!"))
		default:
			got = append(got, fmt.Sprint(row.Line, row.State.ID.S))
		}
	}
	if want := "1a 3! 4! 5! 6c"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func TestNDJSONReportsReadErrors(t *testing.T) {
	broken := errors.New("the disk is gone")
	var last error
	n := 0
	for row := range ingest.NDJSON(io.MultiReader(strings.NewReader("{\"id\":\"a\"}\n"), iotest.ErrReader(broken))) {
		n++
		last = row.Err
	}
	if n != 2 || !errors.Is(last, broken) {
		t.Errorf("%d rows, %v", n, last)
	}
}
