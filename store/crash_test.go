package store_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
)

var crashCycles = flag.Int("crash-cycles", 100, "kill -9 cycles of TestKill")

// crashWriters is how many writers a killed process has.
const crashWriters = 16

// TestKill kills a process with sixteen concurrent writers again and again, and
// looks each time that everything it acknowledged is there with its change,
// that nothing is there by half, that the log has no gap and that all tables fit
// together. What was not acknowledged is sent again if it may be, and is then
// there once. The process is this test binary.
func TestKill(t *testing.T) {
	if dir := os.Getenv("CRASH_DIR"); dir != "" {
		crashChild(t, dir)
		return
	}
	if testing.Short() {
		*crashCycles = 10
	}
	dir := t.TempDir()
	model := newCrashModel()
	for cycle := range *crashCycles {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "CRASH_DIR="+dir, fmt.Sprint("CRASH_CYCLE=", cycle))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		sc := bufio.NewScanner(out)
		var timer *time.Timer
		for sc.Scan() {
			if timer == nil { // the first line says that writing has begun
				timer = time.AfterFunc(time.Duration(20+rand.IntN(200))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			}
			model.line(t, sc.Text())
		}
		if err := cmd.Wait(); err == nil || timer == nil {
			t.Fatalf("cycle %d: the writer ended by itself: %v", cycle, err)
		}
		model.check(t, dir, cycle)
	}
	t.Logf("%d cycles, %d acknowledged writes, %d kept that were not acknowledged, %d repeated", *crashCycles, model.acked, model.unacked, model.repeated)
	if model.acked < *crashCycles || model.repeated < *crashCycles {
		t.Errorf("only %d acknowledged writes, and %d repeated: the test saw nothing", model.acked, model.repeated)
	}
}

// crashChild writes until it is killed. It says before each write what it will
// do, and after each that it was acknowledged.
func crashChild(t *testing.T, dir string) {
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "register.db"), store.Options{Serve: true, Repeats: time.Hour, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddTenant(t.Context(), tenantID, ""); err != nil {
		t.Fatal(err)
	}
	tn := tenant(t, s, tenantID)
	for w := range crashWriters {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", os.Getenv("CRASH_CYCLE"), w, i)
				for value := 1; value <= 3; value++ {
					crashStep(s, tn, id, value)
				}
				if i%2 == 0 {
					crashStep(s, tn, id, 0)
				}
			}
		}()
	}
	select {}
}

func crashStep(s *store.Store, tn store.Tenant, id string, value int) {
	say := func(word string) { fmt.Println(word, id, value) }
	say("will")
	if err := crashWrite(s, tn, id, value); err != nil {
		fmt.Println("error", err)
		os.Exit(3)
	}
	say("did")
}

// crashWrite gives a record its value: 1 creates it, 0 deletes it. The writes of
// every other writer may be repeated.
func crashWrite(s *store.Store, tn store.Tenant, id string, value int) (err error) {
	by := by
	if repeatable(id) {
		by.Once = onceNow(fmt.Sprint(id, " ", value))
	}
	keyUsages, _ := certstate.Lookup("certificateKeyUsages")
	name, _ := certstate.Lookup("managedDeviceDisplayName")
	st := certstate.State{ID: edm.Str(id), DeviceName: edm.Str(fmt.Sprint(value, " ", id)), KeyUsages: edm.Int(int32(value))}
	switch value {
	case 0:
		err = s.Delete(context.Background(), tn, id, nil, by)
	case 1:
		_, err = s.Create(context.Background(), tn, st, by)
	default:
		_, err = s.Update(context.Background(), tn, id, &st, 1<<keyUsages|1<<name, nil, by)
	}
	return err
}

func repeatable(id string) bool {
	var cycle, w, i int
	_, err := fmt.Sscanf(id, "%d-%d-%d", &cycle, &w, &i)
	return err == nil && w%2 == 0
}

// crashModel is what must be in the database: for each id the value last
// acknowledged, and the write that was under way.
type crashModel struct {
	value    map[string]int // 0: deleted or never there
	pending  map[string]int // the value of a write that may have happened
	changes  map[string]int // id → acknowledged changes
	acked    int
	unacked  int
	repeated int
}

func newCrashModel() *crashModel {
	return &crashModel{value: map[string]int{}, pending: map[string]int{}, changes: map[string]int{}}
}

func (m *crashModel) line(t *testing.T, line string) {
	var word, id string
	var value int
	if n, _ := fmt.Sscan(line, &word, &id, &value); n != 3 {
		return // cut off by the kill
	}
	switch word {
	case "will":
		m.pending[id] = value
	case "did":
		delete(m.pending, id)
		m.value[id] = value
		m.changes[id]++
		m.acked++
	default:
		t.Fatal(line)
	}
}

// check compares the database with the model, and then takes over what
// happened to the writes that were under way.
func (m *crashModel) check(t *testing.T, dir string, cycle int) {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "register.db"), store.Options{Serve: true, Repeats: time.Hour, Log: quiet})
	if err != nil {
		t.Fatalf("cycle %d: %v", cycle, err)
	}
	defer s.Close()
	tn := tenant(t, s, tenantID)
	if err := s.Verify(t.Context(), func(int64) {}); err != nil {
		t.Fatalf("cycle %d: %v", cycle, err)
	}
	for id, value := range m.pending { // sent again, it has happened once
		if !repeatable(id) {
			continue
		}
		if err := crashWrite(s, tn, id, value); err != nil {
			t.Fatalf("cycle %d: %s, repeated: %v", cycle, id, err)
		}
		delete(m.pending, id)
		m.value[id] = value
		m.changes[id]++
		m.repeated++
	}
	rows := map[string]int{}
	if _, err := s.List(t.Context(), tn, &odata.Query{Select: certstate.All}, store.Position{}, 1<<30, func(st *certstate.State) error {
		rows[st.ID.S] = int(st.KeyUsages.N)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	folded, changes := foldChanges(t, s, tn, cycle)
	if live, err := s.Live(t.Context(), tn); err != nil || live != int64(len(rows)) {
		t.Fatalf("cycle %d: counter says %d, there are %d: %v", cycle, live, len(rows), err)
	}
	for id, pending := range m.pending { // whole or absent
		if changes[id] == m.changes[id]+1 {
			m.unacked++
			m.changes[id]++
			m.value[id] = pending
		}
		delete(m.pending, id)
	}
	for id := range folded {
		if _, known := m.value[id]; !known {
			t.Fatalf("cycle %d: %s is there and was never asked for", cycle, id)
		}
	}
	for id, value := range m.value {
		if rows[id] != value || changes[id] != m.changes[id] || folded[id] != (value != 0) {
			t.Fatalf("cycle %d: %s has value %d and %d changes, want %d and %d", cycle, id, rows[id], changes[id], value, m.changes[id])
		}
	}
}

// foldChanges replays the log: which ids are there at its end, and how many
// changes each had. It fails on a gap.
func foldChanges(t *testing.T, s *store.Store, tn store.Tenant, cycle int) (there map[string]bool, changes map[string]int) {
	t.Helper()
	there, changes = map[string]bool{}, map[string]int{}
	next := int64(1)
	err := s.Changes(t.Context(), tn, 0, 1<<30, func(c *certstate.Change) error {
		if c.Seq != next {
			return fmt.Errorf("cycle %d: change %d follows %d", cycle, c.Seq, next-1)
		}
		next++
		if there[c.ID] == (c.Kind == certstate.CreatedKind) {
			return fmt.Errorf("cycle %d: %s of %s makes no sense here", cycle, c.Kind, c.ID)
		}
		there[c.ID] = c.Kind != certstate.DeletedKind
		changes[c.ID]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return there, changes
}
