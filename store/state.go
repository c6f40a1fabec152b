package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"

	"certstate"
	"certstate/certificate"
	"certstate/edm"
)

// columns lists the SQL columns of a set of properties, in table order. A
// property that is kept apart is looked up.
func columns(set certstate.Set) (names []string) {
	for i := range certstate.Properties {
		if !set.Has(i) {
			continue
		}
		p := &certstate.Properties[i]
		if p.Is(certstate.Apart) {
			names = append(names, certificateOf)
			continue
		}
		for _, suffix := range p.Field(&certstate.State{}).Suffixes() {
			names = append(names, p.Column+suffix)
		}
	}
	return names
}

// rowColumns are the columns of a record's row that change with it: ver, absent,
// properties, and what is derived from them.
var rowColumns = slices.Concat([]string{"ver", "absent"}, columns(certstate.InRow), derivedColumns)

// stateColumns lists the columns of state.
var stateColumns = "k, part, tenant, " + strings.Join(rowColumns, ", ")

// columnLists keeps the texts of columnList: there are few sets that are asked for.
var columnLists sync.Map // certstate.Set → string

// columnList is columns as SQL lists them.
func columnList(set certstate.Set) string {
	if list, ok := columnLists.Load(set); ok {
		return list.(string)
	}
	list := strings.Join(columns(set), ", ")
	if set == certstate.All || set == certstate.Defaults { // others are made of what clients select
		columnLists.Store(set, list)
	}
	return list
}

// Statements over a record's columns are made from the table of properties
// once.
var (
	insertState = "INSERT INTO state (" + stateColumns + ") VALUES (" + placeholders(1, 3+len(rowColumns)) + ") ON CONFLICT DO NOTHING"
	updateState = "UPDATE state SET (" + strings.Join(rowColumns, ", ") + ") = (" + placeholders(4, len(rowColumns)) + ") WHERE tenant = $1 AND " + byID
	selectAll   = "SELECT lineage, " + strings.TrimPrefix(selectState(certstate.All, byID), "SELECT ")
	deleteState = "DELETE FROM state WHERE tenant = $1 AND " + byID
	keepState   = "INSERT INTO past (" + stateColumns + ", n) SELECT " + stateColumns + ", CAST($4 AS bigint) FROM state WHERE tenant = $1 AND " + byID
)

func placeholders(from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(from+i))
	}
	return b.String()
}

// selectState reads records of the tenant $1.
func selectState(set certstate.Set, rest string) string {
	return selectFrom(set, "state", rest)
}

// selectFrom reads records of the tenant $1 from a table like state.
func selectFrom(set certstate.Set, source, rest string) string {
	return "SELECT k, ver, absent, " + strings.Join(columns(set), ", ") + " FROM " + source + " WHERE tenant = $1 AND " + rest
}

const byID = "part = $2 AND id = $3"

// appendRow appends the values of every column from ver on, of a record with
// key k.
func appendRow(args []any, k int64, s *certstate.State, u upkeep) []any {
	return appendDerived(appendValues(args, s), k, s, u)
}

// appendValues appends version, absent and properties.
func appendValues(args []any, s *certstate.State) []any {
	var absent int64
	for i := range certstate.Properties {
		if certstate.Properties[i].Field(s).IsNull() {
			absent |= 1 << i
		}
	}
	args = append(args, s.Version, absent)
	for i := range certstate.Properties {
		if certstate.InRow.Has(i) {
			args = certstate.Properties[i].Field(s).AppendSQL(args)
		}
	}
	return args
}

// scanner reads rows of selectState into one State, reused.
type scanner struct {
	set     certstate.Set
	state   certstate.State
	k       int64
	absent  int64
	targets []any
	fields  []field
}

// field is a property's value in the reused State, and its bit of absent.
type field struct {
	edm.Value
	bit int
}

func newScanner(set certstate.Set) *scanner {
	sc := &scanner{set: set}
	sc.targets = make([]any, 0, 32)
	sc.fields = make([]field, 0, len(certstate.Properties))
	sc.targets = append(sc.targets, edm.Int64Column(&sc.k), edm.Int64Column(&sc.state.Version), edm.Int64Column(&sc.absent))
	for i := range certstate.Properties {
		f := field{certstate.Properties[i].Field(&sc.state), i}
		if set.Has(i) {
			sc.targets = f.AppendScan(sc.targets)
		}
		if set.Has(i) || !certstate.InRow.Has(i) { // whether there is one is known without reading it
			sc.fields = append(sc.fields, f)
		}
	}
	return sc
}

// scanners keeps the scanners of the set that nearly all reads ask for.
var scanners = sync.Pool{New: func() any { return newScanner(certstate.Defaults) }}

func scannerOf(set certstate.Set) *scanner {
	if set != certstate.Defaults {
		return newScanner(set)
	}
	return scanners.Get().(*scanner)
}

// release gives the scanner back; its State must not be used any more.
func (sc *scanner) release() {
	if sc.set == certstate.Defaults {
		scanners.Put(sc)
	}
}

func (sc *scanner) scan(row rowScanner) error {
	if err := row.Scan(sc.targets...); err != nil {
		return err
	}
	for _, f := range sc.fields {
		f.Scanned(sc.absent>>f.bit&1 != 0)
	}
	return nil
}

func notFound(id string) error {
	return certstate.Errorf(certstate.NotFound, "id", "There is no certificate state with id '%s'.", id)
}

// A bounded read runs without its request's cancellation: the drivers keep a
// goroutine for each statement that can be cancelled, which costs more than
// the statement.

// View gives visit the properties of set of one record, its id and version always;
// the State is not to be kept.
func (s *Store) View(ctx context.Context, t Tenant, id string, set certstate.Set, visit func(*certstate.State) error) error {
	sc := scannerOf(set | certstate.KeySet)
	defer sc.release()
	one, err := s.one(ctx, sc.set, t, id)
	if err != nil {
		return err
	}
	err = sc.scan(one)
	if errors.Is(err, sql.ErrNoRows) {
		return notFound(id)
	}
	if err != nil {
		return err
	}
	return visit(&sc.state)
}

// one is the row of the record.
func (s *Store) one(ctx context.Context, set certstate.Set, t Tenant, id string) (rowScanner, error) {
	if s.points != nil && set == certstate.Defaults {
		return pointRow{s.points, [3]driver.Value{t.no, t.part(), id}}, nil
	}
	st, err := s.queries.get(s.read, query{set, byID})
	if err != nil {
		return nil, err
	}
	return st.QueryRowContext(context.WithoutCancel(ctx), t.no, t.part(), id), nil
}

// Get returns what [Store.View] gives.
func (s *Store) Get(ctx context.Context, t Tenant, id string, set certstate.Set) (*certstate.State, error) {
	var found certstate.State
	err := s.View(ctx, t, id, set, func(st *certstate.State) error { found = *st; return nil })
	if err != nil {
		return nil, err
	}
	return &found, nil
}

// Create adds a record and returns it as stored. Without an id it gets a GUID;
// an id in use is a Conflict, unless the record is what the same request made a
// moment ago (repeat.go).
func (s *Store) Create(ctx context.Context, t Tenant, in certstate.State, by certstate.Cause) (*certstate.State, error) {
	if err := ready(&in, nil); err != nil {
		return nil, err
	}
	err := s.doIn(ctx, t, func(tx *tx) error {
		out, err := tx.once(t, by.Once, func() (*certstate.State, error) { return tx.createOnce(t, &in, by) })
		if err == nil {
			in = *out
		}
		return err
	})
	return &in, err
}

// ready makes of what is given a record that may be created, without asking the
// database: it has an id, is valid, and says what its certificate says. facts are
// those of the certificate, if it has been read already; else nil.
func ready(in *certstate.State, facts *certificate.Facts) error {
	if !in.ID.Valid {
		in.ID = edm.Str(uuid.NewString())
	}
	neighbours{}.give(in)
	if err := in.Validate(); err != nil {
		return err
	}
	return observe(in, certstate.All, facts)
}

func (tx *tx) create(t Tenant, st *certstate.State, by certstate.Cause) error {
	if _, err := tx.head(t); err != nil { // nobody else gives its certificate to a device meanwhile
		return err
	}
	if err := tx.findShared(t, st, certstate.All); err != nil {
		return err
	}
	return tx.insert(t, st, by)
}

// insert creates a record of which it is known whether another device has its
// certificate.
func (tx *tx) insert(t Tenant, st *certstate.State, by certstate.Cause) error {
	h, err := tx.head(t)
	if err != nil {
		return err
	}
	k, err := tx.nextK()
	if err != nil {
		return err
	}
	st.Version = h.n + 1
	st.Created, st.Modified = h.now, h.now
	lineage := tx.lineageOfNew(h, st)
	var around neighbours
	if err := tx.askNeighbours(t, lineage, st, &around); err != nil {
		return err
	}
	args := appendRow(append(make([]any, 0, 48), k, t.part(), t.no), k, st, tx.watch(st, lineage))
	n, err := tx.exec(insertState, args...)
	if err != nil {
		return fmt.Errorf("insert state: %w", err)
	}
	if n == 0 {
		return certstate.Errorf(certstate.Conflict, "id", "A certificate state with id '%s' already exists.", st.ID.S)
	}
	if f := tx.w.store.fresh.Load(); f != nil {
		f.add(st)
	}
	if err := tx.linkNew(t, k, lineage, st, around); err != nil {
		return err
	}
	if err := tx.keepCertificate(t, st); err != nil {
		return err
	}
	if err := tx.addWords(t, k, distinctWords(st)); err != nil {
		return err
	}
	if err := tx.log(h, st.ID.S, certstate.CreatedKind, 1, by); err != nil {
		return err
	}
	if around != (neighbours{}) {
		if err := tx.relink(t, lineage, st.NotBefore.Ticks, by); err != nil {
			return err
		}
	}
	if st.Findings&certstate.SharedCertificate == 0 {
		return nil
	}
	return tx.settleHolders(t, by, st)
}

// Match says which version a conditional write is for; nil is any.
type Match func(version int64) bool

// Update gives the record the values that the properties of set have in the
// patch, and returns it as stored. A patch that changes nothing leaves no trace.
func (s *Store) Update(ctx context.Context, t Tenant, id string, patch *certstate.State, set certstate.Set, match Match, by certstate.Cause) (out *certstate.State, err error) {
	err = s.doIn(ctx, t, func(tx *tx) (err error) {
		out, err = tx.once(t, by.Once, func() (*certstate.State, error) { return tx.update(t, id, patch, set, match, by) })
		return err
	})
	return out, err
}

// update is change, of what others than the store may set.
func (tx *tx) update(t Tenant, id string, patch *certstate.State, set certstate.Set, match Match, by certstate.Cause) (*certstate.State, error) {
	return tx.change(t, id, patch, set&^ownSet, match, by)
}

func (tx *tx) change(t Tenant, id string, patch *certstate.State, set certstate.Set, match Match, by certstate.Cause) (*certstate.State, error) {
	h, err := tx.head(t)
	if err != nil {
		return nil, err
	}
	old, err := tx.find(t, id, match)
	if err != nil {
		return nil, err
	}
	out := old.State
	if !certstate.Assign(&out, patch, set) {
		return &out, nil
	}
	lineage, moves, err := tx.follow(t, old, &out, set)
	if err != nil {
		return nil, err
	}
	out.Version, out.Modified = h.n+1, h.now
	if err := tx.rewrite(t, old, &out, tx.watch(&out, lineage)); err != nil {
		return nil, err
	}
	if err := tx.log(h, id, certstate.UpdatedKind, 0, by); err != nil {
		return nil, err
	}
	if set&linkSet != 0 { // whoever links it links its neighbours
		return &out, nil
	}
	if moves {
		if err := tx.relinkMoved(t, old, &out, lineage, by); err != nil {
			return nil, err
		}
	}
	if set == findingsSet {
		return &out, nil
	}
	return &out, tx.settleHolders(t, by, &old.State, &out)
}

// follow gives a record that changes what follows from what was set, and reports
// its lineage, and whether it has another place there.
func (tx *tx) follow(t Tenant, old *stored, out *certstate.State, set certstate.Set) (lineage int64, moves bool, err error) {
	if err := observe(out, set, nil); err != nil {
		return 0, false, err
	}
	if err := tx.findShared(t, out, set); err != nil {
		return 0, false, err
	}
	if lineage, moves, err = tx.move(t, old, out, set); err != nil {
		return 0, false, err
	}
	return lineage, moves, out.Validate()
}

// rewrite puts a record's new version in the place of the old one, which is kept.
func (tx *tx) rewrite(t Tenant, old *stored, out *certstate.State, u upkeep) error {
	if err := tx.later(keepState, t.no, t.part(), out.ID.S, out.Version); err != nil {
		return fmt.Errorf("keep the version before: %w", err)
	}
	args := append(make([]any, 0, 48), t.no, t.part(), out.ID.S)
	if err := tx.later(updateState, appendRow(args, old.k, out, u)...); err != nil {
		return fmt.Errorf("update state: %w", err)
	}
	if f := tx.w.store.fresh.Load(); f != nil {
		f.add(out)
	}
	if err := tx.keepCertificate(t, out); err != nil {
		return err
	}
	before, after := distinctWords(&old.State), distinctWords(out)
	if err := tx.removeWords(t, old.k, without(before, after)); err != nil {
		return err
	}
	return tx.addWords(t, old.k, without(after, before))
}

// Delete removes a record.
func (s *Store) Delete(ctx context.Context, t Tenant, id string, match Match, by certstate.Cause) error {
	return s.doIn(ctx, t, func(tx *tx) error {
		_, err := tx.once(t, by.Once, func() (*certstate.State, error) { return nil, tx.delete(t, id, match, by) })
		return err
	})
}

func (tx *tx) delete(t Tenant, id string, match Match, by certstate.Cause) error {
	h, err := tx.head(t)
	if err != nil {
		return err
	}
	old, err := tx.find(t, id, match)
	if err != nil {
		return err
	}
	if err := tx.later(keepState, t.no, t.part(), id, h.n+1); err != nil {
		return fmt.Errorf("keep the version before: %w", err)
	}
	if err := tx.later(deleteState, t.no, t.part(), id); err != nil {
		return fmt.Errorf("delete state: %w", err)
	}
	if err := tx.removeWords(t, old.k, distinctWords(&old.State)); err != nil {
		return err
	}
	if err := tx.log(h, id, certstate.DeletedKind, -1, by); err != nil {
		return err
	}
	if err := tx.relink(t, old.lineage, old.NotBefore.Ticks, by); err != nil {
		return err
	}
	return tx.settleHolders(t, by, &old.State)
}

func (tx *tx) find(t Tenant, id string, match Match) (*stored, error) {
	sc := newScanner(certstate.All)
	var lineage int64
	sc.targets = slices.Concat([]any{edm.Int64Column(&lineage)}, sc.targets)
	err := sc.scan(tx.row(selectAll, t.no, t.part(), id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound(id)
	}
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	if match != nil && !match(sc.state.Version) {
		return nil, certstate.Errorf(certstate.Precondition, "If-Match", "The certificate state was changed: read it again and use its new ETag.")
	}
	return &stored{sc.state, t, sc.k, lineage}, nil
}
