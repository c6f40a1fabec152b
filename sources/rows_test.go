package sources

import (
	"testing"

	"certstate"
	"certstate/ingest"
	"certstate/intake"
	"certstate/store"
	"certstate/store/storetest"
)

// imports brings in what the step-ca has, as certstate import --from-step-ca does.
func (ca *stepCA) imports(t *testing.T, s *store.Store, tn store.Tenant, want intake.Totals) {
	t.Helper()
	db, err := OpenDatabase(t.Context(), ca.url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	naming := ingest.Naming{From: ingest.FromCN}
	i := intake.Intake{Store: s, Tenant: tn, Settings: intake.Settings{Naming: naming, By: certstate.Cause{Actor: "certstate import"}}}
	got, err := i.Rows(t.Context(), Rows(t.Context(), db, naming))
	if err != nil || got.Created != want.Created || got.Updated != want.Updated || got.Present != want.Present || got.Rejected != 0 {
		t.Errorf("imported %+v, %v, want %+v", got, err, want)
	}
}

// An import that is run again takes what is new and what was revoked since, and
// marks nothing: what the step-ca has no longer it cannot tell from what another
// one, imported before, had. A source that reads the same database takes over the
// records that it finds there, and marks those; an import does not undo that.
func TestImportAgain(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		s, tn := open(t, url)
		ca := newStepCA(t)
		kept, revoked, lost := ca.issues(t, "kept", "JWK"), ca.issues(t, "revoked", "JWK"), ca.issues(t, "lost", "JWK")
		ca.imports(t, s, tn, intake.Totals{Created: 3})
		ca.imports(t, s, tn, intake.Totals{Present: 3})
		forget := func(der []byte) { ca.exec(t, `DELETE FROM "x509_certs" WHERE nkey = $1`, []byte(key(t, der))) }
		ca.issues(t, "new", "JWK")
		ca.revokes(t, revoked)
		forget(lost)
		ca.imports(t, s, tn, intake.Totals{Created: 1, Updated: 1, Present: 1})
		if st := records(t, s, tn, "certificateRevokeStatus eq 'revoked'"); len(st) != 1 || st["revoked"].ID.S == "" {
			t.Errorf("revoked: %v", st)
		}
		marked := func(want ...string) {
			t.Helper()
			got := records(t, s, tn, "certificateFindings has 'noLongerReported'")
			for _, name := range want {
				if _, ok := got[name]; !ok {
					t.Errorf("%s is not marked", name)
				}
			}
			if len(got) != len(want) {
				t.Errorf("marked: %v, want %v", got, want)
			}
		}
		marked()
		before := records(t, s, tn, "true eq true")
		add(t, s, tn, "lab", ca.settings())
		reads(t, s, tn, Result{Read: 3, New: 3})
		after := records(t, s, tn, "true eq true")
		for name := range after {
			if before[name].ID != after[name].ID {
				t.Errorf("%s is another record", name)
			}
		}
		if len(after) != 4 {
			t.Errorf("%d records", len(after))
		}
		marked()
		forget(kept)
		reads(t, s, tn, Result{Read: 2, Gone: 1})
		marked("kept")
		ca.imports(t, s, tn, intake.Totals{Updated: 2}) // the property source, which says who reported last
		marked("kept")
	})
}
