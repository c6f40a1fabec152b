package store_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"certstate"
	"certstate/store"
	"certstate/store/storetest"
)

var crashCycles = flag.Int("crash-cycles", 0, "kill -9 cycles of TestKill on each engine (default 200 on SQLite, 20 on PostgreSQL)")

// crashWriters is how many writers a killed process has.
const crashWriters = 16

// TestKill kills a process with sixteen concurrent writers again and again, and
// holds the register each time to what it acknowledged (model). What was not
// acknowledged is sent again if it may be, and is then there once. The process is
// this test binary.
func TestKill(t *testing.T) {
	if url := os.Getenv("CRASH_DATABASE"); url != "" {
		crashChild(t, url)
		return
	}
	for _, engine := range storetest.Engines {
		t.Run(engine.Name, func(t *testing.T) {
			t.Parallel()
			cycles := 200
			switch {
			case *crashCycles > 0:
				cycles = *crashCycles
			case testing.Short():
				cycles = 10
			case engine.Name != "sqlite":
				cycles = 20
			}
			for begun := 0; begun < cycles; begun += killsEach {
				url := engine.URL(t)
				if engine.Name == "postgres" && begun%(2*killsEach) == 0 {
					plain(t, url)
				}
				killAgain(t, url, min(killsEach, cycles-begun))
			}
		})
	}
}

// killsEach is how many kills a database sees; each check of it takes the longer
// the more was written before.
const killsEach = 10

func killAgain(t *testing.T, url string, cycles int) {
	t.Helper()
	m := newModel()
	for cycle := range cycles {
		kill(t, url, cycle, m)
		if err := checkKilled(t, url, m); err != nil {
			t.Fatalf("cycle %d: %v", cycle, err)
		}
	}
	t.Logf("%d cycles: %s", cycles, m)
	if m.acked < cycles || m.repeated < cycles {
		t.Errorf("only %d acknowledged writes, and %d repeated: the test saw nothing", m.acked, m.repeated)
	}
}

// kill starts a process that writes, kills it after a moment, and takes down
// what it said.
func kill(t *testing.T, url string, cycle int, m *model) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), "CRASH_DATABASE="+url, fmt.Sprint("CRASH_CYCLE=", cycle))
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
			timer = time.AfterFunc(time.Duration(10+rand.IntN(120))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		}
		var word, id string
		var value int
		if n, _ := fmt.Sscan(sc.Text(), &word, &id, &value); n != 3 {
			continue
		}
		if word != willWrite && word != didWrite {
			t.Fatalf("cycle %d: %s", cycle, sc.Text())
		}
		m.say(word, id, value)
	}
	if err := cmd.Wait(); err == nil || timer == nil {
		t.Fatalf("cycle %d: the writer ended by itself: %v", cycle, err)
	}
	if m.refused+m.unknown > 0 {
		t.Fatalf("cycle %d: writes failed: %s", cycle, m)
	}
}

// checkKilled opens the database that a killed process has left.
func checkKilled(t *testing.T, url string, m *model) error {
	t.Helper()
	s, err := store.Open(t.Context(), url, store.Options{Serve: true, Repeats: time.Hour, Log: quiet})
	if err != nil {
		return err
	}
	defer s.Close()
	tn := tenant(t, s, tenantID)
	// A commit that the killed process had sent may be under way: it has the lock
	// that a change waits for.
	if err := s.Delete(t.Context(), tn, "nothing", nil, by); certstate.ErrorCode(err) != certstate.NotFound {
		return err
	}
	if err := m.repeat(t.Context(), s, tn); err != nil {
		return err
	}
	return m.check(t.Context(), s, tn)
}

// crashChild writes until it is killed, and says on standard output what.
func crashChild(t *testing.T, url string) {
	s, err := store.Open(t.Context(), url, store.Options{Serve: true, Repeats: time.Hour, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddTenant(t.Context(), tenantID, ""); err != nil {
		t.Fatal(err)
	}
	tn := tenant(t, s, tenantID)
	for w := range crashWriters {
		go func() {
			err := writeRecords(context.Background(), s, tn, fmt.Sprint(os.Getenv("CRASH_CYCLE"), "-", w), func(word, id string, value int) {
				fmt.Println(word, id, value)
			})
			fmt.Println("error", err)
			os.Exit(3)
		}()
	}
	select {}
}
