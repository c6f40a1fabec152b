package intake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"

	"certstate"
	"certstate/edm"
	"certstate/ingest"
	"certstate/intake"
	"certstate/store"
	"certstate/store/storetest"
)

const tenantID = "11111111-2222-4333-8444-555555555555"

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// open is an intake into an empty register.
func open(t *testing.T, url string) *intake.Intake {
	t.Helper()
	s, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.AddTenant(t.Context(), tenantID, ""); err != nil {
		t.Fatal(err)
	}
	tn, err := s.Tenant(t.Context(), tenantID)
	if err != nil {
		t.Fatal(err)
	}
	return &intake.Intake{Store: s, Tenant: tn, Settings: intake.Settings{Format: intake.Auto, UpdateCure: "ask for it"}}
}

func row(n int, id, device string) ingest.Row {
	return ingest.Row{Line: n, State: &certstate.State{ID: edm.Str(id), DeviceName: edm.Str(device)}, Set: certstate.KeySet | certstate.KeySet<<3}
}

// Rows of a source are brought in, counted, and named where they are left out; how
// far it is, is said once it is so.
func TestRows(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		in := open(t, url)
		var report bytes.Buffer
		add, err := intake.NewReport(&report, "csv")
		if err != nil {
			t.Fatal(err)
		}
		in.Rejected = func(r intake.Rejected) {
			if err := add(r); err != nil {
				t.Error(err)
			}
		}
		var said []int64
		in.Progress = func(now intake.Totals) {
			if n, err := in.Store.Live(t.Context(), in.Tenant); err != nil || n != int64(now.Created) {
				t.Errorf("%d records, %v, when %d were said", n, err, now.Created)
			}
			said = append(said, now.Rows)
		}
		var rows []ingest.Row
		for i := range 1500 {
			rows = append(rows, row(i+1, fmt.Sprintf("r%d", i), "one"))
		}
		rows = append(rows, row(1501, "r1", "one"), row(1502, "r1", "two"), ingest.Row{Line: 1503, Err: errors.New("=unread")}, ingest.Row{Err: ingest.ErrAuthority})
		got, err := in.Rows(t.Context(), slices.Values(rows))
		want := intake.Totals{Created: 1500, Present: 1, Rejected: 2, Authorities: 1, Rows: 1504}
		if err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
		if !slices.Equal(said, []int64{1000, 1504}) {
			t.Errorf("said %v", said)
		}
		lines := "file,line,place,column,reason,cure\n" +
			",1503,line 1503,,'=unread,\n" +
			`,1502,line 1502,id,"A certificate state with id 'r1' already exists, with another managedDeviceDisplayName",ask for it` + "\n"
		if report.String() != lines {
			t.Errorf("report:\n%swant:\n%s", &report, lines)
		}
	})
}

// An intake that is ended says how much is durable, and what is is there.
func TestRowsEnded(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		for _, c := range []struct {
			name string
			rows func(stop func()) iter.Seq[ingest.Row]
			want error
		}{
			{"by its caller", func(stop func()) iter.Seq[ingest.Row] { return endless(stop, 2500) }, context.Canceled},
			{"by its source", func(func()) iter.Seq[ingest.Row] { return broken(2500) }, ingest.ErrRead},
		} {
			t.Run(c.name, func(t *testing.T) {
				in := open(t, url)
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				got, err := in.Rows(ctx, c.rows(stop))
				n, e := in.Store.Live(t.Context(), in.Tenant)
				if !errors.Is(err, c.want) || e != nil || n < 1000 || int64(got.Done()) > n || got.Rows < 1000 {
					t.Errorf("%+v, %v, with %d records, %v, want %v", got, err, n, e, c.want)
				}
			})
		}
	})
}

func endless(stop func(), at int) iter.Seq[ingest.Row] {
	return func(yield func(ingest.Row) bool) {
		for i := 0; yield(row(i+1, fmt.Sprintf("e%d", i), "x")); i++ {
			if i == at {
				stop()
			}
		}
	}
}

func broken(at int) iter.Seq[ingest.Row] {
	return func(yield func(ingest.Row) bool) {
		for i := range at {
			if !yield(row(i+1, fmt.Sprintf("b%d", i), "x")) {
				return
			}
		}
		yield(ingest.Row{Err: fmt.Errorf("%w: cut", ingest.ErrRead)})
	}
}

// Files are read as what they are, or as Format says.
func TestFiles(t *testing.T) {
	in := open(t, storetest.Engines[0].URL(t))
	input, err := ingest.NewInput(strings.NewReader("managedDeviceDisplayName;Thumbprint\none;AA\n"), []string{"-"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := in.Files(t.Context(), input)
	if want := (intake.Totals{Created: 1, Rows: 1, Size: -1}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

// What goes wrong beside the caller, on data that nobody foresaw, is the caller's: a
// server must outlive it.
func TestPanicIsTheCallers(t *testing.T) {
	in := open(t, storetest.Engines[0].URL(t))
	defer func() {
		if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "nil pointer") {
			t.Error(p)
		}
	}()
	_, _ = in.Rows(t.Context(), slices.Values([]ingest.Row{{Line: 1}})) // no record, and no fault
}
