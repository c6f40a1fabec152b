package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"certstate"
	"certstate/edm"
)

// A database of the first schema keeps its records; history begins anew, and
// what is derived is there.
func TestMigrateFromTheFirstSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "register.db")
	firstSchema(t, path, 2500) // more than two batches
	s, err := Open(t.Context(), "sqlite:"+path, Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Verify(t.Context(), func(int64) {}); err != nil {
		t.Fatal(err)
	}
	tn, err := s.Tenant(t.Context(), "11111111-2222-4333-8444-555555555555")
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(t.Context(), tn, "id7", certstate.All)
	if err != nil || got.Version != 4000 || got.DeviceName != edm.Str("LAPTOP-7") {
		t.Fatalf("%+v, %v", got, err)
	}
	var hex, dec string
	if err := s.read.QueryRow("SELECT serial_hex, serial_dec FROM state WHERE id = 'id7'").Scan(&hex, &dec); err != nil || hex != "1007" || dec != "3ef" {
		t.Errorf("keys %s, %s, %v", hex, dec, err)
	}
	if got, err = s.Update(t.Context(), tn, "id7", &certstate.State{DeviceName: edm.Str("renamed")}, 1<<3, nil, certstate.Cause{}); err != nil || got.Version != 4001 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := s.Verify(t.Context(), func(int64) {}); err != nil {
		t.Error(err)
	}
}

// firstSchema makes a database of the first schema.
func firstSchema(t *testing.T, path string, records int) {
	t.Helper()
	db := openSQLite(path, writePragmas, 1)
	values := strings.Repeat(", 0", 3) + ", 'LAPTOP-' || i, ''" + ", 0, 0, 'CN=Fleet CA', 'AB:CD', '0' || (i + 1000), '', 0, ''" + strings.Repeat(", 0", 2) +
		strings.Repeat(", ''", 5) + strings.Repeat(", 0", 4)
	_, err := db.Exec(sqliteMigrations()[0] + fmt.Sprintf(`;
		PRAGMA user_version=1; PRAGMA application_id=%d;
		INSERT INTO tenant VALUES ('11111111-2222-4333-8444-555555555555', 1, '', 'active', 0);
		UPDATE counter SET n = 1;
		INSERT INTO seq VALUES (65536, 1, 4000, %d);
		INSERT INTO change VALUES (65536, 3999, 1, 'x', 'created', '', '', 77, ''), (65536, 4000, 1, 'x', 'updated', '', '', 78, '{}');
		WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < %[2]d)
		INSERT INTO state SELECT i * 4194304, 65536, 1, i * 4194304, 0, 'id' || i%s FROM r`, applicationID, records, values))
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
