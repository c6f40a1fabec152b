package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"certstate"
	"certstate/edm"
)

// Store is an open register. Its methods may be called from any goroutine.
// Every method that touches records takes the tenant they belong to.
type Store struct {
	d       *dialect
	path    string // of the file, or where the database is, without a password
	read    *sql.DB
	points  *points // read's, of one record by its id; nil: read itself
	write   *sql.DB
	replica *replica              // nil: there is none
	lock    *os.File              // nil unless opened to serve
	fresh   atomic.Pointer[fresh] // while a load fills an empty register; else nil
	name    string                // of this store among those that are open, for leases
	now     func() time.Time
	log     *slog.Logger

	txTime   time.Duration // how long a transaction may take, 0 for ever
	rare     int           // rareUpTo, and
	limit    time.Duration // how long a query may run: statementTime, unless Options say otherwise
	patience time.Duration // resolveTime, which tests set
	repeats  time.Duration // as in Options
	uploads  UploadLimits  // as in Options

	threshold int // RenewalThreshold, 0 for none

	distributed bool // records are, by part (part.go)

	watching *Lane // of queries that may take long
	tenants  tenantCache
	queries  statements
	counts   recent[countKey, int]
	plans    recent[planKey, remembered]

	queue  chan *job
	closed atomic.Bool
	mu     sync.RWMutex // held for reading while a job is queued, so that Close misses none
	wg     sync.WaitGroup
	stop   chan struct{}
	failed atomic.Pointer[error] // set once a write may not have reached the disk

	probing   time.Duration         // probeEvery, which tests set
	unwritten atomic.Pointer[fault] // why changes are refused, nil while they are taken
	unread    atomic.Pointer[fault] // set once a read found the file damaged

	grown   atomic.Int64 // changes since it was last looked which tables have grown (analyze.go)
	foreign sync.Once    // says that they are another's
}

// Options say how a database is opened.
type Options struct {
	// Serve takes the lock of the one server a database file has. Without it,
	// writes work beside a running server.
	Serve bool
	// History is how long changes and past versions are kept, 0 for ever. The
	// server sees to it.
	History time.Duration
	// Repeats is how long after it was first sent a request may be repeated, at
	// most what History is; 0: none may.
	Repeats time.Duration
	// Uploads bound the files of import jobs.
	Uploads UploadLimits
	// RenewalThreshold is how many percent of a certificate's validity are left when
	// its device begins to renew it: one that has no successor when half of that has
	// passed is found stalled (renewal.go). 0: as the server before had it, or 20;
	// NoThreshold: none is. The server sees to it.
	RenewalThreshold int
	// ReadDatabase is the URL of a replica of the database that long reads are
	// answered from, "" for none. See replica.go.
	ReadDatabase string
	// Patient lets queries run as long as they take: nobody else waits for a turn.
	Patient bool
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: slog.Default
}

// Open opens the database that a URL names (URLForms), creating a file that is
// not there, and brings its schema up to date.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	d, err := dialectOf(url)
	if err == nil {
		err = CheckReadDatabase(url, o.ReadDatabase)
	}
	if err != nil {
		return nil, err
	}
	s := &Store{d: d, name: uuid.NewString(), rare: rareUpTo, limit: statementTime, txTime: d.txTime, patience: resolveTime, repeats: o.Repeats, uploads: o.Uploads, threshold: o.RenewalThreshold, probing: probeEvery, watching: NewLane(max(1, readConns()-2), maxWaiting), now: o.Now, log: o.Log, stop: make(chan struct{}), queue: make(chan *job, queueLength)}
	s.queries.d = d
	if o.Patient {
		s.limit = patience
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if err := d.open(s, url, o); err != nil {
		return nil, err
	}
	if err := errors.Join(s.start(ctx), s.openReplica(ctx, o.ReadDatabase)); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", s.path, err), s.Close())
	}
	if o.Serve {
		for _, c := range s.chores(o) {
			s.wg.Go(func() { s.tend(c) })
		}
	}
	return s, nil
}

func (s *Store) start(ctx context.Context) error {
	if v, err := s.d.version(ctx, s.write); err == nil && v > 0 && v < len(s.d.migrations()) {
		s.log.Info("the database is brought up to date, which takes about a minute for a million records", "schema", v, "to", len(s.d.migrations()))
	}
	if err := migrate(ctx, s.d, s.write, s.path); err != nil {
		return err
	}
	if s.d.distributed != "" {
		if err := s.write.QueryRowContext(ctx, s.d.distributed).Scan(&s.distributed); err != nil {
			return err
		}
	}
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return err
	}
	if err := ensureIndexes(ctx, s.d, conn); err != nil {
		return errors.Join(err, conn.Close())
	}
	if s.d.session != "" {
		if err := execute(ctx, conn, s.d.session); err != nil {
			return errors.Join(err, conn.Close())
		}
	}
	w := &writer{store: s, conn: conn, stmts: map[string]*sql.Stmt{}}
	s.wg.Go(w.run)
	if s.d.background != nil {
		s.wg.Go(func() { s.d.background(s) })
	}
	return s.takeThreshold(ctx)
}

// Close finishes what was accepted and closes the database.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed.Swap(true) {
		s.mu.Unlock()
		return nil
	}
	close(s.queue)
	s.mu.Unlock()
	close(s.stop)
	s.wg.Wait()
	return s.release()
}

func (s *Store) release() (err error) {
	s.queries.close()
	if s.points != nil {
		err = s.points.close()
	}
	err = errors.Join(err, s.read.Close(), s.write.Close(), s.unlock())
	if s.replica != nil {
		err = errors.Join(err, s.replica.close())
	}
	return err
}

// unlock gives the lock of the one server back, if the store has it.
func (s *Store) unlock() error {
	if s.lock == nil {
		return nil
	}
	return unlockFile(s.lock)
}

var errClosed = certstate.Errorf(certstate.Unavailable, "", "The server is shutting down. Try again.")

// Secret is 32 random bytes kept under a name in the database, made when first
// asked for: keys that must outlive a restart and be shared by all servers.
func (s *Store) Secret(ctx context.Context, name string) (key []byte, err error) {
	get := s.d.rebind("SELECT value FROM secret WHERE name = $1")
	if err = s.read.QueryRowContext(ctx, get, name).Scan(&key); !errors.Is(err, sql.ErrNoRows) {
		return key, err
	}
	fresh := make([]byte, 32)
	rand.Read(fresh)
	err = s.do(ctx, func(tx *tx) error {
		if _, err := tx.exec("INSERT INTO secret (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", name, fresh); err != nil {
			return err
		}
		return tx.row("SELECT value FROM secret WHERE name = $1", name).Scan(&key)
	})
	return key, err
}

func (s *Store) ticks() edm.DateTimeOffset { return edm.Time(s.now().UTC()) }
