package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"certstate"
	"certstate/ingest"
	"certstate/store"
)

const (
	workers   = 2  // jobs that a server works on at once, of as many tenants
	maxBegins = 20 // how often a job is begun: one that kills who works on it ends some day
	maxText   = 1000

	passingTime = store.WorkLease / 2 // until a job is done again that failed for something that may pass
)

// Told is what a job tells of itself.
type Told struct {
	Created     int    `json:"created"`
	Updated     int    `json:"updated"`
	Present     int    `json:"present"`
	Rejected    int    `json:"rejected"`
	Authorities int    `json:"authorities"`
	Rows        int64  `json:"rows"`
	Read        int64  `json:"read"` // bytes of the file
	Error       string `json:"error,omitzero"`
}

// ParseTold reads what a worker told; "" is nothing yet.
func ParseTold(text string) (told Told) {
	_ = json.Unmarshal([]byte(text), &told) // a worker wrote it
	return told
}

// Worker works on import jobs whose file is there, beside those of other servers.
type Worker struct {
	Store *store.Store
	Log   *slog.Logger
	Poll  time.Duration // between two looks for work; 0: a second

	mu   sync.Mutex
	busy map[string]bool // tenants
	wg   sync.WaitGroup
}

// Run works until ctx ends, and leaves what is not done to others then.
func (w *Worker) Run(ctx context.Context) {
	w.busy = map[string]bool{}
	if w.Poll == 0 {
		w.Poll = time.Second
	}
	defer w.wg.Wait()
	tick := time.NewTicker(w.Poll)
	defer tick.Stop()
	for blind := false; ; {
		err := w.look(ctx)
		if err != nil && !blind && ctx.Err() == nil {
			w.Log.Warn("import jobs are not looked for until the register can be read and written", "error", err)
		}
		blind = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look begins as many jobs as there is somebody for.
func (w *Worker) look(ctx context.Context) error {
	for w.free() {
		work, err := w.Store.BeginWork(ctx, w.isBusy)
		if err != nil || work == nil {
			return err
		}
		w.occupy(work.Tenant.ID, true)
		w.wg.Go(func() {
			defer w.occupy(work.Tenant.ID, false)
			w.do(ctx, work)
		})
	}
	return nil
}

func (w *Worker) free() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.busy) < workers
}

func (w *Worker) isBusy(tenant string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.busy[tenant]
}

func (w *Worker) occupy(tenant string, busy bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if delete(w.busy, tenant); busy {
		w.busy[tenant] = true
	}
}

// do works on a job to its end, or until it is somebody else's.
func (w *Worker) do(ctx context.Context, work *store.Work) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &report{s: w.Store, work: work, stop: cancel, before: ParseTold(work.Job.Told), now: ParseTold(work.Job.Told)}
	ended := make(chan struct{})
	var keeping sync.WaitGroup
	keeping.Go(func() { r.keep(ended) })
	err := w.bring(ctx, work, r)
	close(ended)
	keeping.Wait()
	after := context.WithoutCancel(ctx)
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, store.ErrNotMine):
		return
	case ctx.Err() != nil || isPassing(err) && work.Begins < maxBegins:
		w.leave(ctx, r, err)
		return
	}
	status := store.JobDone
	if err != nil {
		status = store.JobFailed
		why := "the job tells" // what is wrong with the file may be words of it
		if errors.Is(err, errPanic) || errors.Is(err, store.ErrUnreachable) || errors.As(err, new(unwritten)) {
			why = err.Error()
		}
		w.Log.Warn("an import job failed", "tenant", work.Tenant.ID, "job", work.Job.ID, "error", why)
	}
	if err := r.end(after, status, whatFailed(err)); err != nil && !errors.Is(err, store.ErrNotMine) {
		w.Log.Warn("the end of an import job was not told: it is done again", "job", work.Job.ID, "error", err)
	}
}

// leave gives a job back, a moment after a failure that may pass.
func (w *Worker) leave(ctx context.Context, r *report, failure error) {
	if ctx.Err() == nil {
		w.Log.Warn("an import job is done again in a moment", "job", r.work.Job.ID, "error", failure)
		select {
		case <-ctx.Done():
		case <-time.After(passingTime):
		}
	}
	after := context.WithoutCancel(ctx)
	r.tell(after)
	if err := w.Store.LeaveWork(after, r.work); err != nil && !errors.Is(err, store.ErrNotMine) {
		w.Log.Warn("an import job was not given back: it goes on once its lease has ended", "job", r.work.Job.ID, "error", err)
	}
}

// bring brings the file in. What has panicked is told as a failure of the job, whose
// file did it.
func (w *Worker) bring(ctx context.Context, work *store.Work, r *report) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	if work.Begins > maxBegins {
		return errPanic
	}
	in := NewRequest()
	if err := json.Unmarshal([]byte(work.Job.Asked), in); err != nil {
		return err
	}
	if in.Password, err = w.Store.JobSecret(ctx, work); err != nil {
		return err
	}
	set, err := in.settings(work.Job.Actor)
	if err != nil {
		return err
	}
	if set.Dry {
		r.before = Told{}
	}
	i := Intake{Store: w.Store, Tenant: work.Tenant, Settings: set, Rejected: r.reject, Progress: func(t Totals) { r.progress(ctx, t) }}
	totals, err := i.Files(ctx, ingest.NewUpload(in.FileName, w.Store.Upload(ctx, work), work.Job.Size))
	r.set(totals)
	return err
}

var errPanic = errors.New("the file cannot be read by this release; the server's log may say more")

// isPassing reports whether a failure may be over when the job is done again.
func isPassing(err error) bool {
	code := certstate.ErrorCode(err)
	return code == certstate.Unavailable || code == certstate.Full || errors.Is(err, store.ErrUnreachable) || errors.As(err, new(unwritten)) && code == certstate.Internal
}

// whatFailed is what the client may read of a failure.
func whatFailed(err error) string {
	switch e := (*certstate.Error)(nil); {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Message
	case errors.Is(err, store.ErrUnreachable), errors.As(err, new(unwritten)):
		return "The register could not be read or written. The server's log has the reason."
	case errors.Is(err, errPanic):
		return errPanic.Error()
	}
	return forPeople(strings.ReplaceAll(err.Error(), "\n", ": "))
}

// members are the request's members by the flags of the command that what is read
// names in cures.
var members = strings.NewReplacer("--column ", "columns ", "--device-from", "deviceFrom", "--device", "device", "--authorities", "authorities",
	"--upn-from", "upnFrom", "--password-file", "password", "--format", "format", "--dry-run", "dryRun", "--update", "update")

// forPeople is a text for who asked over HTTP. What may be a private key is no part of it.
func forPeople(text string) string {
	if strings.Contains(text, "PRIVATE KEY") {
		return ingest.ErrPrivateKey.Error()
	}
	if text = members.Replace(text); len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}

// report tells how far a job is.
type report struct {
	s    *store.Store
	work *store.Work
	stop context.CancelCauseFunc

	mu      sync.Mutex
	before  Told // by whoever worked on it before
	now     Told
	no      int      // rejects told
	rejects []string // not told yet
}

// keep keeps the job until the work has ended.
func (r *report) keep(ended <-chan struct{}) {
	tick := time.NewTicker(store.WorkLease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			r.tell(context.Background())
		}
	}
}

// progress takes what became of the rows until now.
func (r *report) progress(ctx context.Context, t Totals) {
	r.set(t)
	r.tell(ctx)
}

// set counts what was done before once: what it created is there now, whoever did.
func (r *report) set(t Totals) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.before
	r.now = Told{Created: b.Created + t.Created, Updated: b.Updated + t.Updated, Present: max(0, t.Present-b.Created-b.Updated),
		Rejected: t.Rejected, Authorities: t.Authorities, Rows: t.Rows, Read: t.Read}
}

func (r *report) reject(rejected Rejected) {
	rejected.Reason, rejected.Cure = forPeople(rejected.Reason), forPeople(rejected.Cure)
	text, err := json.Marshal(rejected)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && r.no+len(r.rejects) < store.JobRejects {
		r.rejects = append(r.rejects, string(text))
	}
}

// tell writes it down, and has the work stop if the job is somebody else's.
func (r *report) tell(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text, err := json.Marshal(r.now)
	if err == nil {
		err = r.s.Tell(ctx, r.work, string(text), r.no+1, r.rejects)
	}
	if err == nil {
		r.no, r.rejects = r.no+len(r.rejects), nil
	}
	if errors.Is(err, store.ErrNotMine) {
		r.stop(err)
	}
}

func (r *report) end(ctx context.Context, status store.JobStatus, failure string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.Error = failure
	text, err := json.Marshal(r.now)
	if err != nil {
		return err
	}
	return r.s.EndWork(ctx, r.work, status, string(text), r.no+1, r.rejects)
}
