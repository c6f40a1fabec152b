package main

import (
	"io"
	"sync"
	"time"
)

// logFlush is how long a log line may wait for others, so that a request costs
// no system call of its own.
const logFlush = 100 * time.Millisecond

// logBuffer is how many bytes of lines are held at most.
const logBuffer = 32 << 10

// logWriter gathers log lines and writes them together. A crash can lose the
// lines of the last logFlush; Close loses none.
type logWriter struct {
	mu    sync.Mutex
	to    io.Writer
	lines []byte
	timer *time.Timer // runs while there are lines
}

func newLogWriter(to io.Writer) *logWriter {
	return &logWriter{to: to, lines: make([]byte, 0, logBuffer)}
}

func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lines)+len(line) > logBuffer {
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	if len(w.lines) == 0 {
		w.timer = time.AfterFunc(logFlush, func() { _ = w.Close() })
	}
	w.lines = append(w.lines, line...)
	return len(line), nil
}

// Close writes what is held. More lines may follow.
func (w *logWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flush()
}

func (w *logWriter) flush() error {
	if len(w.lines) == 0 {
		return nil
	}
	w.timer.Stop()
	_, err := w.to.Write(w.lines)
	w.lines = w.lines[:0]
	return err
}
