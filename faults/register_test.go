package faults

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"certstate"
	"certstate/auth/authtest"
	"certstate/store"
)

// register is a database with one enrolled tenant, and who signs its tokens.
type register struct {
	database string // its URL
	issuer   *authtest.Issuer
	dir      string // for logs; it stays if the test fails

	mu    sync.Mutex
	token string
	until time.Time
}

func newRegister(t testing.TB, database string) *register {
	t.Helper()
	dir, err := os.MkdirTemp("", "certstate-faults-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs and what else there is to see: %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	command(t, "tenant", "add", authtest.Tenant, "--database", database)
	return &register{database: database, issuer: authtest.New(t), dir: dir}
}

// bearer is a token that may write. It is renewed well before it ends.
func (r *register) bearer() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().After(r.until) {
		r.token, r.until = r.issuer.Token(nil), time.Now().Add(10*time.Minute)
	}
	return r.token
}

// changes is the tenant's whole change log, read beside the servers.
func (r *register) changes(ctx context.Context) (list []certstate.Change, err error) {
	s, err := store.Open(ctx, r.database, store.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	tn, err := s.Tenant(ctx, authtest.Tenant)
	if err != nil {
		return nil, err
	}
	err = s.Changes(ctx, tn, 0, 1<<30, func(c *certstate.Change) error {
		list = append(list, *c)
		return nil
	})
	return list, err
}
