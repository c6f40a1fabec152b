package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/store/storetest"
)

// wanted is the index by which each statement of a load finds records.
var wanted = []struct{ statement, index string }{
	{"SELECT lineage, k, ver, absent, ", "state_part_id_key"},
	{"UPDATE state SET (ver, absent, ", "state_part_id_key"},
	{"INSERT INTO past (k, part, ", "state_part_id_key"},
	{"SELECT coalesce((SELECT id FROM state ", "state_lineage"},
	{"WITH asked (v) AS ", "state_thumbprint"},
}

// A load into an empty register comes to find each record by the index made for it,
// even if autovacuum never looks.
func TestGrowingRegisterIsAnalyzed(t *testing.T) {
	url := storetest.Postgres(t)
	if err := CreatePlain(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s, tn := enrolled(t, url, slog.New(slog.DiscardHandler))
	for _, table := range keptTables() {
		if _, err := s.write.ExecContext(t.Context(), "ALTER TABLE "+table+" SET (autovacuum_enabled = off)"); err != nil {
			t.Fatal(err)
		}
	}
	var wrong string
	for i, deadline := 0, time.Now().Add(30*time.Second); time.Now().Before(deadline); i++ {
		bringRenewals(t, s, tn, 400, i)
		if wrong = wrongPlans(t, s); wrong == "" {
			break
		}
	}
	if wrong != "" {
		t.Error("the plans stay wrong:\n", wrong)
	}
	if empty := texts(t, s.read, "SELECT 'analyzed' FROM pg_class WHERE oid = to_regclass('certificate') AND reltuples >= 0"); len(empty) > 0 {
		t.Error("a table that is empty was analyzed")
	}
}

// A user that does not own the tables writes all the same, and the log says once what
// it lacks.
func TestForeignTablesAreNotAnalyzed(t *testing.T) {
	url := storetest.Postgres(t)
	owner, _ := enrolled(t, url, slog.New(slog.DiscardHandler))
	role := fmt.Sprint("certstate_user_", os.Getpid())
	for _, text := range []string{"CREATE ROLE " + role, "GRANT CREATE ON SCHEMA public TO " + role, "GRANT ALL ON ALL TABLES IN SCHEMA public TO " + role} {
		if _, err := owner.write.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if _, err := owner.write.ExecContext(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	log := &said{}
	mark := "?"
	if strings.Contains(url, "?") {
		mark = "&"
	}
	s, tn := enrolled(t, url+mark+"role="+role, slog.New(slog.NewTextHandler(log, nil)))
	const says = "tables that have grown are not analyzed"
	for i, deadline := 0, time.Now().Add(30*time.Second); i < 3 || log.lines(says) == 0; i++ {
		if time.Now().After(deadline) {
			t.Fatal("the log does not say that the tables are another's")
		}
		bringRenewals(t, s, tn, 400, i)
	}
	if n := log.lines(says); n != 1 {
		t.Errorf("the log says so %d times", n)
	}
}

// enrolled is a register with a tenant.
func enrolled(t *testing.T, url string, log *slog.Logger) (*Store, Tenant) {
	t.Helper()
	s, err := Open(t.Context(), url, Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.AddTenant(t.Context(), testTenant, "Test"); err != nil {
		t.Fatal(err)
	}
	tn, err := s.Tenant(t.Context(), testTenant)
	if err != nil {
		t.Fatal(err)
	}
	return s, tn
}

// bringRenewals loads devices with two certificates each.
func bringRenewals(t *testing.T, s *Store, tn Tenant, devices, round int) {
	t.Helper()
	var list []Entry
	for i := range 2 * devices {
		n := 2*devices*round + i
		list = append(list, Entry{Way: Merge, Registration: Registration{Set: certstate.All &^ certstate.KeySet, State: certstate.State{
			ID: edm.Str(fmt.Sprint(n)), DeviceName: edm.Str(fmt.Sprint("LAPTOP-", n/2)), Issuer: edm.Str("CN=Fleet CA"), Subject: edm.Str(fmt.Sprint("CN=LAPTOP-", n/2)),
			Thumbprint: edm.Str(fmt.Sprintf("%040X", n+1)), KeyUsages: edm.Int(160), NotBefore: edm.DateTimeOffset{Ticks: int64(n + 1)}}}})
	}
	_, faults, err := s.Bring(t.Context(), tn, list, false, registerItself)
	if err = errors.Join(append(faults, err)...); err != nil {
		t.Fatal(err)
	}
}

// wrongPlans are those of the writer's connection that do not use the index wanted.
func wrongPlans(t *testing.T, s *Store) (wrong string) {
	t.Helper()
	err := s.do(t.Context(), func(tx *tx) error {
		for _, w := range wanted {
			plan, err := tx.planOf(w.statement)
			if err != nil {
				return err
			}
			if strings.Contains(plan, "hashed SubPlan") {
				t.Errorf("%s reads all that the tenant has:\n%s", w.statement, plan)
			}
			if !strings.Contains(plan, "Index Scan using "+w.index) && !strings.Contains(plan, "Index Only Scan using "+w.index) {
				wrong += w.statement + "\n" + plan
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return wrong
}

// planOf is the plan that PostgreSQL keeps of a statement that begins so.
func (tx *tx) planOf(begins string) (string, error) {
	var name string
	var arguments int
	const find = "SELECT name, cardinality(parameter_types) FROM pg_prepared_statements WHERE starts_with(statement, $1) LIMIT 1"
	if err := tx.row(find, begins).Scan(&name, &arguments); err != nil {
		return "", fmt.Errorf("%s: %w", begins, err)
	}
	rows, err := tx.w.conn.QueryContext(tx.ctx, "EXPLAIN EXECUTE "+name+"("+strings.TrimSuffix(strings.Repeat("'1', ", arguments), ", ")+")")
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var lines strings.Builder
	for rows.Next() {
		var line sql.RawBytes
		if err := rows.Scan(&line); err != nil {
			return "", err
		}
		lines.Write(append(line, '\n'))
	}
	return lines.String(), rows.Err()
}
