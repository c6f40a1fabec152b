package store

import (
	"context"
	"errors"
	"fmt"

	"certstate"
	"certstate/certificate"
	"certstate/odata"
)

// Registration is a certificate on a device, as a source reports it.
type Registration struct {
	State certstate.State
	Set   certstate.Set      // the properties of State that the source reports
	Facts *certificate.Facts // what certificate.Parse read of State's certificate; nil: it is read
}

// Register has each certificate on each device be one record, however often it
// is reported: a report of one that there is updates it, any other makes one. A
// certificate is known by its SHA-256, or by what a record without one tells of it
// (known.go); a device by deviceId or, where one of two has none, by its display
// name. It returns the records, in the order of the list; an error means that
// nothing was done, and names the place in the list.
func (s *Store) Register(ctx context.Context, t Tenant, list []Registration, by certstate.Cause) ([]certstate.State, error) {
	for i := range list {
		if err := list[i].prepare(); err != nil {
			return nil, odata.AtState(i, err)
		}
	}
	out := make([]certstate.State, len(list))
	err := s.doIn(ctx, t, func(tx *tx) error {
		for i := range list {
			st, err := tx.register(t, &list[i], true, by)
			if err != nil && isClientError(err) {
				return undone{odata.AtState(i, err)} // with those before it
			}
			if err != nil {
				return err
			}
			out[i] = *st
		}
		return tx.reread(t, out)
	})
	if undo, ok := errors.AsType[undone](err); ok {
		return nil, undo.why
	}
	return out, err
}

// reread reads the records anew that have got neighbours in the transaction since
// they were made.
func (tx *tx) reread(t Tenant, list []certstate.State) error {
	for i := range list {
		if !tx.linked[linked{t.part(), list[i].ID.S}] {
			continue
		}
		now, err := tx.find(t, list[i].ID.S, nil)
		if err != nil {
			return err
		}
		list[i] = now.State
	}
	return nil
}

// prepare does what needs no database.
func (r *Registration) prepare() error {
	if !r.State.Certificate.Valid {
		return certstate.Errorf(certstate.Invalid, "certificate", "There is no certificate: give one, or create the record without registering.")
	}
	return ready(&r.State, r.Facts)
}

// register has a certificate on a device be one record. known tells that there may
// be records of it.
func (tx *tx) register(t Tenant, r *Registration, known bool, by certstate.Cause) (*certstate.State, error) {
	if _, err := tx.head(t); err != nil { // nobody else registers it meanwhile
		return nil, err
	}
	st := r.State
	if !known { // as nearly all: nobody need be asked
		return &st, tx.insert(t, &st, by)
	}
	old, err := tx.recognize(t, &r.State)
	switch {
	case err != nil:
		return nil, err
	case old == nil:
		return &st, tx.create(t, &st, by)
	case r.Set.Has(0) && old.ID != r.State.ID:
		return nil, certstate.Errorf(certstate.Conflict, "id", "The certificate is registered for this device already, with the id '%s'.", old.ID.S)
	}
	set := r.Set | certificateSet
	if !old.Certificate.Valid { // what it told of this certificate stays, to be compared with it
		kept := statedOf(old) &^ set
		certstate.Assign(&st, old, kept)
		set |= kept
	}
	return tx.update(t, old.ID.S, &st, set&^certstate.KeySet, nil, by)
}

// statedOf are the properties of a certificate that a record states.
func statedOf(s *certstate.State) (set certstate.Set) {
	for i := range certstate.Properties {
		if certificate.Properties.Has(i) && !certificate.Unstated(certstate.Properties[i].Field(s)) {
			set |= 1 << i
		}
	}
	return set
}

// sameDevice reports whether two records are of one device.
func sameDevice(a, b *certstate.State) bool {
	if a.DeviceID.Valid && b.DeviceID.Valid {
		return a.DeviceID == b.DeviceID
	}
	return a.DeviceName == b.DeviceName
}

// maxHolders bounds how many records of one certificate are looked at.
const maxHolders = 1000

// holders reads the records with a SHA-256, but for their certificates.
func (tx *tx) holders(t Tenant, sha256 string) (list []certstate.State, err error) {
	if sha256 == "" {
		return nil, nil
	}
	rows, err := tx.rows(holdersOf(tx.w.store.partColumn()), t.no, sha256, maxHolders, t.part())
	if err != nil {
		return nil, fmt.Errorf("read the records of a certificate: %w", err)
	}
	defer rows.Close()
	sc := newScanner(certstate.InRow)
	for rows.Next() {
		if err := sc.scan(rows); err != nil {
			return nil, err
		}
		list = append(list, sc.state)
	}
	return list, rows.Err()
}

var holdersOf = perPart(func(part string) string {
	return selectState(certstate.InRow, part+" = $4 AND thumbprint_sha256_hex = $2 AND thumbprint_sha256_hex <> '' LIMIT $3")
})

// deviceSet are the properties that tell devices apart.
var deviceSet = setOf("deviceId", "managedDeviceDisplayName")

func setOf(names ...string) (set certstate.Set) {
	for _, name := range names {
		i, ok := certstate.Lookup(name)
		if !ok {
			panic("store: there is no property " + name)
		}
		set |= 1 << i
	}
	return set
}

// findShared adds to a record's findings whether another device has its
// certificate too. changed are the properties that may have made a difference.
func (tx *tx) findShared(t Tenant, s *certstate.State, changed certstate.Set) error {
	if changed&(certificateSet|certificate.Properties|deviceSet) == 0 || !s.Certificate.Valid {
		return nil
	}
	holders, err := tx.holders(t, s.ThumbprintSHA256.S)
	if err != nil {
		return err
	}
	s.Findings &^= certstate.SharedCertificate
	for i := range holders {
		if h := &holders[i]; h.ID != s.ID && h.Certificate.Valid && !sameDevice(h, s) {
			s.Findings |= certstate.SharedCertificate
		}
	}
	return nil
}

// settleShared has the records of a certificate, one of which has changed, agree
// on whether several devices have it.
func (tx *tx) settleShared(t Tenant, sha256 string, by certstate.Cause) error {
	holders, err := tx.holders(t, sha256)
	if err != nil {
		return err
	}
	for i := range holders {
		was := holders[i]
		var want certstate.Findings
		for j := range holders {
			if holders[j].Certificate.Valid && was.Certificate.Valid && !sameDevice(&was, &holders[j]) {
				want = certstate.SharedCertificate
			}
		}
		if was.Findings&certstate.SharedCertificate == want {
			continue
		}
		patch := certstate.State{Findings: was.Findings&^certstate.SharedCertificate | want}
		if _, err := tx.change(t, was.ID.S, &patch, findingsSet, nil, by); err != nil {
			return err
		}
	}
	return nil
}

var findingsSet = setOf("certificateFindings")

// settleHolders settles the records of the certificates that a record had, or has.
func (tx *tx) settleHolders(t Tenant, by certstate.Cause, versions ...*certstate.State) error {
	last := ""
	for _, s := range versions {
		if sha256 := s.ThumbprintSHA256.S; s.Certificate.Valid && sha256 != last {
			if err := tx.settleShared(t, sha256, by); err != nil {
				return err
			}
			last = sha256
		}
	}
	return nil
}
