package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"certstate"
	"certstate/auth/authtest"
	"certstate/edm"
	"certstate/store"
)

// dataset is what both servers hold before the first request.
type dataset struct {
	server, floor string   // database files with the same content
	ids           []string // of all records
	sqlite        string   // version of SQLite and how it was built
}

// prepare enrols the tenant, has the store create rows records and copies the
// file for the floor.
func prepare(ctx context.Context, dir, program string, rows int) (*dataset, error) {
	set := &dataset{server: filepath.Join(dir, "register.db"), floor: filepath.Join(dir, "floor.db"), ids: make([]string, rows)}
	for i := range set.ids {
		set.ids[i] = uuid.NewString()
	}
	url := "sqlite:" + set.server
	if err := command(ctx, program, "tenant", "add", authtest.Tenant, "--name", "Bench", "--database", url); err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, url, store.Options{})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(fillStore(ctx, db, set.ids), db.Close()); err != nil {
		return nil, fmt.Errorf("prepare records: %w", err)
	}
	if err := set.checkpoint(ctx, set.server); err != nil {
		return nil, err
	}
	return set, copyFile(set.floor, set.server)
}

// fillStore creates a record for each id, many at a time so that they share
// commits.
func fillStore(ctx context.Context, db *store.Store, ids []string) error {
	t, err := db.Tenant(ctx, authtest.Tenant)
	if err != nil {
		return err
	}
	const workers = 256
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(ids) && errs[w] == nil; i += workers {
				st := sample(i)
				st.ID = edm.Str(ids[i])
				_, errs[w] = db.Create(ctx, t, st, certstate.Cause{Actor: "bench"})
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// sample is a record as a fleet has them.
func sample(i int) certstate.State {
	random := make([]byte, 20)
	rand.Read(random) // never fails, crypto/rand
	thumbprint := strings.ToUpper(hex.EncodeToString(random))
	issued := time.Date(2026, 1, 1, 8, 30, 15, 0, time.UTC).Add(time.Duration(i) * time.Minute)
	return certstate.State{
		RevokeStatus:        certstate.RevokeStatus(i % (int(certstate.Revoked) + 1)),
		RevokeStatusChanged: edm.Time(issued.Add(36*time.Hour + 954720800*time.Nanosecond)),
		DeviceName:          edm.Str(fmt.Sprintf("LAPTOP-%06d", i)),
		UserPrincipalName:   edm.Str(fmt.Sprintf("user.%05d@fleet.example", i%20_000)),
		NotAfter:            edm.Time(issued.AddDate(1, 0, 0)),
		Issuer:              edm.Str("CN=Fleet Device CA 01, OU=Managed devices, O=Fleet Example"),
		Thumbprint:          edm.Str(thumbprint),
		Serial:              edm.Str(thumbprint[:32]),
		Subject:             edm.Str(fmt.Sprintf("CN=LAPTOP-%06d, OU=Managed devices, O=Fleet Example", i)),
		KeyUsages:           edm.Int(160),
		ExtendedKeyUsages:   edm.Str("1.3.6.1.5.5.7.3.2"),
		NotBefore:           edm.Time(issued),
	}
}

// body is the sample as the request body that creates it: its twelve
// properties after the id.
func body() []byte {
	st := sample(0)
	b := []byte(`{"@odata.type":"#` + certstate.TypeName + `"`)
	for i := range certstate.Properties {
		p := &certstate.Properties[i]
		if !p.Is(certstate.OnSelect) && p.Name != "id" {
			b = append(append(append(b, `,"`...), p.Name...), `":`...)
			b = p.Field(&st).AppendJSON(b)
		}
	}
	return append(b, '}')
}

// checkpoint empties a database's write-ahead log, beside its server.
func (set *dataset) checkpoint(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite3", "file:"+path+"?_busy_timeout=20000")
	if err != nil {
		return err
	}
	defer db.Close() // it wrote nothing of its own
	if set.sqlite == "" {
		const about = "SELECT sqlite_version() || coalesce((SELECT ', ' || compile_options FROM pragma_compile_options WHERE compile_options LIKE 'DEFAULT_MEMSTATUS%'), '')"
		if err := db.QueryRowContext(ctx, about).Scan(&set.sqlite); err != nil {
			return err
		}
	}
	for range 20 {
		var busy, frames, done int
		if err := db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &done); err != nil {
			return fmt.Errorf("checkpoint %s: %w", path, err)
		}
		if busy == 0 {
			return nil
		}
		time.Sleep(100 * time.Millisecond) // its own checkpointer is at work
	}
	return fmt.Errorf("checkpoint %s: somebody holds the database", path)
}

func copyFile(to, from string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close() // only read
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Sync(), dst.Close())
}
