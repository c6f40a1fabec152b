package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"certstate"
	"certstate/edm"
)

// Tenant is an enrolled tenant, as every method that touches records takes it.
type Tenant struct {
	ID        string // lower-case GUID
	Name      string
	Suspended bool
	Created   edm.DateTimeOffset
	// Epoch is 0, or a number that the register got when it was restored from a
	// backup: versions with the same number, but of another epoch, are others.
	Epoch int64
	no    int64
}

// part is where a record of the tenant lives. A tenant has one part.
func (t Tenant) part() int64 { return t.no << 16 }

// tenantTTL is how long a server may go on serving a tenant that another
// program has suspended or removed.
const tenantTTL = time.Second

type tenantCache struct{ m sync.Map } // ID → cachedTenant

type cachedTenant struct {
	Tenant
	until time.Time
}

const (
	tenantColumns = "tenant, no, name, status, created"
	selectTenant  = "SELECT " + tenantColumns + ", coalesce((SELECT n FROM counter WHERE name = 'epoch'), 0) FROM tenant"
)

func scanTenant(row rowScanner) (t Tenant, err error) {
	var status string
	err = row.Scan(&t.ID, &t.no, &t.Name, &status, &t.Created.Ticks, &t.Epoch)
	t.Suspended = status == "suspended"
	return t, err
}

// Tenant finds an enrolled tenant; NotFound if there is none.
func (s *Store) Tenant(ctx context.Context, id string) (Tenant, error) {
	if c, ok := s.tenants.m.Load(id); ok && time.Now().Before(c.(cachedTenant).until) {
		return c.(cachedTenant).Tenant, nil
	}
	st, err := s.queries.get(s.read, query{rest: selectTenant + " WHERE tenant = $1"})
	if err != nil {
		return Tenant{}, err
	}
	t, err := scanTenant(st.QueryRowContext(ctx, id))
	if errors.Is(err, sql.ErrNoRows) {
		s.tenants.m.Delete(id)
		return Tenant{}, noTenant(id)
	}
	if err == nil {
		s.tenants.m.Store(id, cachedTenant{t, time.Now().Add(tenantTTL)})
	}
	return t, err
}

func noTenant(id string) error {
	return certstate.Errorf(certstate.NotFound, "tenant", "Tenant %s is not enrolled.", id)
}

// Tenants lists the enrolled tenants in the order of their enrolment.
func (s *Store) Tenants(ctx context.Context) (list []Tenant, err error) {
	rows, err := s.read.QueryContext(ctx, selectTenant+" ORDER BY no")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		t, err := scanTenant(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, rows.Err()
}

// ParseTenantID checks that id is a GUID in the usual form and lower-cases it.
func ParseTenantID(id string) (string, error) {
	u, err := uuid.Parse(id)
	if err != nil || len(id) != 36 || u == uuid.Nil {
		return "", certstate.Errorf(certstate.Invalid, "tenant", "%q is not a tenant id: a GUID such as 8d9f61b2-0f1e-4c6d-9a51-3f5b1c1e7a10.", id)
	}
	return strings.ToLower(id), nil
}

// AddTenant enrols a tenant, or takes a suspended one back.
func (s *Store) AddTenant(ctx context.Context, id, name string) (added bool, err error) {
	if id, err = ParseTenantID(id); err != nil {
		return false, err
	}
	err = s.do(ctx, func(tx *tx) error {
		n, err := tx.exec("UPDATE tenant SET status = 'active', name = CASE WHEN $2 = '' THEN name ELSE $2 END WHERE tenant = $1", id, name)
		if err != nil || n > 0 {
			return err
		}
		var no int64
		if err := tx.row("UPDATE counter SET n = n + 1 WHERE name = 'tenant' RETURNING n").Scan(&no); err != nil {
			return err
		}
		t := Tenant{no: no}
		if _, err := tx.exec("INSERT INTO tenant ("+tenantColumns+") VALUES ($1, $2, $3, 'active', $4)", id, no, name, tx.now.Ticks); err != nil {
			return err
		}
		_, err = tx.exec("INSERT INTO seq (part, tenant, n, live) VALUES ($1, $2, 0, 0)", t.part(), no)
		added = err == nil
		return err
	})
	return added, err
}

// SuspendTenant refuses a tenant until it is added again. Its records stay.
func (s *Store) SuspendTenant(ctx context.Context, id string) error {
	return s.do(ctx, func(tx *tx) error {
		n, err := tx.exec("UPDATE tenant SET status = 'suspended' WHERE tenant = $1", strings.ToLower(id))
		if err == nil && n == 0 {
			return noTenant(id)
		}
		return err
	})
}

// RemoveTenant forgets a tenant. One that has records, or ever had, is removed
// only with all its data.
func (s *Store) RemoveTenant(ctx context.Context, id string, withData bool) error {
	return s.do(ctx, func(tx *tx) error {
		t := Tenant{ID: id}
		err := tx.row("SELECT no FROM tenant WHERE tenant = $1", strings.ToLower(id)).Scan(&t.no)
		if errors.Is(err, sql.ErrNoRows) {
			return noTenant(id)
		}
		if err != nil {
			return err
		}
		h, err := tx.head(t) // from here on nobody else changes the tenant's records
		if err != nil {
			return err
		}
		if h.n > 0 && !withData {
			return certstate.Errorf(certstate.Conflict, "tenant",
				"Tenant %s has %d certificates and a log of %d changes: suspend it instead, or remove it with its data.", id, h.live, h.n)
		}
		for _, table := range []string{"word", "state", "past", "change", "once", "certificate", "job", "piece", "reject", "gap", "reported", "source", "seq"} {
			if _, err := tx.exec("DELETE FROM "+table+" WHERE tenant = $1 AND part = $2", t.no, t.part()); err != nil {
				return fmt.Errorf("delete from %s: %w", table, err)
			}
		}
		h.removed = true
		_, err = tx.exec("DELETE FROM tenant WHERE no = $1", t.no)
		return err
	})
}
