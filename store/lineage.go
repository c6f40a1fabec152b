package store

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"certstate"
	"certstate/certificate"
	"certstate/edm"
)

// Records of one lineage (certificate.Lineage) renew each other in the order in
// which their certificates were issued: each is superseded by the next that was
// issued later, and supersedes the last that was issued before it. Those that were
// issued at the same moment are one certificate told of twice, or a pair: they do
// not renew each other, and have the same neighbours. All that is a function of the
// records there are, so it does not matter in which order they came. The
// transaction that makes, moves or removes a record links its neighbours anew, as
// changes of theirs. A lineage is its tenant's, so one part holds all of it.

// unlinked is the lineage of a record that is yet to get its links: another release
// has made it, or a load into an empty register, which has no index to find
// neighbours by (linkAll).
const unlinked = int64(-1)

// linkSet are the properties that a record's lineage gives it, and ownSet all that
// the store changes by itself: nobody else sets them, and nothing follows from
// them.
var (
	linkSet = setOf("supersedes", "supersededBy")
	ownSet  = linkSet | findingsSet
)

// neighbours are the ids of the records before and after one in its lineage, ""
// for none.
type neighbours struct{ before, after string }

// named are the neighbours that a record names.
func named(s *certstate.State) neighbours { return neighbours{s.Supersedes.S, s.SupersededBy.S} }

// give has a record name them.
func (n neighbours) give(s *certstate.State) {
	s.Supersedes, s.SupersededBy = linkTo(n.before), linkTo(n.after)
}

func linkTo(id string) edm.String { return edm.String{S: id, Valid: id != ""} }

// inLineage is the condition on the records of a lineage: without the casts SQLite
// would plan a statement anew each time it runs, as the plan might depend on what is
// bound.
func inLineage(part string) string {
	return "tenant = CAST($1 AS bigint) AND " + part + " = $2 AND lineage = CAST($3 AS bigint) AND lineage <> 0"
}

// neighboursOf finds the neighbours that a record has, or would have, at a place:
// where it was does not count.
func neighboursOf(part string) string {
	side := func(compare, direction string) string {
		return "coalesce((SELECT id FROM state WHERE " + inLineage(part) + " AND not_before " + compare + " $4 AND id <> $5 ORDER BY not_before " + direction + ", id " + direction + " LIMIT 1), '')"
	}
	return "SELECT " + side("<", "DESC") + ", " + side(">", "ASC")
}

// besideOf are the records issued last before a moment, and first after it: those
// whose links may depend on a record issued then. There may be several of either.
func besideOf(part string) string {
	issued := func(which, compare string) string {
		return "(SELECT " + which + "(not_before) FROM state WHERE " + inLineage(part) + " AND not_before " + compare + " $4)"
	}
	return inLineage(part) + " AND not_before IN (" + issued("max", "<") + ", " + issued("min", ">") + ")"
}

// besideMost is how many of them are linked at once. More are linked later.
const besideMost = 100

// askNeighbours finds the neighbours of a record. They are known once a statement
// after it has told something.
func (tx *tx) askNeighbours(t Tenant, lineage int64, s *certstate.State, to *neighbours) error {
	if lineage <= 0 || tx.w.store.fresh.Load() != nil {
		return nil
	}
	err := tx.ask(neighboursOf(tx.w.store.partColumn()), []any{t.no, t.part(), lineage, s.NotBefore.Ticks, s.ID.S}, &to.before, &to.after)
	if err != nil {
		return fmt.Errorf("find the neighbours of a record: %w", err)
	}
	return nil
}

// lineageOfNew is the lineage that a record begins with. While an empty register is
// filled, the first of a lineage has no neighbours, and the others get theirs later.
func (tx *tx) lineageOfNew(h *head, s *certstate.State) int64 {
	lineage := certificate.Lineage(s)
	if f := tx.w.store.fresh.Load(); f != nil && lineage != 0 && !f.first(h, lineage) {
		return unlinked
	}
	return lineage
}

// linkNew links a record that was just made with its neighbours, if it has some; it
// stays the version it is.
func (tx *tx) linkNew(t Tenant, k, lineage int64, s *certstate.State, n neighbours) error {
	if n == (neighbours{}) {
		return nil
	}
	n.give(s)
	args := append(make([]any, 0, 48), t.no, t.part(), s.ID.S)
	if err := tx.later(updateState, appendRow(args, k, s, tx.watch(s, lineage))...); err != nil {
		return fmt.Errorf("link state: %w", err)
	}
	return nil
}

// move gives a record that is about to change the lineage and the neighbours that
// it will have, if they are others. stated are the properties that were given.
func (tx *tx) move(t Tenant, old *stored, s *certstate.State, stated certstate.Set) (lineage int64, moves bool, err error) {
	if old.lineage != unlinked && stated&(certificate.LineageProperties|certificateSet) == 0 {
		return old.lineage, false, nil
	}
	lineage = certificate.Lineage(s)
	if lineage == old.lineage && s.NotBefore.Ticks == old.NotBefore.Ticks {
		return lineage, false, nil
	}
	if tx.w.store.fresh.Load() != nil {
		neighbours{}.give(s)
		return unlinked, true, nil
	}
	return lineage, true, tx.place(t, lineage, s)
}

// place gives a record the neighbours that it has in a lineage.
func (tx *tx) place(t Tenant, lineage int64, s *certstate.State) error {
	var n neighbours
	if err := tx.askNeighbours(t, lineage, s, &n); err != nil {
		return err
	}
	if err := tx.sendWaiting(); err != nil {
		return fmt.Errorf("find the neighbours of a record: %w", err)
	}
	n.give(s)
	return nil
}

// relink has the records beside a place, where a record has come or gone, name the
// neighbours that they have now.
func (tx *tx) relink(t Tenant, lineage, issued int64, by certstate.Cause) error {
	if lineage <= 0 || tx.w.store.fresh.Load() != nil {
		return nil
	}
	beside, args := besideOf(tx.w.store.partColumn()), []any{t.no, t.part(), lineage, issued}
	ids, err := tx.texts("SELECT id FROM state WHERE tenant = CAST($1 AS bigint) AND "+beside+" ORDER BY id LIMIT $5", append(args, besideMost+1)...)
	if err != nil {
		return fmt.Errorf("find the records beside a record: %w", err)
	}
	if len(ids) > besideMost {
		return tx.later("UPDATE state SET lineage = -1 WHERE tenant = CAST($1 AS bigint) AND "+beside, args...)
	}
	for _, id := range ids {
		if err := tx.link(t, id, by); err != nil {
			return err
		}
	}
	return nil
}

// relinkMoved links those that are beside where a record was, and where it is.
func (tx *tx) relinkMoved(t Tenant, old *stored, s *certstate.State, lineage int64, by certstate.Cause) error {
	if err := tx.relink(t, old.lineage, old.NotBefore.Ticks, by); err != nil {
		return err
	}
	return tx.relink(t, lineage, s.NotBefore.Ticks, by)
}

// link has a record name the neighbours that it has, which is a change of it.
func (tx *tx) link(t Tenant, id string, by certstate.Cause) error {
	old, err := tx.find(t, id, nil)
	if err != nil {
		return err
	}
	st := old.State
	if err := tx.place(t, old.lineage, &st); err != nil {
		return err
	}
	was, is := named(&old.State), named(&st)
	var changes []string
	for _, c := range []struct{ what, was, is string }{{"supersedes ", was.before, is.before}, {"superseded by ", was.after, is.after}} {
		if c.was != c.is {
			changes = append(changes, c.what+cmp.Or(c.is, "none"))
		}
	}
	if changes == nil {
		return nil
	}
	if tx.linked == nil {
		tx.linked = map[linked]bool{}
	}
	tx.linked[linked{t.part(), id}] = true
	_, err = tx.change(t, id, &st, linkSet, nil, certstate.Cause{Actor: by.Actor, Reason: "lineage: " + strings.Join(changes, ", ")})
	return err
}

const unlinkedOnes = "SELECT id FROM state WHERE tenant = $1 AND %s = $2 AND lineage = -1 AND lineage <> 0 LIMIT $3"

// linkAll gives all records that are yet to get their links theirs.
func (s *Store) linkAll(ctx context.Context, tenants []Tenant) error {
	some, done := fmt.Sprintf(unlinkedOnes, s.partColumn()), 0
	for _, t := range tenants {
		for n := visitBatch; n == visitBatch; {
			err := s.inBatch(ctx, t, some, []any{t.no, t.part()}, func(tx *tx, ids []string) error {
				n = len(ids)
				return tx.linkEach(t, ids)
			})
			if err != nil {
				return fmt.Errorf("link records: %w", err)
			}
			if done += n; done > 0 && (done%100_000 < n || n < visitBatch) {
				s.log.Info("records of a lineage are being linked", "tenant", t.ID, "looked at", done)
			}
		}
	}
	return nil
}

// linkEach links records that have no links yet.
func (tx *tx) linkEach(t Tenant, ids []string) error {
	for _, id := range ids {
		old, err := tx.find(t, id, nil)
		if err != nil {
			return err
		}
		st := old.State
		lineage := certificate.Lineage(&st)
		if err := tx.place(t, lineage, &st); err != nil {
			return err
		}
		if err := tx.note(t, id, upkeepOf(&old.State)); err != nil {
			return err
		}
		if _, err := tx.change(t, id, &st, linkSet, nil, certstate.Cause{Actor: registerItself.Actor, Reason: "lineage: found"}); err != nil {
			return err
		}
		if err := tx.relink(t, lineage, st.NotBefore.Ticks, registerItself); err != nil {
			return err
		}
	}
	return nil
}

// note keeps what is known of a record beside what it says.
func (tx *tx) note(t Tenant, id string, u upkeep) error {
	return tx.later("UPDATE state SET lineage = $4, revisit = $5 WHERE tenant = $1 AND "+byID, t.no, t.part(), id, u.lineage, u.revisit)
}

// linked is a record whose links the transaction has changed.
type linked struct {
	part int64
	id   string
}
