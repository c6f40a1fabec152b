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
	Report            // as Merge, and it is known by certificate and device, as Register says
)

// Entry is a record to bring in.
type Entry struct {
	Registration
	Way Way
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
	wrong := make([]error, len(list))
	for i := range list {
		wrong[i] = list[i].ready()
	}
	outcomes, faults = make([]Outcome, len(list)), make([]error, len(list))
	err = s.doIn(ctx, t, func(tx *tx) error {
		copy(faults, wrong)
		clear(outcomes)
		for i := range list {
			if wrong[i] != nil {
				continue
			}
			outcomes[i], faults[i] = tx.bring(t, &list[i], by)
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

// ready does what needs no database.
func (e *Entry) ready() error {
	if e.Way == Report {
		return e.prepare()
	}
	return ready(&e.State)
}

func (tx *tx) bring(t Tenant, e *Entry, by certstate.Cause) (Outcome, error) {
	h, err := tx.head(t)
	if err != nil {
		return LeftOut, err
	}
	changes, live := h.n, h.live
	if e.Way == Report {
		_, err = tx.register(t, e.Registration, by)
	} else {
		err = tx.add(t, e, by)
	}
	switch {
	case err != nil:
		return LeftOut, err
	case h.n == changes:
		return Present, nil
	case h.live > live:
		return Created, nil
	}
	return Updated, nil
}

// add creates a record, unless one is there that says the same or is to take what
// is brought.
func (tx *tx) add(t Tenant, e *Entry, by certstate.Cause) error {
	st := e.State
	err := tx.create(t, &st, by)
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
