package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"certstate"
	"certstate/edm"
)

// A job is what a client asks for over HTTP and comes back for. An export has
// nothing to do: its row says which change it tells the register after, and who
// downloads it reads that. An import waits for its file (upload.go), and then for
// a server to work on it (work.go). Jobs are forgotten after their time, with all
// that belongs to them; backups have none.

// JobKind is what a job does.
type JobKind string

// The kinds of job there are.
const (
	Export JobKind = "export"
	Import JobKind = "import"
)

// JobStatus is how far a job is.
type JobStatus string

// JobRejects is how many rejects of a job are kept, at most.
const JobRejects = 10_000

// What a job can be. An export is done when it is made.
const (
	JobWaits   JobStatus = "waits" // for its file
	JobReady   JobStatus = "ready" // to be worked on
	JobRuns    JobStatus = "runs"
	JobDone    JobStatus = "done"
	JobFailed  JobStatus = "failed"
	jobsKept             = 500            // of a kind and tenant, at most
	jobRejects           = 10_000         // of a job that are kept, at most
	jobTime              = 24 * time.Hour // from when it was made
	jobRests             = 7 * jobTime    // from its end, if it was worked on
	forgetJobs           = time.Minute    // between two looks for what is to be forgotten
)

// Job is a row.
type Job struct {
	ID     string
	Kind   JobKind
	Actor  string
	Made   edm.DateTimeOffset
	Until  edm.DateTimeOffset // nobody is told of it after that
	Asked  string             // what its maker wants to know again
	N      int64              // of the last change when it was made
	Status JobStatus
	Size   int64  // of its file in octets, -1 until it is known
	Octets int64  // of them received
	Told   string // what who works on it wants told

	// Secret is for AddJob alone: what the work needs, and nobody is told. It is kept
	// as the job's file is, and goes with it; see [Store.JobSecret].
	Secret string

	key []byte
}

const jobColumns = "id, kind, actor, made, until, asked, n, status, size, octets, told, key"

func scanJob(row rowScanner) (*Job, error) {
	j := &Job{}
	err := row.Scan(&j.ID, &j.Kind, &j.Actor, &j.Made.Ticks, &j.Until.Ticks, &j.Asked, &j.N, &j.Status, &j.Size, &j.Octets, &j.Told, &j.key)
	return j, err
}

// AddJob keeps a job that has an id, a kind, an actor and what was asked, and sets
// the rest. It fails with TooMany if the tenant has as many as it may.
func (s *Store) AddJob(ctx context.Context, t Tenant, j *Job) error {
	key := make([]byte, 32)
	rand.Read(key)
	return s.doIn(ctx, t, func(tx *tx) error {
		h, err := tx.head(t)
		if err != nil {
			return err
		}
		var n int
		err = tx.row("SELECT count(*) FROM job WHERE part = $1 AND tenant = $2 AND kind = $3 AND until > $4", t.part(), t.no, string(j.Kind), tx.now.Ticks).Scan(&n)
		switch {
		case err != nil:
			return fmt.Errorf("count jobs: %w", err)
		case n >= jobsKept:
			return certstate.Errorf(certstate.TooMany, "", "The tenant has %d jobs of this kind: delete some, or wait until they expire.", n)
		}
		j.Made, j.Until, j.N, j.Size, j.key = tx.now, edm.DateTimeOffset{Ticks: tx.now.Ticks + ticksOf(jobTime)}, h.n, -1, nil
		j.Status = JobDone
		if j.Kind == Import {
			j.Status, j.key = JobWaits, key
		}
		_, err = tx.exec("INSERT INTO job (part, tenant, "+jobColumns+", holder, held, fence) VALUES ($1, $2, "+placeholders(3, 12)+", '', 0, 0)",
			t.part(), t.no, j.ID, string(j.Kind), j.Actor, j.Made.Ticks, j.Until.Ticks, j.Asked, j.N, string(j.Status), j.Size, j.Octets, j.Told, nonNil(j.key))
		if err != nil {
			return fmt.Errorf("insert job: %w", err)
		}
		return tx.keepSecret(t, j)
	})
}

// nonNil is what a column takes that cannot be null.
func nonNil(b []byte) []byte { return append([]byte{}, b...) }

// Job finds a job of the tenant. It fails with NotFound if there is none, or none
// any more.
func (s *Store) Job(ctx context.Context, t Tenant, kind JobKind, id string) (*Job, error) {
	row := s.read.QueryRowContext(ctx, s.d.rebind("SELECT "+jobColumns+" FROM job WHERE part = $1 AND tenant = $2 AND kind = $3 AND id = $4 AND until > $5"),
		t.part(), t.no, string(kind), id, s.ticks().Ticks)
	j, err := scanJob(row)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, noJob(id)
	}
	return j, err
}

func noJob(id string) error {
	return certstate.Errorf(certstate.NotFound, "id", "There is no job with id '%s', or none any more.", id)
}

// Jobs lists the tenant's jobs of a kind, the newest first.
func (s *Store) Jobs(ctx context.Context, t Tenant, kind JobKind) (list []*Job, err error) {
	rows, err := s.read.QueryContext(ctx, s.d.rebind("SELECT "+jobColumns+" FROM job WHERE part = $1 AND tenant = $2 AND kind = $3 AND until > $4 ORDER BY made DESC, id"),
		t.part(), t.no, string(kind), s.ticks().Ticks)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		j, err := scanJob(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, j)
	}
	return list, rows.Err()
}

// DeleteJob forgets a job; who works on it stops. It fails with NotFound if there
// is none.
func (s *Store) DeleteJob(ctx context.Context, t Tenant, kind JobKind, id string) error {
	err := s.doIn(ctx, t, func(tx *tx) error {
		n, err := tx.exec("DELETE FROM job WHERE part = $1 AND tenant = $2 AND kind = $3 AND id = $4", t.part(), t.no, string(kind), id)
		if err == nil && n == 0 {
			return noJob(id)
		}
		return err
	})
	if err != nil || kind == Export {
		return err
	}
	return s.forgetPieces(ctx, t)
}

// ForgetJobs forgets the jobs whose time is over, of every tenant, and what
// belongs to no job.
func (s *Store) ForgetJobs(ctx context.Context) error {
	tenants, err := s.Tenants(ctx)
	for i := 0; i < len(tenants) && err == nil; i++ {
		err = s.forgetJobs(ctx, tenants[i])
	}
	return err
}

func (s *Store) forgetJobs(ctx context.Context, t Tenant) error {
	now := s.ticks().Ticks
	var any bool
	err := s.read.QueryRowContext(ctx, s.d.rebind("SELECT EXISTS (SELECT 1 FROM job WHERE part = $1 AND tenant = $2 AND until <= $3)"), t.part(), t.no, now).Scan(&any)
	if err == nil && any {
		err = s.doIn(ctx, t, func(tx *tx) error {
			_, err := tx.exec("DELETE FROM job WHERE part = $1 AND tenant = $2 AND until <= $3", t.part(), t.no, now)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("forget jobs: %w", err)
	}
	return s.forgetPieces(ctx, t)
}

// forgottenAt is how many rows a transaction removes: pieces are large.
const forgottenAt = 64

// forgetPieces removes the pieces that no job needs any more, and the rejects of
// no job, some at a time.
func (s *Store) forgetPieces(ctx context.Context, t Tenant) error {
	for _, table := range [][2]string{{"piece", "at"}, {"reject", "no"}} {
		text := orphans(table[0], table[1])
		for n := int64(forgottenAt); n == forgottenAt; {
			var one string
			err := s.read.QueryRowContext(ctx, s.d.rebind("SELECT job FROM ("+text+") AS o"), t.part(), t.no, 1).Scan(&one)
			if errors.Is(err, sql.ErrNoRows) {
				break
			}
			if err == nil {
				err = s.doIn(ctx, t, func(tx *tx) (err error) {
					n, err = tx.exec("DELETE FROM "+table[0]+" WHERE part = $1 AND tenant = $2 AND (job, "+table[1]+") IN ("+text+")", t.part(), t.no, forgottenAt)
					return err
				})
			}
			if err != nil {
				return fmt.Errorf("forget %ss: %w", table[0], err)
			}
		}
	}
	return nil
}

// orphans finds some rows of a table that no job needs.
func orphans(name, no string) string {
	needed := "SELECT 1 FROM job WHERE job.part = o.part AND job.tenant = o.tenant AND job.id = o.job"
	if name == "piece" {
		needed += " AND length(job.key) > 0"
	}
	return "SELECT job, " + no + " FROM " + name + " AS o WHERE part = $1 AND tenant = $2 AND NOT EXISTS (" + needed + ") LIMIT $3"
}
