package store_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
)

var flips = flag.Int("flips", 120, "bits that TestBitFlips flips in the file, and in its log")

// kept is a register's files, as its process left them, and what it tells.
type kept struct {
	file, log []byte
	whole     []byte // the file once all of the log is in it
	before    int64  // change after which the log's last transaction begins
	answers   []string
	earlier   string // digest of all up to before
}

// keep makes a register that was written, changed, deleted from and pruned: so many
// records in the file, and then so many in the write-ahead log.
func keep(t *testing.T, inFile, inLog int) *kept {
	t.Helper()
	path := filepath.Join(t.TempDir(), "register.db")
	s, tn := open(t, "sqlite:"+path)
	change := func(from, to int) {
		for i := from; i < to; i++ {
			st := full()
			st.ID = edm.Str(fmt.Sprint("id", i))
			st.DeviceName = edm.Str(fmt.Sprint("LAPTOP-", rand.Int32()))
			if _, err := s.Create(t.Context(), tn, st, by); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Update(t.Context(), tn, st.ID.S, &certstate.State{KeyUsages: edm.Int(rand.Int32())}, 1<<10, nil, by); err != nil {
				t.Fatal(err)
			}
			if i%3 == 0 {
				if err := s.Delete(t.Context(), tn, st.ID.S, nil, by); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	change(0, inFile)
	if err := s.PruneTo(t.Context(), tn, 15); err != nil {
		t.Fatal(err)
	}
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	change(inFile, inFile+inLog)
	k := &kept{}
	k.before = headOf(t, s, tn).N
	k.earlier = digestAt(t, s, tn, headOf(t, s, tn))
	if err := s.Delete(t.Context(), tn, "id1", nil, by); err != nil { // the last transaction
		t.Fatal(err)
	}
	k.file, k.log = read(t, path), read(t, path+"-wal")
	err := s.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k.whole = read(t, path)
	if k.answers, err = answers(t, s); err != nil {
		t.Fatal(err)
	}
	return k
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// answers are those to questions of every kind, or an error.
func answers(t *testing.T, s *store.Store) (list []string, err error) {
	tn, err := s.Tenant(t.Context(), tenantID)
	if err != nil {
		return nil, err
	}
	r, err := s.FirstRound(t.Context(), tn)
	if err != nil {
		return nil, err
	}
	sum, err := digestOf(t, s, tn, r.Head)
	if err != nil {
		return nil, err
	}
	list = append(list, fmt.Sprint(r.Head), sum)
	for i := range 30 {
		id := fmt.Sprint("id", i)
		err := s.History(t.Context(), tn, id, 0, 100, func(c *certstate.Change) error {
			list = append(list, fmt.Sprint(c.Seq, c.ID, c.Kind, c.Actor, c.Reason, c.At), shown(c.Before), shown(c.After))
			return nil
		})
		if err != nil && certstate.ErrorCode(err) != certstate.NotFound {
			return nil, err
		}
		st, err := s.Get(t.Context(), tn, id, certstate.All)
		if err != nil && certstate.ErrorCode(err) != certstate.NotFound {
			return nil, err
		}
		list = append(list, shown(st))
	}
	for _, text := range questions {
		q, err := odata.ParseQuery(text, odata.ListOptions)
		if err != nil {
			t.Fatal(err)
		}
		q.Select = certstate.All
		_, err = s.List(t.Context(), tn, &q, store.Position{}, 100, func(st *certstate.State) error {
			list = append(list, fmt.Sprintf("%+v", *st))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	live, err := s.Live(t.Context(), tn)
	if err != nil {
		return nil, err
	}
	var last, first string
	err = s.Changes(t.Context(), tn, 0, 1<<30, func(c *certstate.Change) error {
		if first == "" {
			first = fmt.Sprint(s.AsOf(t.Context(), tn, c.At))
		}
		last = fmt.Sprint(s.AsOf(t.Context(), tn, c.At))
		return nil
	})
	return append(list, fmt.Sprint(live), first, last), err
}

func shown(st *certstate.State) string {
	if st == nil {
		return "nothing"
	}
	return fmt.Sprintf("%+v", *st)
}

// questions make SQLite use each of the indexes, and none.
var questions = []string{
	"", "$orderby=" + url.QueryEscape("managedDeviceDisplayName desc"), "$orderby=certificateExpirationDateTime,userPrincipalName", "$orderby=certificateIssuerName",
	"$filter=" + url.QueryEscape("certificateThumbprint eq 't'"), "$filter=" + url.QueryEscape("certificateRevokeStatus eq 'failed' and certificateSubjectName eq '<&>'"),
	"$search=laptop", "$filter=" + url.QueryEscape("certificateSerialNumber eq 's' or certificateSerialNumber eq null"),
}

// outcome is what became of a damaged register.
type outcome string

const (
	refused  outcome = "refused when opened"
	failed   outcome = "found when read"
	found    outcome = "found by check, with wrong answers until then"
	foundToo outcome = "found by check, answers right"
	harmless outcome = "harmless"
	lastGone outcome = "the last transaction gone"
)

// judge opens a register's files and says what becomes of it. It fails the test
// if an answer is wrong and nothing says so.
func (k *kept) judge(t *testing.T, what string, file, log []byte) outcome {
	t.Helper()
	path := filepath.Join(inMemory(t), "register.db")
	if err := errors.Join(os.WriteFile(path, file, 0o600), os.WriteFile(path+"-wal", log, 0o600)); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), "sqlite:"+path, store.Options{Serve: true, Log: quiet})
	if err != nil {
		return refused
	}
	defer s.Close()
	got, err := answers(t, s)
	checked := s.Verify(t.Context(), quietly)
	same := slices.Equal(got, k.answers)
	switch {
	case err != nil && checked == nil:
		t.Errorf("%s: found when read, but not by check: %v", what, err)
		return failed
	case err != nil:
		return failed
	case checked != nil && same:
		return foundToo
	case checked != nil:
		return found
	case same:
		return harmless
	}
	if tn, err := s.Tenant(t.Context(), tenantID); err == nil {
		if m := headOf(t, s, tn); m.N == k.before && digestAt(t, s, tn, m) == k.earlier {
			return lastGone
		}
	}
	for i := range got {
		if i < len(k.answers) && got[i] != k.answers[i] {
			t.Errorf("%s: check finds nothing wrong, and answer %d is\n%.300s\nit was\n%.300s", what, i, got[i], k.answers[i])
			break
		}
	}
	return found
}

// inMemory is a folder where nothing waits for a disk, if there is one.
func inMemory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "certstate-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// A bit that flips, wherever it is in the file or its log, never leads to a wrong
// answer that neither the opening, nor the reading, nor check tells of. The one
// exception nobody can tell from a power cut: in the last transaction of a log.
func TestBitFlips(t *testing.T) {
	k := keep(t, 20, 10)
	last := lastTransaction(k)
	count := map[outcome]int{}
	for n := range 2 * *flips {
		file, log, in, name := slices.Clone(k.whole), []byte(nil), []byte(nil), "file"
		if in = file; n%2 == 1 {
			file, log, name = k.file, slices.Clone(k.log), "log"
			in = log
		}
		at, bit := rand.IntN(len(in)), rand.IntN(8)
		in[at] ^= 1 << bit
		what := fmt.Sprintf("bit %d of byte %d of the %s", bit, at, name)
		o := k.judge(t, what, file, log)
		if o == lastGone && (name == "file" || at < last) {
			t.Errorf("%s: the last transaction is silently gone", what)
		}
		count[outcome(name+": "+string(o))]++
	}
	for _, o := range slices.Sorted(maps.Keys(count)) {
		t.Logf("%4d %s", count[o], o)
	}
}

// lastTransaction is where in the log the last transaction begins: after the
// frame before last that says how large the file is.
func lastTransaction(k *kept) int {
	const frame = 24 + 4096
	for at := len(k.log) - 2*frame; at > 32; at -= frame {
		if k.log[at+4]|k.log[at+5]|k.log[at+6]|k.log[at+7] != 0 {
			return at + frame
		}
	}
	return 32
}

// A file or log that was cut, or a log that is another register's, is found
// out too.
func TestCutFiles(t *testing.T) {
	k, other := keep(t, 300, 5), keep(t, 300, 5)
	count := map[outcome]int{}
	for range 30 {
		at := rand.IntN(len(k.whole))
		count[k.judge(t, fmt.Sprint("file cut at ", at), k.whole[:at], nil)]++
	}
	for o, n := range count {
		t.Logf("%4d file cut: %s", n, o) // harmless is a cut in bytes that nothing is in
		if o == lastGone {
			t.Error("a file that was cut was taken for whole")
		}
	}
	t.Log("log of another register: ", k.judge(t, "log of another register", k.file, other.log))
	t.Log("file of another register: ", k.judge(t, "an older file", other.file, k.log))
}

// A log that ends in the midst of its last transaction, as after a power cut, is
// no damage.
func TestTornLog(t *testing.T) {
	k := keep(t, 20, 10)
	last := lastTransaction(k)
	for range 10 {
		at := last + rand.IntN(len(k.log)-last)
		if o := k.judge(t, "torn", k.file, k.log[:at]); o != lastGone {
			t.Errorf("a log that ends at %d of %d: %s", at, len(k.log), o)
		}
	}
	torn := slices.Clone(k.log)
	clear(torn[last : last+4096]) // a later sector reached the disk, this one not
	if o := k.judge(t, "torn", k.file, torn); o != lastGone {
		t.Errorf("a last transaction with a hole: %s", o)
	}
}
