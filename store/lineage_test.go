package store_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
)

var lineageSteps = flag.Int("lineage-steps", 400, "changes of TestLineageOfAnything, on each engine")

var firstDay = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func day(n int) edm.DateTimeOffset { return edm.Time(firstDay.AddDate(0, 0, n)) }

// issuedOn are certificates of two people, issued one after another.
var issuedOn = sync.OnceValue(func() (list [][]byte) {
	for i := range 10 {
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: fmt.Sprint("user", i%2)},
			NotBefore: firstDay.AddDate(0, 0, i/2), NotAfter: firstDay.AddDate(0, 0, i/2+30),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		der, err := x509.CreateCertificate(rand.Reader, template, template, certificateKey().Public(), certificateKey())
		if err != nil {
			panic(err)
		}
		list = append(list, der)
	}
	return list
})

// related is a record out of few values, so that many are of one lineage.
func related(g generator) certstate.State {
	some := func(of ...string) edm.String {
		if text := pick(g, of...); text != "" {
			return edm.Str(text)
		}
		return edm.String{}
	}
	s := certstate.State{DeviceID: some("", "d1", "d2"), DeviceName: some("", "one", "ONE", "two"), UserPrincipalName: some("", "ann", "Ann", "bob"),
		PolicyID: some("", "p1", "p2"), Issuer: some("CN=A, O=B", "o=b,cn=a", "CN=C", ""), Subject: some("CN=x", "CN=x", "CN=y", ""),
		ExtendedKeyUsages: some("1.3.6.1.5.5.7.3.2", "Client Authentication (1.3.6.1.5.5.7.3.2)", "1.3.6.1.5.5.7.3.1"),
		NotBefore:         day(g.IntN(6)), NotAfter: day(30 + g.IntN(3)), RevokeStatus: pick(g, certstate.None, certstate.None, certstate.Revoked)}
	if g.IntN(20) == 0 {
		s.NotBefore = edm.DateTimeOffset{}
	}
	if g.IntN(4) > 0 {
		s.KeyUsages = edm.Int(pick[int32](g, 128, 160, 32, 0))
	}
	if g.IntN(4) == 0 {
		s = certstate.State{Certificate: edm.Bin(pick(g, issuedOn()...)), DeviceID: s.DeviceID, DeviceName: s.DeviceName}
	}
	return s
}

// lineageByHand says what a record's lineage is, in the words of docs/certificates.md.
func lineageByHand(s *certstate.State) string {
	device := "id " + s.DeviceID.S
	if s.DeviceID.S == "" {
		device = "name " + strings.ToLower(s.DeviceName.S)
	}
	class := "sign"
	if s.KeyUsages.N == 32 {
		class = "encrypt"
	}
	for _, use := range []string{"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"} {
		if strings.Contains(s.ExtendedKeyUsages.S, use) {
			class += use
		}
	}
	order := "policy " + s.PolicyID.S
	if s.PolicyID.S == "" {
		issuer := strings.NewReplacer(" ", "", "o=b,cn=a", "cn=a,o=b").Replace(strings.ToLower(s.Issuer.S))
		if issuer == "" || s.Subject.S == "" {
			return ""
		}
		order = issuer + " " + strings.ToLower(s.Subject.S)
	}
	if device == "name " || s.NotBefore.Ticks == 0 {
		return ""
	}
	return strings.Join([]string{device, strings.ToLower(s.UserPrincipalName.S), class, order}, "|")
}

// links says of each record that has a neighbour which they are: what is stored, and
// what all records together make it.
func links(t *testing.T, s *store.Store, tn store.Tenant) (stored, want map[string]string) {
	t.Helper()
	stored, want = map[string]string{}, map[string]string{}
	lineages := map[string][]certstate.State{}
	if _, err := s.List(t.Context(), tn, &odata.Query{Select: certstate.All}, store.Position{}, 1<<30, func(st *certstate.State) error {
		if st.Supersedes.Valid || st.SupersededBy.Valid {
			stored[st.ID.S] = st.Supersedes.S + " < > " + st.SupersededBy.S
		}
		if of := lineageByHand(st); of != "" {
			lineages[of] = append(lineages[of], *st)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, list := range lineages {
		slices.SortFunc(list, func(a, b certstate.State) int {
			return cmp.Or(cmp.Compare(a.NotBefore.Ticks, b.NotBefore.Ticks), cmp.Compare(a.ID.S, b.ID.S))
		})
		for i := range list {
			var before, after string
			for _, other := range list {
				switch issued := list[i].NotBefore.Ticks; {
				case other.NotBefore.Ticks < issued:
					before = other.ID.S // the last of them
				case other.NotBefore.Ticks > issued && after == "":
					after = other.ID.S
				}
			}
			if before+after != "" {
				want[list[i].ID.S] = before + " < > " + after
			}
		}
	}
	return stored, want
}

func checkLinks(t *testing.T, s *store.Store, tn store.Tenant, what string) (linked int) {
	t.Helper()
	stored, want := links(t, s, tn)
	for id := range want {
		if stored[id] != want[id] {
			t.Fatalf("after %s: record %s has the neighbours %q, want %q", what, id, stored[id], want[id])
		}
	}
	for id := range stored {
		if want[id] == "" {
			t.Fatalf("after %s: record %s has the neighbours %q, want none", what, id, stored[id])
		}
	}
	return len(want)
}

// Whatever is created, changed, deleted, imported and registered, in one request or
// in many, each record names the neighbours that all records together give it.
func TestLineageOfAnything(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		seed := mathrand.Uint64()
		g := generator{mathrand.New(mathrand.NewPCG(seed, 1))}
		t.Logf("seed %d", seed)
		linked, most := 0, 0
		for range *lineageSteps {
			linked = checkLinks(t, s, tn, changeRelated(t, g, s, tn))
			most = max(most, linked)
		}
		if most < 20 {
			t.Errorf("at most %d records had neighbours", most)
		}
		if err := s.Verify(t.Context(), quietly); err != nil {
			t.Error(err)
		}
	})
}

// changeRelated changes records in one of the ways there are.
func changeRelated(t *testing.T, g generator, s *store.Store, tn store.Tenant) (what string) {
	t.Helper()
	ctx := t.Context()
	id := fmt.Sprintf("%02d", g.IntN(60))
	in := related(g)
	expect := func(err error, also ...certstate.Code) {
		if err != nil && !slices.Contains(also, certstate.ErrorCode(err)) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	switch g.IntN(6) {
	case 0, 1:
		what = "the creation of " + id
		in.ID = edm.Str(id)
		made, err := s.Create(ctx, tn, in, by)
		expect(err, certstate.Conflict)
		if err == nil {
			same(t, s, tn, made)
		}
	case 2:
		what = "the change of " + id
		out, err := s.Update(ctx, tn, id, &in, certstate.Set(g.Uint64N(1<<21))&^certstate.KeySet, nil, by)
		expect(err, certstate.NotFound)
		if err == nil {
			same(t, s, tn, out)
		}
	case 3:
		what = "the deletion of " + id
		expect(s.Delete(ctx, tn, id, nil, by), certstate.NotFound)
	case 4:
		what = "an import"
		list := make([]store.Entry, 1+g.IntN(4))
		for i := range list {
			list[i] = store.Entry{Registration: store.Registration{State: related(g), Set: certstate.All}, Way: pick(g, store.Add, store.Merge)}
			list[i].State.ID = edm.Str(fmt.Sprintf("%02d", g.IntN(60)))
		}
		_, _, err := s.Bring(ctx, tn, list, g.IntN(4) == 0, by)
		expect(err)
	case 5:
		what = "a registration"
		list := make([]store.Registration, 1+g.IntN(3))
		for i := range list {
			list[i].State = certstate.State{Certificate: edm.Bin(pick(g, issuedOn()...)), DeviceID: in.DeviceID, DeviceName: in.DeviceName}
			list[i].Set = setOf("deviceId", "managedDeviceDisplayName")
		}
		out, err := s.Register(ctx, tn, list, by)
		expect(err)
		for i := range out {
			same(t, s, tn, &out[i])
		}
	}
	return what
}

// same checks that an answer is what is stored.
func same(t *testing.T, s *store.Store, tn store.Tenant, answer *certstate.State) {
	t.Helper()
	if got, err := s.Get(t.Context(), tn, answer.ID.S, certstate.All); err != nil || *got != *answer {
		t.Fatalf("got  %+v, %v\nwant %+v", got, err, answer)
	}
}

func setOf(names ...string) (set certstate.Set) {
	for _, name := range names {
		i, ok := certstate.Lookup(name)
		if !ok {
			panic(name)
		}
		set |= 1 << i
	}
	return set
}

// Links do not depend on the order in which records come.
func TestLineageInAnyOrder(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, _ := open(t, url)
		g := generator{mathrand.New(mathrand.NewPCG(mathrand.Uint64(), 1))}
		var records []certstate.State
		for i := range 60 {
			st := related(g)
			st.ID = edm.Str(fmt.Sprintf("%02d", i))
			records = append(records, st)
		}
		var first map[string]string
		for n := range 3 {
			id := fmt.Sprintf("%08d-2222-4333-8444-555555555555", n)
			if _, err := s.AddTenant(t.Context(), id, ""); err != nil {
				t.Fatal(err)
			}
			tn := tenant(t, s, id)
			g.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
			for i := range records {
				if _, err := s.Create(t.Context(), tn, records[i], by); err != nil {
					t.Fatal(err)
				}
			}
			stored, _ := links(t, s, tn)
			if checkLinks(t, s, tn, "all"); n == 0 {
				first = stored
			} else if fmt.Sprint(stored) != fmt.Sprint(first) {
				t.Errorf("in another order the links are\n%v, and were\n%v", stored, first)
			}
		}
	})
}

// The same record made again leaves the others alone; what renews many at once is
// named by all of them, at the latest when the register looks.
func TestLineageOfTheSameMoment(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		const many = 150
		for i := range many + 1 {
			st := certstate.State{ID: edm.Str(fmt.Sprintf("%03d", i)), DeviceID: edm.Str("d"), PolicyID: edm.Str("p"), KeyUsages: edm.Int(128), NotBefore: day(i / many), NotAfter: day(60)}
			if _, err := s.Create(t.Context(), tn, st, by); err != nil {
				t.Fatal(err)
			}
			if end := headOf(t, s, tn); i < many && end.N != int64(i+1) {
				t.Fatalf("%d changes by %d creations", end.N, i+1)
			}
		}
		if err := s.Revisit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if linked := checkLinks(t, s, tn, "the renewal"); linked != many+1 {
			t.Errorf("%d are linked", linked)
		}
		if err := s.Verify(t.Context(), quietly); err != nil {
			t.Error(err)
		}
	})
}

// A link is a change of the neighbour's, which says why it was made and which
// delta tells; the record that was made has it from its first version.
func TestLineageIsToldOf(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		create := func(id string, n int) *certstate.State {
			t.Helper()
			st, err := s.Create(t.Context(), tn, certstate.State{ID: edm.Str(id), DeviceID: edm.Str("d"), PolicyID: edm.Str("p"), KeyUsages: edm.Int(128), NotBefore: day(n), NotAfter: day(n + 30)}, by)
			if err != nil {
				t.Fatal(err)
			}
			return st
		}
		first := create("a", 0)
		third := create("c", 20)
		if third.Supersedes != edm.Str("a") || third.SupersededBy.Valid || first.SupersededBy.Valid {
			t.Errorf("made %+v and %+v", first, third)
		}
		mark, err := s.EmptyRound(t.Context(), tn)
		if err != nil {
			t.Fatal(err)
		}
		second := create("b", 10)
		if second.Supersedes != edm.Str("a") || second.SupersededBy != edm.Str("c") {
			t.Errorf("made between them: %+v", second)
		}
		if err := s.Delete(t.Context(), tn, "b", nil, by); err != nil {
			t.Fatal(err)
		}
		var reasons []string
		for _, id := range []string{"a", "c"} {
			if err := s.History(t.Context(), tn, id, 0, 100, func(c *certstate.Change) error {
				reasons = append(reasons, id+" "+c.Actor+" "+c.Reason+" "+c.After.Supersedes.S+" "+c.After.SupersededBy.S)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{"a app:test because  ", "a app:test lineage: superseded by c  c", "a app:test lineage: superseded by b  b", "a app:test lineage: superseded by c  c",
			"c app:test because a ", "c app:test lineage: supersedes b b ", "c app:test lineage: supersedes a a "}
		if !slices.Equal(reasons, want) {
			t.Errorf("history:\n%q\nwant\n%q", reasons, want)
		}
		next, err := s.NextRound(t.Context(), tn, mark.Head)
		if err != nil {
			t.Fatal(err)
		}
		told := map[string]bool{}
		if _, _, err := s.Delta(t.Context(), tn, &odata.Query{Select: certstate.All}, next, 100, func(x store.Told) error {
			told[x.ID] = true
			return nil
		}); err != nil || !told["a"] || !told["c"] {
			t.Errorf("delta tells of %v, %v", told, err)
		}
	})
}

// A client may neither set links nor the finding.
func TestLinksAreTheRegisters(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		claim := certstate.State{ID: edm.Str("a"), Supersedes: edm.Str("x"), SupersededBy: edm.Str("y"), Findings: certstate.RenewalStalled, DeviceName: edm.Str("d")}
		made, err := s.Create(t.Context(), tn, claim, by)
		if err != nil || made.Supersedes.Valid || made.SupersededBy.Valid || made.Findings != 0 {
			t.Errorf("made %+v, %v", made, err)
		}
		claim.DeviceName = edm.Str("e")
		out, err := s.Update(t.Context(), tn, "a", &claim, certstate.All&^certstate.KeySet, nil, by)
		if err != nil || out.Supersedes.Valid || out.SupersededBy.Valid || out.Findings != 0 || out.DeviceName.S != "e" {
			t.Errorf("made it %+v, %v", out, err)
		}
	})
}

// at is a clock that tests set.
type at struct {
	mu  sync.Mutex
	now time.Time
}

func (c *at) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

func (c *at) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// stalledIDs are the records that are found stalled.
func stalledIDs(ctx context.Context, t *testing.T, s *store.Store, tn store.Tenant) (ids []string) {
	t.Helper()
	if _, err := s.List(ctx, tn, &odata.Query{Select: certstate.All}, store.Position{}, 1<<30, func(st *certstate.State) error {
		if st.Findings&certstate.RenewalStalled != 0 {
			ids = append(ids, st.ID.S)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(ids)
	return ids
}

// What fills an empty register is linked when it is there, or when a server looks.
func TestLineageOfALoad(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tn := openWith(t, url, store.Options{Serve: true})
		g := generator{mathrand.New(mathrand.NewPCG(mathrand.Uint64(), 1))}
		if err := s.WithoutIndexes(t.Context(), func() error {
			for range 20 {
				list := make([]store.Entry, 20)
				for i := range list {
					list[i] = store.Entry{Registration: store.Registration{State: related(g), Set: certstate.All &^ certstate.KeySet}, Way: store.Merge}
					list[i].State.ID = edm.Str(fmt.Sprint(g.IntN(300)))
				}
				if _, _, err := s.Bring(t.Context(), tn, list, false, by); err != nil {
					return err
				}
			}
			if err := s.Delete(t.Context(), tn, odd(t, s, tn), nil, by); err != nil {
				return err
			}
			return s.Revisit(t.Context()) // which a server may do meanwhile
		}); err != nil {
			t.Fatal(err)
		}
		if linked := checkLinks(t, s, tn, "the load"); linked < 50 {
			t.Errorf("%d records have neighbours", linked)
		}
		if err := s.Verify(t.Context(), quietly); err != nil {
			t.Error(err)
		}
	})
}

// odd is the id of some record.
func odd(t *testing.T, s *store.Store, tn store.Tenant) (id string) {
	t.Helper()
	if _, err := s.List(t.Context(), tn, &odata.Query{Select: certstate.KeySet}, store.Position{}, 1, func(st *certstate.State) error {
		id = st.ID.S
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return id
}
