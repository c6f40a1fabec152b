package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// jobOutages are what takes the database away from a job, or the job from its server,
// one after another while it is worked on.
var jobOutages = []struct {
	name    string
	alone   bool // they need a database server of their own
	cuts    []func(t *testing.T, s *site, servers []*server) error
	untold  int // records that may be counted as present, since who made them was not let tell it
	atLeast int // how often a server began
}{
	{"the database goes", true, []func(*testing.T, *site, []*server) error{away, terminated, restarted}, 0, 2},
	{"the job goes", false, []func(*testing.T, *site, []*server) error{takenOver, terminated}, rowsAtOnce, 2},
}

// rowsAtOnce is how many rows share a transaction.
const rowsAtOnce = 1000

// terminated has connections end under the job, more than once.
func terminated(t *testing.T, s *site, _ []*server) error {
	for range 3 {
		if err := terminate(t, s); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}

// restarted is a crash that changes are tried again through.
func restarted(_ *testing.T, s *site, _ []*server) error {
	s.cluster.Crash()
	return s.cluster.Restart()
}

// away is a crash for longer than that, so that the work fails.
func away(_ *testing.T, s *site, servers []*server) error {
	failures := func() int {
		const what = "an import job is done again in a moment"
		return servers[0].said(what) + servers[1].said(what)
	}
	before := failures()
	s.cluster.Crash()
	err := await("the work fails", patience, func() bool { return failures() > before })
	return errors.Join(err, s.cluster.Restart())
}

// takenOver ends the lease of who works on the job, as silence would: the other server
// begins, and the first goes on until it is told.
func takenOver(t *testing.T, s *site, _ []*server) error {
	before, err := s.number(t.Context(), "SELECT fence FROM job")
	if err != nil {
		return err
	}
	return await("another server begins", patience, func() bool {
		now, err := s.number(t.Context(), "UPDATE job SET held = 0 WHERE status = 'runs' AND fence = $1 RETURNING fence", before)
		return errors.Is(err, pgx.ErrNoRows) || now != before
	})
}

// A job is worked on to its right end by itself whatever becomes of its database and of
// who works on it.
func TestImportJobOutages(t *testing.T) {
	t.Parallel()
	const rows = 20_000
	for _, row := range jobOutages {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			at := newSite(t, row.alone)
			r := newRegister(t, at.database)
			servers := []*server{r.serve(t), r.serve(t)}
			at.watchJobs(t)
			j := createJob(t, r, servers)
			file := manyRows(rows)
			for from := 0; from < len(file); from += 1 << 20 {
				to := min(from+1<<20, len(file))
				j.put(t, file[from:to], int64(from), int64(len(file)))
			}
			for i, cut := range row.cuts {
				at.awaitNumber(t, 2*rowsAtOnce*i+1, "SELECT count(*) FROM state")
				if err := cut(t, at, servers); err != nil {
					t.Fatal(err)
				}
				if n := at.awaitNumber(t, 0, "SELECT count(*) FROM state"); n == rows {
					t.Fatal("the job was done before it was cut off: the test saw nothing")
				}
			}
			var job importJob
			if err := await("the job ends", 4*patience, func() bool {
				job = importJob{}
				_, err := j.send(http.MethodGet, j.server().url+importJobs+"/"+j.id, nil, http.Header{}, &job)
				return err == nil && job.ended()
			}); err != nil {
				t.Fatalf("%v: %+v", err, job)
			}
			j.judge(t, r, job, rows, rows-row.untold)
			at.judgeJobs(t, row.atLeast)
		})
	}
}

// number asks the database itself for one.
func (s *site) number(ctx context.Context, text string, args ...any) (n int, err error) {
	conn, err := pgx.Connect(ctx, s.database)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, text, args...).Scan(&n)
	return n, err
}

// awaitNumber asks until a number is large enough.
func (s *site) awaitNumber(t *testing.T, least int, text string) (n int) {
	t.Helper()
	if err := await(text, 4*patience, func() bool {
		got, err := s.number(t.Context(), text)
		n = got
		return err == nil && got >= least
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// watchJobs has the database keep all that is ever told of jobs.
func (s *site) watchJobs(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `CREATE TABLE watched (no bigserial, fence bigint, holder text, status text, created bigint);
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO watched (fence, holder, status, created) VALUES (NEW.fence, NEW.holder, NEW.status, coalesce((nullif(NEW.told, '')::json->>'created')::bigint, 0));
  RETURN NULL;
END $$;
CREATE TRIGGER watch AFTER UPDATE ON job FOR EACH ROW EXECUTE FUNCTION watch()`)
	if err != nil {
		t.Fatal(err)
	}
}

// judgeJobs looks that of one job nothing was told after its end, nor by any but who
// had it, and that nothing that was told was taken back.
func (s *site) judgeJobs(t *testing.T, begins int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), "SELECT fence, holder, status, created FROM watched ORDER BY no")
	if err != nil {
		t.Fatal(err)
	}
	type telling struct {
		Fence          int
		Holder, Status string
		Created        int
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[telling])
	if err != nil {
		t.Fatal(err)
	}
	var last telling
	for _, now := range all {
		ended := last.Status == "done" || last.Status == "failed"
		if ended || now.Fence < last.Fence || now.Fence == last.Fence && last.Fence > 0 && now.Holder != last.Holder || now.Created < last.Created {
			t.Errorf("%+v was told after %+v", now, last)
		}
		last = now
	}
	if last.Fence < begins {
		t.Errorf("a server began %d times, want %d: the test saw nothing\n%s", last.Fence, begins, strings.ReplaceAll(fmt.Sprintf("%+v", all), "} {", "}\n{"))
	}
}
