package store

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/store/storetest"
)

// valuesAt are the tables whose rows answers are made of, with their keys.
var valuesAt = []struct {
	table, key string
	// not are columns whose values nothing tells whether they are right: SQLite's
	// index has the tenant's id too, name and time are for the operator alone.
	not string
}{
	{"tenant", "no", "tenant name created"},
	{"seq", "part", ""},
	{"state", "part, k", ""},
	{"past", "part, n", ""},
	{"change", "part, n", ""},
	{"word", "part, word, k", ""},
}

// Whatever value of a row is changed behind the store's back, Verify says so.
func TestVerifyFindsEveryValue(t *testing.T) {
	Partition()
	storetest.EachEngine(t, verifyFindsEveryValue)
}

func verifyFindsEveryValue(t *testing.T, url string) {
	s, err := Open(t.Context(), url, Options{Serve: true, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	storied(t, s)
	verify := func() error { return s.Verify(t.Context(), func(int64) {}) }
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, at := range valuesAt {
		for column, text := range columnsOf(t, s, at.table) {
			if strings.Contains(at.not, column) {
				continue
			}
			tried++
			if err := altered(t, s, at.table, at.key, column, text, verify); err == nil {
				t.Errorf("%s.%s was changed, and all is said to be well", at.table, column)
			}
		}
	}
	if err := verify(); err != nil {
		t.Error(err)
	}
	if tried < 80 {
		t.Errorf("only %d columns", tried)
	}
}

// storied makes a tenant whose history was pruned in part.
func storied(t *testing.T, s *Store) {
	t.Helper()
	if _, err := s.AddTenant(t.Context(), testTenant, "Test"); err != nil {
		t.Fatal(err)
	}
	tn, err := s.Tenant(t.Context(), testTenant)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		for i := range 12 {
			id := fmt.Sprint(round, "-", i)
			if _, err := s.Create(t.Context(), tn, certstate.State{ID: edm.Str(id), Serial: edm.Str("0a")}, certstate.Cause{Actor: "a", Reason: "r"}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Update(t.Context(), tn, id, &certstate.State{DeviceName: edm.Str("LAPTOP " + id)}, 1<<3, nil, certstate.Cause{Actor: "b"}); err != nil {
				t.Fatal(err)
			}
			if i%3 == 0 {
				if err := s.Delete(t.Context(), tn, id, nil, certstate.Cause{Actor: "c"}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if round == 0 {
			if err := s.Prune(t.Context(), time.Now(), func(int64) {}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// columnsOf are the columns of a table, and whether they hold texts.
func columnsOf(t *testing.T, s *Store, table string) map[string]bool {
	t.Helper()
	rows, err := s.read.Query("SELECT * FROM " + table + " LIMIT 1")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil || !rows.Next() {
		t.Fatal(table, "has no row", err)
	}
	values, targets := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		targets[i] = &values[i]
	}
	if err := rows.Scan(targets...); err != nil {
		t.Fatal(err)
	}
	m := map[string]bool{}
	for i, name := range names {
		_, m[name] = values[i].(string)
	}
	return m
}

// altered changes a value of a row at random, runs fn and changes it back.
func altered(t *testing.T, s *Store, table, key, column string, text bool, fn func() error) error {
	t.Helper()
	run := func(change, where string, args ...any) {
		res, err := s.write.Exec(s.d.rebind("UPDATE "+table+" SET "+column+" = "+change+" WHERE "+where), args...)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := res.RowsAffected(); n != 1 || err != nil {
			t.Fatal(table, column, n, err)
		}
	}
	there, back := column+" + 1", column+" - 1"
	if text {
		there, back = column+" || 'x'", "substr("+column+", 1, length("+column+") - 1)"
	}
	var rows int
	if err := s.write.QueryRow("SELECT count(*) FROM " + table).Scan(&rows); err != nil {
		t.Fatal(err)
	}
	keys := strings.Split(key, ", ")
	values, targets := make([]any, len(keys)), make([]any, len(keys))
	for i := range values {
		targets[i] = &values[i]
	}
	pickRow := fmt.Sprintf("SELECT %[1]s FROM %[2]s ORDER BY %[1]s LIMIT 1 OFFSET %[3]d", key, table, rand.IntN(rows))
	if err := s.write.QueryRow(pickRow).Scan(targets...); err != nil {
		t.Fatal(err)
	}
	same := make([]string, len(keys))
	for i, k := range keys {
		same[i] = fmt.Sprintf("%s = $%d", k, i+1)
	}
	where := strings.Join(same, " AND ")
	for _, k := range keys { // others may be in the way of the next number
		if k == column && !text {
			there, back = column+" + 1000000", column+" - 1000000"
		}
	}
	run(there, where, values...)
	err := fn()
	for i, k := range keys {
		if k != column {
			continue
		}
		if text {
			values[i] = values[i].(string) + "x"
		} else {
			values[i] = values[i].(int64) + 1000000
		}
	}
	run(back, where, values...)
	return err
}
