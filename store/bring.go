package store

import (
	"context"
	"errors"
	"strings"

	"certstate"
)

// Way says what becomes of a record that is brought in and is there already.
type Way int

const (
	Add    Way = iota // it stays; if it says otherwise, that is a fault
	Merge             // it takes what is brought
	Report            // as Merge, of a certificate, as Register says
)

// Entry is a record to bring in. One to be merged whose Set has no id is known by
// its certificate and device, and has its id only if they are not known.
type Entry struct {
	Registration
	Way Way

	prepared bool
	keys     keys
	fault    error // why it cannot be brought in
}

// Prepare does what needs no database. Bring does it for entries for which it was
// not done; entries can be prepared beside each other.
func (e *Entry) Prepare() {
	if e.prepared {
		return
	}
	e.prepared = true
	if e.Way == Report {
		e.fault = e.prepare()
	} else {
		e.fault = ready(&e.State, e.Facts)
	}
	if e.asks() {
		e.keys = keysOf(&e.State)
	}
}

// Outcome is what became of an Entry.
type Outcome int

const (
	LeftOut Outcome = iota
	Created
	Updated
	Present // all of it was there
)

// errDry has a transaction undone that was only to be tried.
var errDry = errors.New("tried only")

// Bring brings many records in, in one transaction. What cannot be brought is left
// out: faults[i] says why list[i] was, and is nil for the others. An error means
// that nothing was done. With dry nothing is done either: outcomes and faults are
// what they would have been.
func (s *Store) Bring(ctx context.Context, t Tenant, list []Entry, dry bool, by certstate.Cause) (outcomes []Outcome, faults []error, err error) {
	for i := range list {
		list[i].Prepare()
	}
	outcomes, faults = make([]Outcome, len(list)), make([]error, len(list))
	err = s.doIn(ctx, t, func(tx *tx) error {
		clear(outcomes)
		h, err := tx.head(t)
		if err != nil {
			return err
		}
		known, err := tx.mayKnow(t, h, list)
		if err != nil {
			return err
		}
		for i := range list {
			if faults[i] = list[i].fault; faults[i] != nil {
				continue
			}
			outcomes[i], faults[i] = tx.bring(t, h, &list[i], known, by)
			if faults[i] != nil && !isClientError(faults[i]) {
				return faults[i]
			}
		}
		if dry {
			return errDry
		}
		return nil
	})
	if errors.Is(err, errDry) {
		err = nil
	}
	return outcomes, faults, err
}

func (tx *tx) bring(t Tenant, h *head, e *Entry, known *known, by certstate.Cause) (Outcome, error) {
	may, err := known.may(e)
	if err != nil {
		return LeftOut, err
	}
	changes, live := h.n, h.live
	if e.Way == Report {
		_, err = tx.register(t, &e.Registration, may, by)
	} else {
		err = tx.add(t, e, may, by)
	}
	if err != nil {
		return LeftOut, err
	}
	known.brought(e)
	switch {
	case h.n == changes:
		return Present, nil
	case h.live > live:
		return Created, nil
	}
	return Updated, nil
}

// add creates a record, unless one is there that says the same or is to take what
// is brought. known tells that there may be records of its certificate.
func (tx *tx) add(t Tenant, e *Entry, known bool, by certstate.Cause) error {
	st := e.State
	if known && e.byName() {
		old, err := tx.recognize(t, &e.State)
		if err != nil {
			return err
		}
		if old != nil {
			_, err = tx.update(t, old.ID.S, &st, e.Set&^certstate.KeySet, nil, by)
			return err
		}
	}
	create := tx.insert
	if known {
		create = tx.create
	}
	err := create(t, &st, by)
	if certstate.ErrorCode(err) != certstate.Conflict {
		return err
	}
	if err = tx.differs(t, e); err != nil && e.Way == Merge {
		_, err = tx.update(t, st.ID.S, &st, e.Set&^certstate.KeySet, nil, by)
	}
	return err
}

// differs is nil if a record that is there says all that an entry says, else
// names the properties in which it does not.
func (tx *tx) differs(t Tenant, e *Entry) error {
	old, err := tx.find(t, e.State.ID.S, nil)
	if err != nil {
		return err
	}
	var names []string
	for i := range certstate.Properties {
		p := &certstate.Properties[i]
		if e.Set.Has(i) && !p.Is(certstate.Computed) && p.Field(&old.State).Assign(p.Field(&e.State)) {
			names = append(names, p.Name)
		}
	}
	if names == nil {
		return nil
	}
	return certstate.Errorf(certstate.Conflict, "id", "A certificate state with id '%s' already exists, with another %s.", e.State.ID.S, strings.Join(names, ", "))
}
