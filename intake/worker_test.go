package intake_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"certstate/intake"
	"certstate/store"
	"certstate/store/storetest"
)

// waiting is a register with a job whose file is there.
func waiting(t *testing.T, url, file string) (*store.Store, store.Tenant) {
	t.Helper()
	in := open(t, url)
	asked, err := json.Marshal(intake.NewRequest())
	if err != nil {
		t.Fatal(err)
	}
	j := &store.Job{ID: "job", Kind: store.Import, Actor: "app:x", Asked: string(asked)}
	if err := in.Store.AddJob(t.Context(), in.Tenant, j); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Store.Receive(t.Context(), in.Tenant, j, 0, int64(len(file)), []byte(file)); err != nil {
		t.Fatal(err)
	}
	return in.Store, in.Tenant
}

// run has a worker work until a job is as it should be.
func run(t *testing.T, s *store.Store, tn store.Tenant, log *bytes.Buffer, as func(*store.Job) bool) *store.Job {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	w := &intake.Worker{Store: s, Log: slog.New(slog.NewTextHandler(log, nil)), Poll: 10 * time.Millisecond}
	running.Go(func() { w.Run(ctx) })
	defer running.Wait()
	defer stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		j, err := s.Job(t.Context(), tn, store.Import, "job")
		if err != nil {
			t.Fatal(err)
		}
		if as(j) {
			return j
		}
	}
	t.Fatal("the job does not come to that")
	return nil
}

// A worker that is stopped gives its job back, and another goes on at once; the counts
// are those of both.
func TestWorkerStopped(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		const rows = 3000
		s, tn := waiting(t, url, lines(rows))
		var log bytes.Buffer
		before := run(t, s, tn, &log, func(j *store.Job) bool { return intake.ParseTold(j.Told).Created > 0 })
		if before.Status != store.JobRuns {
			t.Fatalf("it is %s already", before.Status)
		}
		w, err := s.BeginWork(t.Context(), func(string) bool { return false })
		if err != nil || w == nil {
			t.Fatal("nobody may go on at once", err)
		}
		if err := s.LeaveWork(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		j := run(t, s, tn, &log, func(j *store.Job) bool { return j.Status == store.JobDone })
		told := intake.ParseTold(j.Told)
		if told.Created != rows || told.Present != 0 {
			t.Errorf("%+v", told)
		}
	})
}

func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"managedDeviceDisplayName":"LAPTOP-%d","certificateThumbprint":"%040X"}`+"\n", i, i)
	}
	return b.String()
}

// A job that was begun again and again, and never ended, is given up; and what fails
// for the file is told to who asked, and not to the log.
func TestWorkerGivesUp(t *testing.T) {
	s, tn := waiting(t, storetest.Engines[0].URL(t), lines(1))
	for range 20 { // by servers that died of it
		if w, err := s.BeginWork(t.Context(), func(string) bool { return false }); err != nil || w == nil {
			t.Fatal(w, err)
		}
	}
	var log bytes.Buffer
	j := run(t, s, tn, &log, func(j *store.Job) bool { return j.Status == store.JobFailed })
	if told := intake.ParseTold(j.Told); told.Created != 0 || !strings.Contains(told.Error, "cannot be read by this release") {
		t.Errorf("%+v", told)
	}
}

// A worker that cannot look for jobs says so once, however often it tries.
func TestWorkerIsBlindOnce(t *testing.T) {
	s, _ := waiting(t, storetest.Engines[0].URL(t), lines(1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	var log bytes.Buffer
	(&intake.Worker{Store: s, Log: slog.New(slog.NewTextHandler(&log, nil)), Poll: time.Millisecond}).Run(ctx)
	if n := strings.Count(log.String(), "import jobs are not looked for"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &log)
	}
}

func TestWorkerLogsNoFile(t *testing.T) {
	s, tn := waiting(t, storetest.Engines[0].URL(t), "DeviceName,Secretly\nx,y\n")
	var log bytes.Buffer
	j := run(t, s, tn, &log, func(j *store.Job) bool { return j.Status == store.JobFailed })
	if told := intake.ParseTold(j.Told); !strings.Contains(told.Error, "Secretly") || strings.Contains(log.String(), "Secretly") || !strings.Contains(log.String(), "an import job failed") {
		t.Errorf("%+v\n%s", told, &log)
	}
}
