package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLogWriterLosesNothing(t *testing.T) {
	var out shared
	w := newLogWriter(&out)
	var wg sync.WaitGroup
	line := strings.Repeat("x", 300)
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				fmt.Fprintf(w, "%d-%d %s\n", g, i, line)
			}
		})
	}
	wg.Wait()
	time.Sleep(3 * logFlush) // without Close, it goes out by itself
	if n := strings.Count(out.String(), line+"\n"); n != 4000 {
		t.Errorf("%d lines of 4000", n)
	}
	fmt.Fprintln(w, "last")
	if err := w.Close(); err != nil || !strings.HasSuffix(out.String(), "last\n") {
		t.Error("the last line is missing", err)
	}
}
