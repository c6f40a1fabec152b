package api_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"certstate"
	"certstate/api"
	"certstate/auth/authtest"
	"certstate/edm"
	"certstate/store"
)

// A page that the disk has lost is an error in Graph's shape and a line of the log
// that names it; what does not need the page is answered.
func TestDamagedPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "register.db")
	s, err := store.Open(t.Context(), "sqlite:"+path, store.Options{Serve: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddTenant(t.Context(), authtest.Tenant, ""); err != nil {
		t.Fatal(err)
	}
	tn, err := s.Tenant(t.Context(), authtest.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		st := certstate.State{ID: edm.Str(fmt.Sprint("r", i)), PolicyID: edm.Str("on no other page than the record's")}
		if _, err := s.Create(t.Context(), tn, st, certstate.Cause{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	losePage(t, path, "on no other page")
	h := startOn(t, "sqlite:"+path)
	var log bytes.Buffer
	h.cfg.Log = slog.New(slog.NewJSONHandler(&log, nil))
	server, err := api.New(t.Context(), h.cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(server)
	h.url = srv.URL
	a := h.ask(t, "GET", "?$top=999", nil)
	count := h.ask(t, "GET", "/$count", nil)
	srv.Close()
	if e, _ := a.body["error"].(map[string]any); a.status != 503 || e["code"] != "ServiceUnavailable" {
		t.Errorf("%d %v", a.status, a.body)
	}
	if count.status != 200 {
		t.Errorf("the number of records: %d", count.status)
	}
	if !strings.Contains(log.String(), "malformed") {
		t.Errorf("the log says\n%s", log.String())
	}
}

// losePage overwrites the first page of a file that has a text.
func losePage(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(file, []byte(text))
	if at < 4096 {
		t.Fatal("no page has the text")
	}
	clear(file[at/4096*4096:][:4096])
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
}
