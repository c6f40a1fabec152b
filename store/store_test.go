package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
	"certstate/store/storetest"
)

const tenantID = "11111111-2222-4333-8444-555555555555"

var (
	quiet = slog.New(slog.NewTextHandler(io.Discard, nil))
	by    = certstate.Cause{Actor: "app:test", Reason: "because"}
)

func TestMain(m *testing.M) {
	store.Partition()
	os.Exit(storetest.Main(m))
}

// eachEngine runs a test on every engine there is: SQLite with the driver this
// build has, and PostgreSQL with every table partitioned, so that it refuses what
// an engine that distributes them would.
func eachEngine(t *testing.T, fn func(t *testing.T, url string)) {
	t.Helper()
	storetest.EachEngine(t, fn)
}

// plain makes the tables of a PostgreSQL database without partitions.
func plain(t *testing.T, url string) string {
	t.Helper()
	if err := store.CreatePlain(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	return url
}

func open(t *testing.T, url string) (*store.Store, store.Tenant) {
	t.Helper()
	return openWith(t, url, store.Options{})
}

func openWith(t *testing.T, url string, o store.Options) (*store.Store, store.Tenant) {
	t.Helper()
	if o.Log == nil {
		o.Log = quiet
	}
	s, err := store.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.AddTenant(t.Context(), tenantID, "Test"); err != nil {
		t.Fatal(err)
	}
	return s, tenant(t, s, tenantID)
}

func tenant(t *testing.T, s *store.Store, id string) store.Tenant {
	t.Helper()
	tn, err := s.Tenant(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return tn
}

func full() certstate.State {
	tm, _ := edm.ParseDateTimeOffset("2016-12-31T23:59:34.9547208-08:00")
	return certstate.State{
		ID: edm.Str("a b'c/ü"), RevokeStatus: certstate.Failed, RevokeStatusChanged: tm, DeviceName: edm.Str("d"), UserPrincipalName: edm.Str(""),
		NotAfter: tm, Issuer: edm.Str("i"), Thumbprint: edm.Str("t"), Serial: edm.Str("s"), Subject: edm.Str("<&>"), KeyUsages: edm.Int(-5),
		ExtendedKeyUsages: edm.Str("e"), NotBefore: tm, DeviceID: edm.Str("dev"), PolicyID: edm.Str("p"), UserID: edm.Str("u"), Source: edm.Str("x"),
	}
}

func TestRoundTrip(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		for _, in := range []certstate.State{full(), {ID: edm.Str("empty")}, {}} {
			made, err := s.Create(t.Context(), tn, in, by)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Get(t.Context(), tn, made.ID.S, certstate.All)
			if err != nil || *got != *made {
				t.Fatalf("got  %+v\nmade %+v\n%v", got, made, err)
			}
			in.ID, in.Created, in.Modified, in.Version = made.ID, made.Created, made.Modified, made.Version
			if *got != in {
				t.Fatalf("got %+v, want %+v", got, in)
			}
		}
	})
}

func TestChanges(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		st := full()
		made, err := s.Create(t.Context(), tn, st, by)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Create(t.Context(), tn, st, by); certstate.ErrorCode(err) != certstate.Conflict {
			t.Fatalf("second create: %v", err)
		}
		i, _ := certstate.Lookup("certificateKeyUsages")
		patch := certstate.State{KeyUsages: edm.Int(7)}
		stale := func(v int64) bool { return v != made.Version }
		if _, err := s.Update(t.Context(), tn, st.ID.S, &patch, 1<<i, stale, by); certstate.ErrorCode(err) != certstate.Precondition {
			t.Fatalf("stale update: %v", err)
		}
		for range 2 { // the second changes nothing
			if made, err = s.Update(t.Context(), tn, st.ID.S, &patch, 1<<i, nil, by); err != nil || made.KeyUsages != edm.Int(7) {
				t.Fatal(made, err)
			}
		}
		if err := s.Delete(t.Context(), tn, st.ID.S, nil, by); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(t.Context(), tn, st.ID.S, nil, by); certstate.ErrorCode(err) != certstate.NotFound {
			t.Fatalf("second delete: %v", err)
		}
		again, err := s.Create(t.Context(), tn, st, by)
		if err != nil || again.Version != 4 || made.Version != 2 {
			t.Fatalf("recreated with version %d: %v", again.Version, err)
		}
		var log []string
		err = s.Changes(t.Context(), tn, 0, 100, func(c *certstate.Change) error {
			log = append(log, fmt.Sprint(c.Seq, " ", c.Kind, " ", c.Actor, " ", c.Reason))
			return nil
		})
		want := "1 created app:test because|2 updated app:test because|3 deleted app:test because|4 created app:test because"
		if got := strings.Join(log, "|"); got != want || err != nil {
			t.Errorf("log %s, %v", got, err)
		}
		if err := s.Verify(t.Context(), func(int64) {}); err != nil {
			t.Error(err)
		}
	})
}

func TestTenantsNeverMeet(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, a := open(t, url)
		other := "99999999-2222-4333-8444-555555555555"
		if _, err := s.AddTenant(t.Context(), other, ""); err != nil {
			t.Fatal(err)
		}
		b := tenant(t, s, other)
		if _, err := s.Create(t.Context(), a, full(), by); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), b, full().ID.S, certstate.All); certstate.ErrorCode(err) != certstate.NotFound {
			t.Error(err)
		}
		if n, err := s.Live(t.Context(), b); n != 0 || err != nil {
			t.Error(n, err)
		}
		if err := s.RemoveTenant(t.Context(), tenantID, false); certstate.ErrorCode(err) != certstate.Conflict {
			t.Error(err)
		}
		if err := s.RemoveTenant(t.Context(), tenantID, true); err != nil {
			t.Error(err)
		}
		// A server that still holds the tenant cannot write into it.
		if _, err := s.Create(t.Context(), a, full(), by); err == nil {
			t.Error("created in a removed tenant")
		}
	})
}

func TestPagesUnderWriters(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		const kept = 500
		for i := range kept {
			if _, err := s.Create(t.Context(), tn, certstate.State{ID: edm.Str(fmt.Sprint("kept-", i))}, by); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					id := fmt.Sprintf("other-%d-%d", w, i)
					if _, err := s.Create(t.Context(), tn, certstate.State{ID: edm.Str(id)}, by); err != nil {
						t.Error(err)
					}
					if err := s.Delete(t.Context(), tn, id, nil, by); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for range 5 {
			seen := map[string]int{}
			page := store.Page{More: true}
			for page.More {
				var err error
				page, err = s.List(t.Context(), tn, &odata.Query{Select: certstate.KeySet}, page.Next, 37, func(st *certstate.State) error {
					seen[st.ID.S]++
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			for i := range kept {
				if n := seen[fmt.Sprint("kept-", i)]; n != 1 {
					t.Fatalf("record %d seen %d times", i, n)
				}
			}
		}
		cancel()
		wg.Wait()
	})
}

func TestOneServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "register.db")
	s, err := store.Open(t.Context(), "sqlite:"+path, store.Options{Serve: true, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = store.Open(t.Context(), "sqlite:"+path, store.Options{Serve: true, Log: quiet})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("second server: %v", err)
	}
	beside, _ := open(t, "sqlite:"+path) // an administrative verb
	if list, err := beside.Tenants(t.Context()); err != nil || len(list) != 1 {
		t.Error(list, err)
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		if st, err := os.Stat(path + suffix); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", suffix, st.Mode(), err)
		}
	}
}

// Two programs that create records in the same moment do not get in each
// other's way.
func TestTwoWritersOnOneFile(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "register.db")
	moment := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	var stores [2]*store.Store
	for i := range stores {
		s, err := store.Open(t.Context(), url, store.Options{Log: quiet, Now: func() time.Time { return moment }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		stores[i] = s
	}
	if _, err := stores[0].AddTenant(t.Context(), tenantID, ""); err != nil {
		t.Fatal(err)
	}
	tn := tenant(t, stores[1], tenantID)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for range 40 {
				if _, err := stores[w%2].Create(t.Context(), tn, certstate.State{}, by); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n, err := stores[0].Live(t.Context(), tn); n != 320 || err != nil {
		t.Errorf("%d records, %v", n, err)
	}
	if err := stores[0].Verify(t.Context(), func(int64) {}); err != nil {
		t.Error(err)
	}
}

func TestFilesOfOthersStayUntouched(t *testing.T) {
	dir := t.TempDir()
	made := filepath.Join(dir, "made.db")
	s, err := store.Open(t.Context(), "sqlite:"+made, store.Options{Log: quiet})
	if err != nil || s.Close() != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	newer := append([]byte(nil), content...)
	newer[63] = 99
	for name, tc := range map[string]struct {
		content []byte
		want    string
	}{
		"newer":  {newer, "made by a newer certstate"},
		"text":   {[]byte(strings.Repeat("text", 100)), "not a database"},
		"short":  {[]byte("SQLite format 3\x00"), "not a database"},
		"others": {append([]byte("SQLite format 3\x00"), []byte(strings.Repeat("\x01", 200))...), "not a database"},
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, tc.content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := store.Open(t.Context(), "sqlite:"+file, store.Options{Log: quiet})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := os.ReadFile(file); string(after) != string(tc.content) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

// A newer release that was killed left its schema in the write-ahead log alone.
func TestNewerLogStaysUntouched(t *testing.T) {
	from, path := filepath.Join(t.TempDir(), "register.db"), filepath.Join(t.TempDir(), "register.db")
	s, _ := open(t, "sqlite:"+from)
	if err := s.MarkNewer(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		copyFile(t, path+suffix, from+suffix)
	}
	file, log := read(t, path), read(t, path+"-wal")
	_, err := store.Open(t.Context(), "sqlite:"+path, store.Options{Serve: true, Log: quiet})
	if err == nil || !strings.Contains(err.Error(), "made by a newer certstate") {
		t.Error(err)
	}
	if !bytes.Equal(file, read(t, path)) || !bytes.Equal(log, read(t, path+"-wal")) {
		t.Error("the files were changed")
	}
}

func TestCloseFinishesWhatWasAccepted(t *testing.T) {
	eachEngine(t, closeFinishes)
}

func closeFinishes(t *testing.T, url string) {
	s, tn := open(t, url)
	var wg sync.WaitGroup
	errs := make([]error, 200)
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.Create(t.Context(), tn, certstate.State{}, by) })
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil && certstate.ErrorCode(err) != certstate.Unavailable {
			t.Error(err)
		}
	}
	if _, err := s.Create(t.Context(), tn, certstate.State{}, by); certstate.ErrorCode(err) != certstate.Unavailable {
		t.Errorf("after Close: %v", err)
	}
}

func TestSecretIsKept(t *testing.T) { eachEngine(t, secretIsKept) }

func secretIsKept(t *testing.T, url string) {
	s, _ := open(t, url)
	a, err1 := s.Secret(t.Context(), "x")
	b, err2 := s.Secret(t.Context(), "x")
	c, err3 := s.Secret(t.Context(), "y")
	if err := errors.Join(err1, err2, err3); err != nil || len(a) != 32 || string(a) != string(b) || string(a) == string(c) {
		t.Errorf("%x %x %x %v", a, b, c, err)
	}
}
