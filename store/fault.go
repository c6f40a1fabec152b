package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"certstate"
)

// fault is a failure that is not a statement's own.
type fault struct {
	code    certstate.Code
	message string
	// again: all of the transaction is undone, or was never done, and it may
	// succeed if it is run again.
	again bool
	// lost: so is the connection.
	lost bool
	// ends: what the database holds is in doubt until it is opened anew, so
	// nothing more is written.
	ends bool
	// unready: no change can be made while it lasts.
	unready bool
}

var (
	faultBusy      = &fault{code: certstate.Unavailable, message: "Another program is holding the database. Try again.", unready: true}
	faultFull      = &fault{code: certstate.Full, message: "The register's disk is full. Nothing was changed.", unready: true}
	faultReadOnly  = &fault{code: certstate.Unavailable, message: "The register's database is read-only. Nothing was changed.", unready: true}
	faultDamaged   = &fault{code: certstate.Unavailable, message: "The register's disk failed. Whether this change was kept is unknown.", ends: true}
	faultEnded     = &fault{code: certstate.Unavailable, message: "The register takes no changes: its disk failed. It must be restarted."}
	faultUnread    = &fault{code: certstate.Unavailable, message: "The register's database is damaged where it was read."}
	faultBroken    = &fault{code: certstate.Unavailable, message: "The register's database reports a damaged disk. Nothing was changed.", unready: true}
	faultContended = &fault{code: certstate.Unavailable, message: "Too many changes meet in the register's database. Try again.", again: true}
	faultLost      = &fault{code: certstate.Unavailable, message: "The register's database cannot be reached. Try again.", again: true, lost: true, unready: true}
	faultStandby   = &fault{code: certstate.Unavailable, message: "The register's database is a standby, which takes no changes. Try again.", again: true, lost: true, unready: true}
	faultUnknown   = &fault{code: certstate.Unavailable, message: "The connection to the register's database broke while the change was being kept. Whether it was is unknown: read before trying again.", lost: true, unready: true}
	faultSlow      = &fault{code: certstate.Invalid, message: errTooSlow.Error()}
	faultUnwritten = &fault{code: certstate.Invalid, message: "The request has a character that the register cannot hold, such as U+0000."}
)

// end ends writing for good, and says why, once.
func (s *Store) end(cause error) {
	failure := fmt.Errorf("writing has ended until a restart: %w", cause)
	if s.failed.CompareAndSwap(nil, &failure) {
		s.log.Error("the database failed; no more writes are accepted until a restart", "error", cause)
	}
}

// lasting reports whether a fault is one of the engine's that lasts until somebody
// mends it, and not one of a request's or of a moment.
func (f *fault) lasting() bool { return f.unready || f.ends }

// of is the fault as a client may read it, with its cause for the log.
func (f *fault) of(cause error) error {
	return errors.Join(certstate.Errorf(f.code, "", "%s", f.message), cause)
}

// errUnknown is a commit whose outcome could not be found out.
var errUnknown = errors.New("the outcome of a commit is unknown")

const (
	writeTries = 8               // how often a transaction is tried, within about a second
	tryTime    = 5 * time.Second // after which it is not tried again, if a try takes long
)

// pause is how long to wait before the next try, with jitter so that those who
// met do not meet again.
func pause(try int) time.Duration {
	most := min(10*time.Millisecond<<min(try, 6), 500*time.Millisecond)
	return most/2 + rand.N(most/2)
}
