package store_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"testing"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
	"certstate/store/storetest/load"
)

// Walk gives what the query selects of one moment, each record once and as it
// was, however the register changes between its pages.
func TestWalkIsOfOneMoment(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		s, tenant := open(t, url)
		g := generator{rand.New(rand.NewPCG(1, 2))}
		var records []certstate.State
		for i := range 60 {
			records = append(records, g.state(fmt.Sprintf("r%02d", i)))
		}
		load.Records(t, s, tenant, records)
		for _, options := range []string{"", "$orderby=certificateExpirationDateTime", "$orderby=source desc,certificateIssuerName", "$top=7", "$skip=5&$top=20", "$filter=certificateKeyUsages gt 0"} {
			q := query(t, options)
			asOf, err := s.Moment(t.Context(), tenant, &q)
			if err != nil {
				t.Fatal(err)
			}
			want := walk(t, s, tenant, &q, asOf, 1000, func() {})
			if whole := walk(t, s, tenant, &q, asOf, 3, func() { meddle(t, s, tenant, g) }); !slices.Equal(whole, want) {
				t.Errorf("%s: while others write\n%v, and before\n%v", options, whole, want)
			}
			if q.Top > 0 && len(want) != q.Top {
				t.Errorf("%s: %d records", options, len(want))
			}
		}
	})
}

// walk reads all in pages of n, with something done between them.
func walk(t *testing.T, s *store.Store, tenant store.Tenant, q *odata.Query, asOf int64, n int, between func()) (got []string) {
	t.Helper()
	err := s.Walk(t.Context(), tenant, q, edm.DateTimeOffset{}, asOf, func(st *certstate.State) error {
		got = append(got, fmt.Sprint(st.ID.S, " ", st.Version, " ", st.DeviceName.S))
		if len(got)%n == 0 {
			return store.ErrEndPage
		}
		return nil
	}, func() error { between(); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// meddle creates, changes and deletes a record.
func meddle(t *testing.T, s *store.Store, tenant store.Tenant, g generator) {
	t.Helper()
	id := func() string { return fmt.Sprintf("r%02d", g.IntN(60)) }
	patch := g.state("x")
	if _, err := s.Update(t.Context(), tenant, id(), &patch, certstate.All&^certstate.KeySet, nil, certstate.Cause{}); err != nil && certstate.ErrorCode(err) != certstate.NotFound {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), tenant, id(), nil, certstate.Cause{}); err != nil && certstate.ErrorCode(err) != certstate.NotFound {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), tenant, g.state(id()), certstate.Cause{}); err != nil && certstate.ErrorCode(err) != certstate.Conflict {
		t.Fatal(err)
	}
}

func query(t *testing.T, options string) odata.Query {
	t.Helper()
	q, err := odata.ParseQuery((&url.URL{RawQuery: options}).Query().Encode(), odata.ListOptions)
	if err != nil {
		t.Fatal(err)
	}
	return q
}
