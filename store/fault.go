package store

import (
	"errors"
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
}

var (
	faultBusy      = &fault{code: certstate.Unavailable, message: "Another program is holding the database. Try again."}
	faultFull      = &fault{code: certstate.Full, message: "The register's disk is full. Nothing was changed."}
	faultReadOnly  = &fault{code: certstate.Unavailable, message: "The register's database is read-only. Nothing was changed."}
	faultDamaged   = &fault{code: certstate.Unavailable, message: "The register's disk failed. Whether this change was kept is unknown.", ends: true}
	faultBroken    = &fault{code: certstate.Unavailable, message: "The register's database reports a damaged disk. Nothing was changed."}
	faultContended = &fault{code: certstate.Unavailable, message: "Too many changes meet in the register's database. Try again.", again: true}
	faultLost      = &fault{code: certstate.Unavailable, message: "The register's database cannot be reached. Try again.", again: true, lost: true}
	faultStandby   = &fault{code: certstate.Unavailable, message: "The register's database is a standby, which takes no changes. Try again.", again: true, lost: true}
	faultUnknown   = &fault{code: certstate.Unavailable, message: "The connection to the register's database broke while the change was being kept. Whether it was is unknown: read before trying again.", lost: true}
	faultSlow      = &fault{code: certstate.Invalid, message: errTooSlow.Error()}
	faultUnwritten = &fault{code: certstate.Invalid, message: "The request has a character that the register cannot hold, such as U+0000."}
)

// Judge turns an error that a read met into what a client may know of it. Other
// errors, and those of a damaged file, stay as they are.
func (s *Store) Judge(err error) error {
	if f := s.d.fault(err); f != nil && !f.ends && !isClientError(err) {
		return f.of(err)
	}
	return err
}

// of is the fault as a client may read it, with its cause for the log.
func (f *fault) of(cause error) error {
	return errors.Join(certstate.Errorf(f.code, "", "%s", f.message), cause)
}

// errUnknown is a commit whose outcome could not be found out.
var errUnknown = errors.New("the outcome of a commit is unknown")

// writeTries is how often a transaction is tried, within about a second.
const writeTries = 8

// pause is how long to wait before the next try, with jitter so that those who
// met do not meet again.
func pause(try int) time.Duration {
	most := min(10*time.Millisecond<<min(try, 10), 500*time.Millisecond)
	return most/2 + rand.N(most/2)
}
