package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
)

// model is what must be in the register after writers were disturbed: for each
// id the value last acknowledged, and the write whose outcome nobody was told.
// It holds a register to that: nothing acknowledged is missing, nothing refused
// is there, nothing is there by half or twice, and the log has no gap.
type model struct {
	mu      sync.Mutex
	value   map[string]int // 0: deleted or never there
	pending map[string]int // the value of a write that may have happened
	changes map[string]int // id → acknowledged changes

	acked, refused, unknown int
	kept, repeated          int // of those that nobody was told of
}

func newModel() *model {
	return &model{value: map[string]int{}, pending: map[string]int{}, changes: map[string]int{}}
}

// What is said of a write.
const (
	willWrite    = "will"
	didWrite     = "did"
	notWritten   = "refused" // it did not happen
	maybeWritten = "unknown" // it may have happened
)

// say takes down what is said of the write that gives a record a value.
func (m *model) say(word, id string, value int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch word {
	case willWrite:
		m.pending[id] = value
	case didWrite:
		delete(m.pending, id)
		m.value[id] = value
		m.changes[id]++
		m.acked++
	case notWritten:
		delete(m.pending, id)
		m.refused++
	case maybeWritten:
		m.unknown++
	default:
		panic(word)
	}
}

// count is how many writes were acknowledged.
func (m *model) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.acked
}

func (m *model) String() string {
	return fmt.Sprintf("%d acknowledged, %d refused, %d left unknown; %d kept and %d repeated of those that nobody was told of", m.acked, m.refused, m.unknown, m.kept, m.repeated)
}

// check compares the register with the model, and then takes over what happened
// to the writes that nobody was told of.
func (m *model) check(ctx context.Context, s *store.Store, tn store.Tenant) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := s.Verify(ctx, quietly); err != nil {
		return err
	}
	rows := map[string]int{}
	if _, err := s.List(ctx, tn, &odata.Query{Select: certstate.All}, store.Position{}, 1<<30, func(st *certstate.State) error {
		rows[st.ID.S] = int(st.KeyUsages.N)
		return nil
	}); err != nil {
		return err
	}
	folded, changes, err := foldChanges(ctx, s, tn)
	if err != nil {
		return err
	}
	if live, err := s.Live(ctx, tn); err != nil || live != int64(len(rows)) {
		return fmt.Errorf("the counter says %d, there are %d: %w", live, len(rows), err)
	}
	for id, pending := range m.pending { // whole or absent
		if changes[id] == m.changes[id]+1 {
			m.kept++
			m.changes[id]++
			m.value[id] = pending
		}
		delete(m.pending, id)
	}
	return m.compare(rows, folded, changes)
}

func (m *model) compare(rows map[string]int, folded map[string]bool, changes map[string]int) error {
	for id := range folded {
		if _, known := m.value[id]; !known {
			return fmt.Errorf("%s is there and was never asked for, or refused", id)
		}
	}
	for id, value := range m.value {
		if rows[id] != value || changes[id] != m.changes[id] || folded[id] != (value != 0) {
			return fmt.Errorf("%s has value %d and %d changes, want %d and %d", id, rows[id], changes[id], value, m.changes[id])
		}
	}
	return nil
}

// foldChanges replays the log: which ids are there at its end, and how many
// changes each had. It fails on a gap.
func foldChanges(ctx context.Context, s *store.Store, tn store.Tenant) (there map[string]bool, changes map[string]int, err error) {
	there, changes = map[string]bool{}, map[string]int{}
	next := int64(1)
	err = s.Changes(ctx, tn, 0, 1<<30, func(c *certstate.Change) error {
		if c.Seq != next {
			return fmt.Errorf("change %d follows %d", c.Seq, next-1)
		}
		next++
		if there[c.ID] == (c.Kind == certstate.CreatedKind) {
			return fmt.Errorf("%s of %s makes no sense here", c.Kind, c.ID)
		}
		there[c.ID] = c.Kind != certstate.DeletedKind
		changes[c.ID]++
		return nil
	})
	return there, changes, err
}

// repeat sends the writes again that nobody was told of and that may be sent
// again: then they have happened once.
func (m *model) repeat(ctx context.Context, s *store.Store, tn store.Tenant) error {
	for id, value := range maps.Clone(m.pending) {
		if !repeatable(id) {
			continue
		}
		if err := writeRecord(ctx, s, tn, id, value); err != nil {
			return fmt.Errorf("%s, repeated: %w", id, err)
		}
		m.say(didWrite, id, value)
		m.repeated++
	}
	return nil
}

// writeRecords makes records, updates each twice and deletes every other, until
// the context ends. It says before each write what it will do, and after each
// what it was answered. A record's value counts its changes.
func writeRecords(ctx context.Context, s *store.Store, tn store.Tenant, prefix string, say func(word, id string, value int)) error {
	write := context.WithoutCancel(ctx)
	for i := 0; ctx.Err() == nil; i++ {
		id := fmt.Sprintf("%s-%d", prefix, i)
		values := []int{1, 2, 3, 0}[:3+(i+1)%2]
		for _, value := range values {
			say(willWrite, id, value)
			err := writeRecord(write, s, tn, id, value)
			word, fault := said(err)
			if fault != nil {
				return fault
			}
			say(word, id, value)
			if err != nil {
				break
			}
		}
	}
	return nil
}

// said is what an answer says of a write, or what no fault of the database
// explains.
func said(err error) (word string, fault error) {
	switch {
	case err == nil:
		return didWrite, nil
	case certstate.ErrorCode(err) != certstate.Unavailable:
		return "", err
	case strings.Contains(err.Error(), "Whether it was is unknown"):
		return maybeWritten, nil
	}
	return notWritten, nil
}

// writeRecord gives a record its value: 1 creates it, 0 deletes it. Where requests
// are remembered, the writes of every other writer may be repeated.
func writeRecord(ctx context.Context, s *store.Store, tn store.Tenant, id string, value int) (err error) {
	by := by
	if s.Repeats() > 0 && repeatable(id) {
		by.Once = onceNow(fmt.Sprint(id, " ", value))
	}
	keyUsages, _ := certstate.Lookup("certificateKeyUsages")
	name, _ := certstate.Lookup("managedDeviceDisplayName")
	st := certstate.State{ID: edm.Str(id), DeviceName: edm.Str(fmt.Sprint(value, " ", id)), KeyUsages: edm.Int(int32(value))}
	switch value {
	case 0:
		err = s.Delete(ctx, tn, id, nil, by)
	case 1:
		_, err = s.Create(ctx, tn, st, by)
	default:
		_, err = s.Update(ctx, tn, id, &st, 1<<keyUsages|1<<name, nil, by)
	}
	return err
}

func repeatable(id string) bool {
	var cycle, w, i int
	_, err := fmt.Sscanf(id, "%d-%d-%d", &cycle, &w, &i)
	return err == nil && w%2 == 0
}

// startWriters has writers of each server change records until stop is called,
// which reports what no fault of the database explains.
func startWriters(t *testing.T, m *model, tn store.Tenant, each int, servers ...*store.Store) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	for i, s := range servers {
		for w := range each {
			go func() { ended <- writeRecords(ctx, s, tn, fmt.Sprint(i, "-", w), m.say) }()
		}
	}
	return func() (err error) {
		cancel()
		for range each * len(servers) {
			err = errors.Join(err, <-ended)
		}
		return err
	}
}
