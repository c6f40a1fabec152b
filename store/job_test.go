package store_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"certstate"
	"certstate/store"
	"certstate/store/storetest"
)

const (
	jobTenant  = "8d9f61b2-0f1e-4c6d-9a51-3f5b1c1e7a10"
	jobTenant2 = "8d9f61b2-0f1e-4c6d-9a51-3f5b1c1e7a11"
)

// withJob is a store with an import job whose file was received in pieces.
func withJob(t *testing.T, url string, o store.Options, file []byte) (*store.Store, store.Tenant, *store.Job) {
	t.Helper()
	s, err := store.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, id := range []string{jobTenant, jobTenant2} {
		if _, err := s.AddTenant(t.Context(), id, ""); err != nil {
			t.Fatal(err)
		}
	}
	tn, err := s.Tenant(t.Context(), jobTenant)
	if err != nil {
		t.Fatal(err)
	}
	j := &store.Job{ID: "job", Kind: store.Import, Asked: "{}"}
	if err := s.AddJob(t.Context(), tn, j); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(file); {
		n := min(len(file)-at, 1+at) // of sizes that differ
		if _, err := s.Receive(t.Context(), tn, j, int64(at), int64(len(file)), file[at:at+n]); err != nil {
			t.Fatal(err)
		}
		at += n
	}
	return s, tn, j
}

func idle(string) bool { return false }

// A file is read as it was sent, in any order, and is in the database no more once the
// work has ended.
func TestUpload(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		file := make([]byte, 100_000)
		rand.Read(file)
		s, tn, j := withJob(t, url, store.Options{}, file)
		if _, err := s.Receive(t.Context(), tn, j, 5, int64(len(file)), []byte("again")); certstate.ErrorCode(err) != certstate.Unsatisfiable {
			t.Error(err)
		}
		w, err := s.BeginWork(t.Context(), idle)
		if err != nil || w == nil {
			t.Fatal(w, err)
		}
		in := s.Upload(t.Context(), w)
		got, err := io.ReadAll(io.NewSectionReader(in, 0, w.Job.Size))
		if err != nil || !bytes.Equal(got, file) {
			t.Error(len(got), err)
		}
		for _, at := range []int{99_990, 3, 50_000} {
			part := make([]byte, 10)
			if _, err := in.ReadAt(part, int64(at)); err != nil || !bytes.Equal(part, file[at:at+10]) {
				t.Error(at, err)
			}
		}
		if err := s.Verify(t.Context(), func(int64) {}); err != nil {
			t.Error(err)
		}
		if err := s.EndWork(t.Context(), w, store.JobDone, "told", 1, []string{"one", "two"}); err != nil {
			t.Fatal(err)
		}
		if _, err := in.ReadAt(make([]byte, 1), 99_999); err == nil {
			if _, err = in.ReadAt(make([]byte, 1), 1); err == nil {
				t.Error("the file is there after the work")
			}
		}
		var rejects []string
		if err := s.Rejects(t.Context(), tn, "job", 0, 10, func(no int, told string) error {
			rejects = append(rejects, fmt.Sprint(no, told))
			return nil
		}); err != nil || strings.Join(rejects, " ") != "1one 2two" {
			t.Error(rejects, err)
		}
		if j, err = s.Job(t.Context(), tn, store.Import, "job"); err != nil || j.Status != store.JobDone || j.Told != "told" {
			t.Error(j, err)
		}
		if w, err = s.BeginWork(t.Context(), idle); w != nil || err != nil {
			t.Error("work that is done is begun again", err)
		}
		if err := s.RemoveTenant(t.Context(), jobTenant, true); err != nil {
			t.Error(err)
		}
	})
}

// What a job was given to keep is there for who works on it, whatever is there of the
// file, and goes with the job.
func TestJobSecret(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		s, tn, _ := withJob(t, url, store.Options{}, nil)
		if err := s.DeleteJob(t.Context(), tn, store.Import, "job"); err != nil {
			t.Fatal(err)
		}
		for _, deleted := range []bool{false, true} {
			j := &store.Job{ID: fmt.Sprint("kept", deleted), Kind: store.Import, Asked: "{}", Secret: "Correct-Horse-9417"}
			if err := s.AddJob(t.Context(), tn, j); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Receive(t.Context(), tn, j, 0, 4, []byte("file")); err != nil {
				t.Fatal(err)
			}
			w, err := s.BeginWork(t.Context(), idle)
			if err != nil || w == nil {
				t.Fatal(w, err)
			}
			if secret, err := s.JobSecret(t.Context(), w); secret != j.Secret || err != nil || w.Job.Secret != "" {
				t.Error(secret, err)
			}
			got, err := io.ReadAll(io.NewSectionReader(s.Upload(t.Context(), w), 0, w.Job.Size))
			if string(got) != "file" || err != nil {
				t.Errorf("%q %v", got, err)
			}
			if err := s.LoseFiles(t.Context(), tn); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(io.NewSectionReader(s.Upload(t.Context(), w), 0, w.Job.Size)); err == nil {
				t.Errorf("of a file that is lost %q is read", got)
			}
			end := func() error { return s.EndWork(t.Context(), w, store.JobDone, "", 1, nil) }
			if deleted {
				end = func() error { return s.DeleteJob(t.Context(), tn, store.Import, j.ID) }
			}
			if err := end(); err != nil {
				t.Fatal(err)
			}
			if secret, err := s.JobSecret(t.Context(), w); secret != "" || err != nil {
				t.Errorf("deleted %v: %q is there after the job, %v", deleted, secret, err)
			}
			if err := s.Verify(t.Context(), func(int64) {}); err != nil {
				t.Error(err)
			}
		}
	})
}

// Who lost a job, to another server or because it was deleted, tells nothing of it any more.
func TestWorkIsFenced(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		s, tn, _ := withJob(t, url, store.Options{}, []byte("file"))
		first, err := s.BeginWork(t.Context(), idle)
		if err != nil || first == nil {
			t.Fatal(first, err)
		}
		if err := s.Tell(t.Context(), first, "1", 1, []string{"left out"}); err != nil {
			t.Fatal(err)
		}
		other, err := store.Open(t.Context(), url, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if strings.HasPrefix(url, "postgres") {
			if w, err := other.BeginWork(t.Context(), idle); w != nil || err != nil {
				t.Fatal("two servers work on one job", err)
			}
			if err := s.LeaveWork(t.Context(), first); err != nil {
				t.Fatal(err)
			}
		}
		second, err := other.BeginWork(t.Context(), idle)
		if err != nil || second == nil || second.Job.Told != "1" {
			t.Fatal(second, err)
		}
		if err := s.Tell(t.Context(), first, "2", 1, nil); !errors.Is(err, store.ErrNotMine) {
			t.Error("the first tells on:", err)
		}
		if err := s.EndWork(t.Context(), first, store.JobDone, "2", 1, nil); !errors.Is(err, store.ErrNotMine) {
			t.Error("the first ends it:", err)
		}
		if err := other.Tell(t.Context(), second, "3", 1, []string{"left out"}); err != nil {
			t.Error(err)
		}
		if err := s.DeleteJob(t.Context(), tn, store.Import, "job"); err != nil {
			t.Fatal(err)
		}
		if err := other.Tell(t.Context(), second, "4", 2, nil); !errors.Is(err, store.ErrNotMine) {
			t.Error("a job that is deleted is worked on:", err)
		}
		if _, err := other.Upload(t.Context(), second).ReadAt(make([]byte, 1), 0); err == nil {
			t.Error("the file of a job that is deleted is there")
		}
	})
}

// Files that wait are bounded, of a tenant and of all.
func TestUploadsAreBounded(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		s, tn, _ := withJob(t, url, store.Options{Uploads: store.UploadLimits{Tenant: 100, Total: 150}}, make([]byte, 60))
		add := func(t *testing.T, tn store.Tenant, id string, size int64) error {
			t.Helper()
			j := &store.Job{ID: id, Kind: store.Import}
			if err := s.AddJob(t.Context(), tn, j); err != nil {
				t.Fatal(err)
			}
			_, err := s.Receive(t.Context(), tn, j, 0, size, make([]byte, size))
			return err
		}
		other, err := s.Tenant(t.Context(), jobTenant2)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			tenant store.Tenant
			size   int64
			want   certstate.Code
		}{{tn, 101, certstate.TooLarge}, {tn, 41, certstate.Full}, {other, 91, certstate.Unavailable}, {other, 90, 0}} {
			if err := add(t, c.tenant, fmt.Sprint(c.size), c.size); (err != nil || c.want != 0) && certstate.ErrorCode(err) != c.want {
				t.Errorf("%d bytes: %v", c.size, err)
			}
		}
		if err := s.DeleteJob(t.Context(), tn, store.Import, "job"); err != nil {
			t.Fatal(err)
		}
		if err := add(t, tn, "more", 60); err != nil {
			t.Error(err)
		}
	})
}

// A job whose time is over is forgotten with its file, but not while it is worked on.
func TestJobsAreForgotten(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		now := time.Now()
		s, tn, j := withJob(t, url, store.Options{Now: func() time.Time { return now }}, []byte("file"))
		w, err := s.BeginWork(t.Context(), idle)
		if err != nil {
			t.Fatal(err)
		}
		now = j.Until.Time().Add(-time.Second)
		if err := s.Tell(t.Context(), w, "", 1, nil); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
		if err := s.ForgetJobs(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Job(t.Context(), tn, store.Import, "job"); err != nil {
			t.Error(err)
		}
		now = now.Add(25 * time.Hour)
		if err := s.ForgetJobs(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = j.Made.Time()
		if _, err := s.Job(t.Context(), tn, store.Import, "job"); certstate.ErrorCode(err) != certstate.NotFound {
			t.Error(err)
		}
		if _, err := s.Upload(t.Context(), w).ReadAt(make([]byte, 1), 0); err == nil {
			t.Error("the file is there")
		}
	})
}
