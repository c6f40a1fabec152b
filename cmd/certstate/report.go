package main

import (
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// reportOnSignal writes a line with what the process holds to the log at each
// SIGUSR1, until stop is called.
func reportOnSignal(log *slog.Logger, waiting func() (reads, writes int)) (stop func()) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			reads, writes := waiting()
			log.Info("state", "goroutines", runtime.NumGoroutine(), "heap_bytes", m.HeapAlloc, "reads_waiting", reads, "writes_waiting", writes)
		}
	}()
	return func() {
		signal.Stop(asked)
		close(asked)
	}
}
