package faults

import (
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"certstate/auth/authtest"
	"certstate/store/storetest"
)

var pointRounds = flag.Int("point-rounds", 1, "times that TestPointsOfWriting goes through its points")

// work is what a program does when it comes to a point.
type work string

const (
	writing   work = "writing"
	pruning   work = "pruning"
	migrating work = "migrating"
	backingUp work = "backing up"
	restoring work = "restoring"
)

// point is a moment just before a line of the source, or just after it.
type point struct {
	name, file, line string
	after            bool
	work             work
	often            int    // how many times it is gone by at most before it is deadly
	only             string // the engine that comes to it, "" for all
}

// points are the moments on both sides of every durable step.
var points = []point{
	{"a transaction has not begun", "store/writer.go", "tx := &tx{w: w, ctx: ctx, now: w.store.ticks()}", false, writing, 20, ""},
	{"it has begun", "store/writer.go", "answers = make([]error, len(batch))", false, writing, 20, ""},
	{"a record is about to be made", "store/state.go", "n, err := tx.exec(insertState, …", false, writing, 5, ""},
	{"it is made", "store/state.go", "if err := tx.addWords(t, k, distinctWords(st)); err != nil {", false, writing, 5, ""},
	{"its words are in the index", "store/state.go", "if err := tx.log(h, st.ID.S, certstate.CreatedKind, 1, …", false, writing, 5, ""},
	{"the version before an update is kept", "store/state.go", "args := append(make([]any, 0, 48), t.no, t.part(), out.ID.S)", false, writing, 10, ""},
	{"the record is updated", "store/state.go", "before, after := distinctWords(&old.State), distinctWords(out)", false, writing, 10, ""},
	{"its words are too", "store/state.go", "if err := tx.log(h, id, certstate.UpdatedKind, 0, …", false, writing, 10, ""},
	{"the version before a deletion is kept", "store/state.go", "if err := tx.later(deleteState, t.no, t.part(), id); err != nil {", false, writing, 3, ""},
	{"the record is deleted", "store/state.go", "if err := tx.removeWords(t, old.k, distinctWords(&old.State)); err != nil {", false, writing, 3, ""},
	{"a change is in the log", "store/writer.go", "h.n++", false, writing, 20, ""},
	{"all changes are", "store/writer.go", "if err := tx.saveHeads(); err != nil {", false, writing, 20, ""},
	{"the head is saved", "store/writer.go", "if err := tx.stamp(batch[0].part); err != nil {", false, writing, 20, "postgres"},
	{"the transaction has its mark", "store/node.go", "if err == nil && n == 0 {", false, writing, 20, "postgres"},
	{"a transaction is about to be committed", "store/writer.go", `if err := w.simple(ctx, "COMMIT"); err != nil {`, false, writing, 20, ""},
	{"it is committed", "store/writer.go", "return answers, nil", false, writing, 20, ""},
	{"some of its clients know", "store/writer.go", "j.done <- answers[i]", false, writing, 30, ""},
	{"an answer is about to be sent", "api/respond.go", "x.status = status", false, writing, 50, ""},
	{"the log is about to be copied into the file", "store/checkpoint.go", "_, err := s.write.ExecContext(context.Background(), text)", false, writing, 4, "sqlite"},
	{"it is copied", "store/checkpoint.go", "_, err := s.write.ExecContext(context.Background(), text)", true, writing, 4, "sqlite"},
	{"the log is about to be emptied", "store/checkpoint.go", `s.pragma("PRAGMA busy_timeout=20; PRAGMA wal_checkpoint(TRUNCATE)…`, false, writing, 1, "sqlite"},
	{"it is emptied", "store/checkpoint.go", `s.pragma("PRAGMA busy_timeout=20; PRAGMA wal_checkpoint(TRUNCATE)…`, true, writing, 1, "sqlite"},
	{"a server has no number yet", "store/node.go", "n := &node{holder: uuid.NewString(), renewed: time.Now()}", false, writing, 1, "postgres"},
	{"it has taken one", "store/node.go", "w.node, w.lastK = n, max(k, w.nodeK(0, n.no))", false, writing, 1, "postgres"},

	{"changes are about to be forgotten", "store/prune.go", "n, err := tx.exec(raise, …", false, pruning, 1, ""},
	{"the floor is raised", "store/prune.go", "if err != nil || n == 0 {", false, pruning, 1, ""},
	{"a table is about to be pruned", "store/prune.go", `if _, err := tx.exec("DELETE FROM "+table+" WHERE part = $1 AND tenant = $2 AND n <= $3", t.part(), t.no, floor); err != nil {`, false, pruning, 2, ""},

	{"a schema is about to be made", "store/migrate.go", "tx, err := db.BeginTx(ctx, nil)", false, migrating, 1, ""},
	{"it is about to be changed", "store/migrate.go", "if _, err := tx.ExecContext(ctx, d.migrations()[v]); err != nil {", false, migrating, 1, ""},
	{"it is about to be marked", "store/migrate.go", "if _, err := tx.ExecContext(ctx, d.mark(v)); err != nil {", false, migrating, 1, ""},
	{"it is about to be there", "store/migrate.go", "return tx.Commit()", false, migrating, 1, ""},
	{"it is there without indexes", "store/store.go", "if err := ensureIndexes(ctx, s.d, conn); err != nil {", false, migrating, 1, ""},
	{"an index is about to be made", "store/indexes.go", "if err := execute(ctx, c, d.makeIndex(name, text)); err != nil {", false, migrating, 8, ""},

	{"a backup is not on disk", "cmd/certstate/backup.go", "if err = errors.Join(err, f.Sync(), f.Close()); err != nil {", false, backingUp, 1, ""},
	{"it has no name", "cmd/certstate/backup.go", "if err = os.Rename(f.Name(), name); err != nil {", false, backingUp, 1, ""},
	{"its name is not on disk", "cmd/certstate/backup.go", "return rows, syncFolder(filepath.Dir(name))", false, backingUp, 1, ""},

	{"nothing is restored", "store/restore.go", "tx, err := conn.BeginTx(ctx, nil)", false, restoring, 1, ""},
	{"something is", "store/restore.go", "if err := b.exec(ctx, t.insert, values...); err != nil {", false, restoring, 30, ""},
	{"all is", "store/restore.go", "return in.total, tx.Commit()", false, restoring, 1, ""},
	{"it is committed without indexes", "store/restore.go", "return rows, errors.Join(err, ensureIndexes(context.WithoutCancel(ctx), s.d, conn))", false, restoring, 1, ""},
}

// pointsOf are those that an engine comes to in some work.
func pointsOf(w work, engine string) (list []point) {
	for _, p := range points {
		if p.work == w && (p.only == "" || p.only == engine) {
			list = append(list, p)
		}
	}
	return list
}

func pointSeams() (list []seam) {
	for _, p := range points {
		s, call := seam{file: p.file, line: p.line}, "seam.Point("+quoted(p.name)+")"
		if p.after {
			s.after = call
		} else {
			s.before = call
		}
		list = append(list, s)
	}
	return list
}

// deadly is the environment in which a program dies at the point. It fails the
// test, in the end, if the program does not get there.
func (p *point) deadly() []string {
	return []string{"SEAM_POINT=" + p.name, fmt.Sprint("SEAM_NTH=", 1+rand.IntN(p.often))}
}

// killed reports whether a process ended as by kill -9.
func killed(s *os.ProcessState) bool {
	status, ok := s.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// A server that dies at any point of its writing keeps what it acknowledged, and
// nothing by half.
func TestPointsOfWriting(t *testing.T) {
	for _, e := range storetest.Engines {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			dieWriting(t, e.URL(t), pointsOf(writing, e.Name))
		})
	}
}

func dieWriting(t testing.TB, database string, list []point, flaws ...string) {
	t.Helper()
	r := newRegister(t, database)
	s := r.serveWithSeams(t, flaws)
	l := newLoad(newClient(r, transport()), []string{s.url}, 0)
	l.while(t, func() error {
		for range *pointRounds {
			for _, p := range list {
				if err := s.dieAt(&p); err != nil {
					return err
				}
				if err := l.history.awaitMore(30); err != nil {
					return err
				}
			}
		}
		return nil
	})
	l.judge(t, r)
}

// dieAt has the server start anew and die at a point, and starts it again.
func (s *server) dieAt(p *point, environment ...string) error {
	if err := s.kill(); err != nil {
		return err
	}
	if err := s.launch(append(environment, p.deadly()...)...); err != nil {
		return err
	}
	select {
	case <-s.ended:
		if !killed(s.command.ProcessState) {
			return fmt.Errorf("%s: the server ended otherwise: %s", p.name, s.lastLines())
		}
	case <-time.After(patience):
		return fmt.Errorf("no server came to the point: %s", p.name)
	}
	return s.start()
}

// The audit sees a server that acknowledges what it may not keep.
func TestPointsCatchAFlaw(t *testing.T) {
	t.Parallel()
	var list []point
	for _, p := range points {
		if strings.Contains(p.line, "COMMIT") {
			list = append(list, p, p, p)
		}
	}
	sees(t, hurried, lost, func(t testing.TB) { dieWriting(t, storetest.Engines[0].URL(t), list, hurried) })
}

// dies runs a command that must die at a point.
func dies(t testing.TB, p *point, args ...string) {
	t.Helper()
	path, err := programWithSeams()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), p.deadly()...)
	if out, _ := cmd.CombinedOutput(); !killed(cmd.ProcessState) {
		t.Errorf("certstate %s did not come to the point: %s: %s", args[0], p.name, out)
	}
}

// A program that dies while it makes or changes a schema leaves one that another
// program brings up to date.
func TestPointsOfMigration(t *testing.T) {
	eachPoint(t, migrating, func(t *testing.T, p *point, database string) {
		dies(t, p, "tenant", "add", authtest.Tenant, "--database", database)
		command(t, "tenant", "add", authtest.Tenant, "--database", database)
		command(t, "check", "--database", database)
	})
}

// eachPoint runs a test on a database of each engine for each point of a work.
func eachPoint(t *testing.T, w work, fn func(t *testing.T, p *point, database string)) {
	t.Helper()
	for _, e := range storetest.Engines {
		for _, p := range pointsOf(w, e.Name) {
			t.Run(e.Name+"/"+p.name, func(t *testing.T) {
				t.Parallel()
				fn(t, &p, e.URL(t))
			})
		}
	}
}

// A backup has its name once it is whole, whenever the program that makes it dies.
func TestPointsOfBackup(t *testing.T) {
	source := filled(t)
	for _, p := range pointsOf(backingUp, "sqlite") {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "backup")
			dies(t, &p, "backup", "--database", source, file)
			if _, err := os.Stat(file); err == nil {
				command(t, "restore", "--database", storetest.Engines[0].URL(t), file)
			}
			command(t, "backup", "--database", source, file)
			command(t, "restore", "--database", storetest.Engines[0].URL(t), file)
		})
	}
}

// A restore that dies leaves a database that is empty, or has all.
func TestPointsOfRestore(t *testing.T) {
	source := filled(t)
	file := filepath.Join(t.TempDir(), "backup")
	command(t, "backup", "--database", source, file)
	t.Run("", func(t *testing.T) { // so that file is there until all have ended
		eachPoint(t, restoring, func(t *testing.T, p *point, database string) {
			dies(t, p, "restore", "--database", database, file)
			if !strings.Contains(command(t, "tenant", "list", "--database", database), authtest.Tenant) {
				command(t, "restore", "--database", database, file)
			}
			command(t, "check", "--database", database)
			again := filepath.Join(t.TempDir(), "backup")
			command(t, "backup", "--database", database, again)
			if a, b := contents(t, file), contents(t, again); a != b {
				t.Errorf("%d bytes were restored, and are %d now", len(a), len(b))
			}
		})
	})
}

// Pruning that dies leaves history whole from some change on, and every record.
func TestPointsOfPruning(t *testing.T) {
	for _, e := range storetest.Engines {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			r := newRegister(t, e.URL(t))
			s := r.serveWithSeams(t, nil, "--history-days=1")
			l := newLoad(newClient(r, transport()), []string{s.url}, 300)
			l.run(t.Context())
			l.judge(t, r)
			table, err := l.table(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pointsOf(pruning, e.Name) {
				endLeases(t, r)
				if err := s.dieAt(&p, s.clock(t, 30*24*time.Hour)); err != nil {
					t.Fatal(err)
				}
				if now, err := l.table(t.Context()); err != nil || !maps.Equal(now, table) {
					t.Errorf("%s: the table was %v, and is %v, %v", p.name, table, now, err)
				}
				command(t, "check", "--database", r.database)
			}
		})
	}
}

// endLeases takes the servers' leases away, as time would.
func endLeases(t testing.TB, r *register) {
	t.Helper()
	if !strings.HasPrefix(r.database, "postgres:") {
		return
	}
	conn, err := pgx.Connect(t.Context(), r.database)
	if err == nil {
		_, err = conn.Exec(t.Context(), "UPDATE lease SET until = 0")
		_ = conn.Close(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// filled is a register with records and some history.
func filled(t testing.TB) (database string) {
	r := newRegister(t, storetest.Engines[0].URL(t))
	s := r.serve(t)
	newLoad(newClient(r, transport()), []string{s.url}, 300).run(t.Context())
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	return r.database
}

// contents are a backup's lines but for those that tell when it was made or
// restored, in an order of their own.
func contents(t testing.TB, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	lines = slices.DeleteFunc(lines[1:len(lines)-1], func(line string) bool { return strings.Contains(line, `"epoch"`) })
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
