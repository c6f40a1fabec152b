package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Work on a job is done by one server at a time: who has the lease on its row. A
// server that is silent loses it, to any other; each that begins raises the row's
// fence, and what is told of the job counts only with the fence of today. Records
// need no fence: a job that is done again finds what it did there.

// WorkLease is how long a server that is silent keeps a job.
const WorkLease = 15 * time.Second

// Work is a job that this server works on.
type Work struct {
	Tenant Tenant
	Job    *Job  // as it was when the work began: Told is what the last who worked on it told
	Begins int64 // how often a server began with it
}

// ErrNotMine says that a job was deleted, has expired, or went to another server.
var ErrNotMine = errors.New("the job is not this server's any more")

// workNow is the time by which leases end. Where there is but one server, every
// lease but its own has ended.
func (s *Store) workNow() string {
	if s.d.nodes {
		return databaseNow
	}
	return "9223372036854775807"
}

// workUntil is when a lease ends that is taken now.
func (s *Store) workUntil() string {
	if s.d.nodes {
		return databaseNow + " + " + fmt.Sprint(WorkLease.Milliseconds())
	}
	return "0"
}

// BeginWork finds the oldest job that waits for a server, of a tenant that busy does
// not know, and takes it; nil if there is none.
func (s *Store) BeginWork(ctx context.Context, busy func(tenant string) bool) (*Work, error) {
	candidates, err := s.workToDo(ctx)
	if err != nil || len(candidates) == 0 {
		return nil, err
	}
	tenants, err := s.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range candidates {
		for _, t := range tenants {
			if t.no != c.tenant || t.Suspended || busy(t.ID) {
				continue
			}
			if w, err := s.takeWork(ctx, t, c.id); err != nil || w != nil {
				return w, err
			}
		}
	}
	return nil, nil //nolint:nilnil // none
}

type candidate struct {
	tenant int64
	id     string
}

func (s *Store) workToDo(ctx context.Context) (list []candidate, err error) {
	rows, err := s.read.QueryContext(ctx, "SELECT tenant, id FROM job WHERE status IN ('ready', 'runs') AND held < "+s.workNow()+" ORDER BY made, id -- of every tenant")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c candidate
		if err := rows.Scan(&c.tenant, &c.id); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// takeWork takes a job, unless another server has; nil if it has.
func (s *Store) takeWork(ctx context.Context, t Tenant, id string) (w *Work, err error) {
	take := "UPDATE job SET status = 'runs', holder = $4, held = " + s.workUntil() + ", fence = fence + 1 WHERE part = $1 AND tenant = $2 AND id = $3 AND status IN ('ready', 'runs') AND held < " + s.workNow()
	err = s.doIn(ctx, t, func(tx *tx) error {
		w = nil
		n, err := tx.exec(take, t.part(), t.no, id, s.name)
		if err != nil || n == 0 {
			return err
		}
		j, err := scanJob(tx.row("SELECT "+jobColumns+" FROM job WHERE part = $1 AND tenant = $2 AND id = $3", t.part(), t.no, id))
		if err != nil {
			return err
		}
		w = &Work{Tenant: t, Job: j}
		if err := tx.row("SELECT fence FROM job WHERE part = $1 AND tenant = $2 AND id = $3", t.part(), t.no, id).Scan(&w.Begins); err != nil {
			return err
		}
		_, err = tx.exec("DELETE FROM reject WHERE part = $1 AND tenant = $2 AND job = $3", t.part(), t.no, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("begin job %s: %w", id, err)
	}
	return w, nil
}

// Tell says how far the work is, with what was left out since the last time, from
// number no on, and keeps the lease. It fails with ErrNotMine.
func (s *Store) Tell(ctx context.Context, w *Work, told string, no int, rejects []string) error {
	return s.tellWork(ctx, w, "told = $6, until = $7, held = "+s.workUntil(), func(now int64) []any {
		return []any{told, now + ticksOf(jobTime)}
	}, no, rejects)
}

// EndWork says how the work ended, and removes the file.
func (s *Store) EndWork(ctx context.Context, w *Work, status JobStatus, told string, no int, rejects []string) error {
	err := s.tellWork(ctx, w, "told = $6, until = $7, status = $8, key = $9, held = 0", func(now int64) []any {
		return []any{told, now + ticksOf(jobRests), string(status), []byte{}}
	}, no, rejects)
	if err != nil {
		return err
	}
	return s.forgetPieces(ctx, w.Tenant)
}

// LeaveWork gives a job back that is not done: any server may go on.
func (s *Store) LeaveWork(ctx context.Context, w *Work) error {
	return s.tellWork(ctx, w, "held = 0", func(int64) []any { return nil }, 0, nil)
}

// tellWork changes the row of a job that is worked on.
func (s *Store) tellWork(ctx context.Context, w *Work, set string, args func(now int64) []any, no int, rejects []string) error {
	t := w.Tenant
	err := s.doIn(ctx, t, func(tx *tx) error {
		n, err := tx.exec("UPDATE job SET "+set+" WHERE part = $1 AND tenant = $2 AND id = $3 AND status = 'runs' AND holder = $4 AND fence = $5", append([]any{t.part(), t.no, w.Job.ID, s.name, w.Begins}, args(tx.now.Ticks)...)...)
		if err == nil && n == 0 {
			return undone{ErrNotMine}
		}
		for i := 0; i < len(rejects) && no+i <= JobRejects && err == nil; i++ {
			_, err = tx.exec("INSERT INTO reject (part, tenant, job, no, told) VALUES ($1, $2, $3, $4, $5)", t.part(), t.no, w.Job.ID, no+i, rejects[i])
		}
		return err
	})
	if u := (undone{}); errors.As(err, &u) {
		return u.why
	}
	return err
}

// Rejects calls fn for what a job left out, from the one after no on, at most limit
// times.
func (s *Store) Rejects(ctx context.Context, t Tenant, job string, no, limit int, fn func(no int, told string) error) error {
	const find = "SELECT no, told FROM reject WHERE part = $1 AND tenant = $2 AND job = $3 AND no > $4 ORDER BY no LIMIT $5"
	rows, err := s.read.QueryContext(ctx, s.d.rebind(find), t.part(), t.no, job, no, limit)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var told string
		if err := rows.Scan(&no, &told); err != nil {
			return err
		}
		if err := fn(no, told); err != nil {
			return err
		}
	}
	return rows.Err()
}
