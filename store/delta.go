package store

import (
	"context"
	"encoding/binary"
	"strings"
	"sync"

	"certstate"
	"certstate/edm"
	"certstate/odata"
)

// Mark is a place in a tenant's log. The time makes it known again: in a
// database restored from a backup another change may have its number.
type Mark struct {
	N  int64 // of a change, 0 for the log's beginning
	At int64 // its time, in ticks
}

// Round is one pass of a client that follows the register, and where in it a
// page begins. It tells what the register became up to a change that is fixed
// when the round begins: so it ends, however much is written beside it, a
// client that has told it all holds the register exactly as it was then, and
// the same link always gives the same answer.
type Round struct {
	From int64 // what this change and those before it did is not told; -1: nothing has been told
	Head Mark  // the change it tells up to
	Last int64 // of the page before: the last record's key (From is -1), or the last change's number
}

// Bytes is the mark in the form that ParseMark reads.
func (m Mark) Bytes() []byte { return encode(m) }

// ParseMark reads what Bytes wrote.
func ParseMark(b []byte) (m Mark, err error) {
	_, err = binary.Decode(b, binary.BigEndian, &m)
	return m, err
}

// Bytes is the round in the form that ParseRound reads.
func (r Round) Bytes() []byte { return encode(r) }

// ParseRound reads what Bytes wrote.
func ParseRound(b []byte) (r Round, err error) {
	_, err = binary.Decode(b, binary.BigEndian, &r)
	return r, err
}

func encode(fixedSize any) []byte {
	b, err := binary.Append(nil, binary.BigEndian, fixedSize)
	if err != nil {
		panic(err) // of integers alone
	}
	return b
}

// FirstRound is a round that tells every record there is.
func (s *Store) FirstRound(ctx context.Context, t Tenant) (Round, error) {
	l, err := s.logState(ctx, t)
	return Round{From: -1, Head: Mark{l.n, l.at}}, err
}

// EmptyRound is a round that tells nothing: for a client that wants to hear
// only of what is yet to come.
func (s *Store) EmptyRound(ctx context.Context, t Tenant) (Round, error) {
	r, err := s.FirstRound(ctx, t)
	r.From, r.Last = r.Head.N, r.Head.N
	return r, err
}

// NextRound is the round after the one that ended at a mark. It fails with Gone
// if what came after is no longer kept.
func (s *Store) NextRound(ctx context.Context, t Tenant, since Mark) (Round, error) {
	l, err := s.logStateWith(ctx, t, since.N)
	if err != nil {
		return Round{}, err
	}
	return Round{From: since.N, Head: Mark{l.n, l.at}, Last: since.N}, l.kept(since, since.N)
}

// kept fails with Gone unless the log has the mark, for which it was asked, and all
// that came after change n.
func (l logState) kept(m Mark, n int64) error {
	at := l.at
	switch {
	case n < l.floor:
		return certstate.Errorf(certstate.Gone, "", "The changes since this link was made are no longer kept. Start again without a token.")
	case m.N == l.floor:
		at = l.floorAt
	case m.N < l.n:
		at = l.asked
	}
	if m.N > l.n || at != m.At {
		return certstate.Errorf(certstate.Gone, "", "The register was restored from a backup that is older than this link. Start again without a token.")
	}
	return nil
}

// Told is what a round says of one record: what it is, or that it is gone.
type Told struct {
	ID     string
	State  *certstate.State // nil: gone; reused
	Reason string           // why it is gone: deleted, or changed so that the filter does not hold
}

// maxScan bounds how many records or changes a page looks through.
const maxScan = 10_000

// Delta calls fn for what a page of the round tells, at most limit records, and
// says where the next page begins; a page may tell nothing and not be the last.
// A record is told once a round. fn gets the properties that the query selects.
func (s *Store) Delta(ctx context.Context, t Tenant, q *odata.Query, r Round, limit int, fn func(Told) error) (next Round, more bool, err error) {
	ctx, end := s.elsewhere(ctx, t, &r.Head)
	defer end()
	if r.From < 0 {
		next, more, err = s.everything(ctx, t, q, r, limit, fn)
	} else {
		next, more, err = s.changed(ctx, t, q, r, limit, fn)
	}
	if err != nil {
		return next, more, err
	}
	// Asked last: what was pruned while the page was read is missing in it.
	l, err := s.logStateWith(ctx, t, r.Head.N)
	if err != nil {
		return next, more, err
	}
	oldest := r.From
	if r.From < 0 {
		oldest = r.Head.N
	}
	return next, more, l.kept(r.Head, oldest)
}

// everything is a page of the records there were at the round's head.
func (s *Store) everything(ctx context.Context, t Tenant, q *odata.Query, r Round, limit int, fn func(Told) error) (Round, bool, error) {
	st, err := s.queries.get(s.read, query{rest: s.deltaPage(deltaSet(q))})
	if err != nil {
		return r, false, err
	}
	rows, err := st.QueryContext(context.WithoutCancel(ctx), t.no, r.Last, maxScan+1, r.Head.N, t.part())
	if err != nil {
		return r, false, err
	}
	defer rows.Close()
	sc := newScanner(deltaSet(q))
	for scanned, told := 0, 0; rows.Next(); scanned++ {
		if scanned == maxScan || told == limit {
			return r, true, nil
		}
		if err := sc.scan(rows); err != nil {
			return r, false, err
		}
		r.Last = sc.k
		if !q.Matches(&sc.state, edm.DateTimeOffset{}) {
			continue
		}
		told++
		if err := fn(Told{ID: sc.state.ID.S, State: &sc.state}); err != nil {
			return r, false, err
		}
	}
	return r, false, rows.Err()
}

// deltaSet are the properties to read: those to write, and all if there is a
// filter, which may ask for any.
func deltaSet(q *odata.Query) certstate.Set {
	if q.Filter != nil {
		return certstate.InRow | q.Select
	}
	return q.Select | certstate.KeySet
}

func (s *Store) deltaPage(set certstate.Set) string {
	return selectFrom(set, pastSource("$4"), s.partColumn()+" = $5 AND k > $2 ORDER BY k LIMIT $3")
}

// changed is a page of the records that changed after r.Last.
func (s *Store) changed(ctx context.Context, t Tenant, q *odata.Query, r Round, limit int, fn func(Told) error) (Round, bool, error) {
	buffer := madeBuffers.Get().(*madeBuffer)
	defer madeBuffers.Put(buffer)
	told := 0
	for scanned := 0; scanned < maxScan && r.Last < r.Head.N; scanned += ahead {
		first, to := r.Last+1, min(r.Last+ahead, r.Head.N)
		made := buffer[:to-r.Last]
		n, err := s.made(ctx, t, q, first, made)
		if err != nil {
			return r, false, err
		}
		changes := []touch(nil) // all of the range, unless each made one of the records
		if n < len(made) {
			if changes, err = s.touched(ctx, t, r.Last, to); err != nil {
				return r, false, err
			}
		}
		for r.Last < to {
			c := touch{n: r.Last + 1}
			if changes != nil {
				c = changes[c.n-first]
			}
			var st *certstate.State
			if is := &made[c.n-first]; is.Version == c.n {
				st, c.id = is, is.ID.S
			}
			what, err := s.toldOf(ctx, t, q, r, c, st)
			switch {
			case err != nil:
				return r, false, err
			case what.ID != "" && told == limit:
				return r, true, nil
			case what.ID != "":
				told++
				if err := fn(what); err != nil {
					return r, false, err
				}
			}
			r.Last = c.n
		}
	}
	return r, r.Last < r.Head.N, nil
}

// toldOf is what the round says at a change: nothing if the record changes
// again within it. st is the record if it is as the change made it.
func (s *Store) toldOf(ctx context.Context, t Tenant, q *odata.Query, r Round, c touch, st *certstate.State) (Told, error) {
	if st == nil {
		if again, err := s.again(ctx, t, r, c); err != nil || again {
			return Told{}, err
		}
	}
	return s.tell(ctx, t, q, r, c.id, st)
}

// touch is a change as delta sees it.
type touch struct {
	n  int64
	id string
}

// touched reads the changes after one up to another.
func (s *Store) touched(ctx context.Context, t Tenant, after, to int64) (list []touch, err error) {
	st, err := s.queries.get(s.read, query{rest: "SELECT n, id FROM change WHERE tenant = $1 AND part = $2 AND n > $3 AND n <= $4 ORDER BY n"})
	if err != nil {
		return nil, err
	}
	rows, err := st.QueryContext(context.WithoutCancel(ctx), t.no, t.part(), after, to)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c touch
		if err := rows.Scan(edm.Int64Column(&c.n), &c.id); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if int64(len(list)) != to-after { // pruned this moment
		return nil, certstate.Errorf(certstate.Gone, "", "The changes since this link was made are no longer kept. Start again without a token.")
	}
	return list, nil
}

// ahead is how many changes are looked at together.
const ahead = 100

// madeBy ends a statement over the records that changes of a range made and
// that are so still. The plus keeps SQLite from looking at all of the tenant's.
const madeBy = " FROM (SELECT n, id AS made FROM change WHERE tenant = $1 AND part = $2 AND n >= $3 AND n <= $4) AS c " +
	"JOIN state ON +tenant = $1 AND part = $2 AND id = made AND ver = n"

// madeBuffer holds what made reads: of the room that a page needs, most.
type madeBuffer [ahead]certstate.State

var madeBuffers = sync.Pool{New: func() any { return new(madeBuffer) }}

// made reads the records that are as one of the changes from a number on made them,
// which are most, each into the place of its change. It says how many there are; the
// other places have no version.
func (s *Store) made(ctx context.Context, t Tenant, q *odata.Query, from int64, into []certstate.State) (n int, err error) {
	for i := range into {
		into[i].Version = 0
	}
	st, err := s.queries.get(s.read, query{rest: "SELECT k, ver, absent, " + columnList(deltaSet(q)) + madeBy})
	if err != nil {
		return 0, err
	}
	rows, err := st.QueryContext(context.WithoutCancel(ctx), t.no, t.part(), from, from+int64(len(into))-1)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	sc := scannerOf(deltaSet(q))
	defer sc.release()
	for ; rows.Next(); n++ {
		if err := sc.scan(rows); err != nil {
			return n, err
		}
		into[sc.state.Version-from] = sc.state
	}
	return n, rows.Err()
}

// changesAgain is 1 if a record changes after change $4 and up to $5. Like
// history, it finds a record's changes by the versions they made or ended.
const changesAgain = "SELECT EXISTS (SELECT 1 FROM past p WHERE p.tenant = $1 AND p.part = $2 AND p.id = $3 AND p.n > $4 AND (p.n <= $5 OR p.ver > $4 AND p.ver <= $5)) OR " +
	"EXISTS (SELECT 1 FROM state s WHERE s.tenant = $1 AND s.part = $2 AND s.id = $3 AND s.ver > $4 AND s.ver <= $5)"

// again reports whether the record changes again within the round.
func (s *Store) again(ctx context.Context, t Tenant, r Round, c touch) (yes bool, err error) {
	st, err := s.queries.get(s.read, query{rest: changesAgain})
	if err != nil {
		return false, err
	}
	err = st.QueryRowContext(context.WithoutCancel(ctx), t.no, t.part(), c.id, c.n, r.Head.N).Scan(&yes)
	return yes, err
}

// tell is what the round says of a record that changed in it, without an id for nothing.
// st is the record at the round's head if that is known.
func (s *Store) tell(ctx context.Context, t Tenant, q *odata.Query, r Round, id string, st *certstate.State) (_ Told, err error) {
	if st == nil {
		st, err = s.GetAsOf(ctx, t, id, deltaSet(q), r.Head.N)
	}
	gone := certstate.ErrorCode(err) == certstate.NotFound
	switch {
	case err != nil && !gone:
		return Told{}, err
	case gone && q.Filter == nil:
		return Told{ID: id, Reason: "deleted"}, nil
	case !gone && q.Matches(st, edm.DateTimeOffset{}):
		return Told{ID: id, State: st}, nil
	}
	if matched, err := s.matched(ctx, t, q, r, id); err != nil || !matched {
		return Told{}, err
	}
	if gone {
		return Told{ID: id, Reason: "deleted"}, nil
	}
	return Told{ID: id, Reason: "changed"}, nil
}

// versionsSince reads the versions of a record that ended within a round. The
// plus keeps SQLite from the index of all the tenant's versions.
var versionsSince = "SELECT k, ver, absent, " + strings.Join(columns(certstate.InRow), ", ") +
	" FROM past AS state WHERE +tenant = $1 AND " + byID + " AND n > $4 AND n <= $5"

// matched reports whether a version of the record that ended within the round
// matches: the client may hold it.
func (s *Store) matched(ctx context.Context, t Tenant, q *odata.Query, r Round, id string) (bool, error) {
	st, err := s.queries.get(s.read, query{rest: versionsSince})
	if err != nil {
		return false, err
	}
	rows, err := st.QueryContext(context.WithoutCancel(ctx), t.no, t.part(), id, r.From, r.Head.N)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	sc := newScanner(certstate.InRow)
	for rows.Next() {
		if err := sc.scan(rows); err != nil {
			return false, err
		}
		if q.Matches(&sc.state, edm.DateTimeOffset{}) {
			return true, nil
		}
	}
	return false, rows.Err()
}
