package main

import (
	"bufio"
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
	"time"

	"github.com/google/uuid"

	"certstate"
	"certstate/auth/authtest"
	"certstate/edm"
)

// dataset is what both servers hold before the first request.
type dataset struct {
	server, floor string   // database files; the floor's is a copy
	ids           []string // of all records
	imported      string   // what the import said of itself
	sqlite        string   // version of SQLite and how it was built
	apart         *apart   // where its server runs, nil for wherever this process does
}

// prepare enrols the tenant, and has certstate import a file of records.
func prepare(ctx context.Context, dir, program string, rows int) (*dataset, error) {
	set := &dataset{server: filepath.Join(dir, "register.db"), floor: filepath.Join(dir, "floor.db"), ids: make([]string, rows)}
	file := filepath.Join(dir, "records.ndjson")
	if err := writeRecords(file, set.ids); err != nil {
		return nil, err
	}
	url := "sqlite:" + set.server
	if _, err := command(ctx, program, "tenant", "add", authtest.Tenant, "--name", "Bench", "--database", url); err != nil {
		return nil, err
	}
	if _, err := command(ctx, program, "tenant", "add", authtest.TenantB, "--name", "Beside", "--database", url); err != nil {
		return nil, err
	}
	said, err := command(ctx, program, "import", "--format", "ndjson", "--tenant", authtest.Tenant, "--database", url, file)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(said), "\n")
	set.imported = lines[len(lines)-1]
	return set, os.Remove(file)
}

// writeRecords writes a record for each of the ids, which it makes.
func writeRecords(file string, ids []string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	for i := range ids {
		ids[i] = uuid.NewString()
		st := sample(i)
		st.ID = edm.Str(ids[i])
		_, err = out.Write(append(appendRecord(nil, &st), '\n'))
		if err != nil {
			break
		}
	}
	return errors.Join(err, out.Flush(), f.Close())
}

// sample is a record as a fleet has them.
func sample(i int) certstate.State {
	random := make([]byte, 20)
	rand.Read(random) // never fails, crypto/rand
	thumbprint := strings.ToUpper(hex.EncodeToString(random))
	issued := time.Date(2025, 1, 1, 8, 30, 15, 0, time.UTC).Add(time.Duration(i%700_000) * time.Minute)
	status := certstate.None
	if i%10 > 5 {
		status = certstate.RevokeStatus(i % (int(certstate.Revoked) + 1))
	}
	return certstate.State{
		RevokeStatus:        status,
		RevokeStatusChanged: edm.Time(issued.Add(36*time.Hour + 954720800*time.Nanosecond)),
		DeviceName:          edm.Str(fmt.Sprintf("LAPTOP-%07d", i)),
		UserPrincipalName:   edm.Str(fmt.Sprintf("user.%06d@fleet.example", i%200_000)),
		NotAfter:            edm.Time(issued.AddDate(1, 0, 0)),
		Issuer:              edm.Str(fmt.Sprintf("CN=Fleet Device CA %02d, OU=Managed devices, O=Fleet Example", i%5)),
		Thumbprint:          edm.Str(thumbprint),
		Serial:              edm.Str(thumbprint[:32]),
		Subject:             edm.Str(fmt.Sprintf("CN=LAPTOP-%07d, OU=Managed devices, O=Fleet Example", i)),
		KeyUsages:           edm.Int(160),
		ExtendedKeyUsages:   edm.Str("1.3.6.1.5.5.7.3.2"),
		NotBefore:           edm.Time(issued),
	}
}

// body is the sample as the request body that creates it: its twelve
// properties after the id.
func body() []byte {
	st := sample(0)
	return appendRecord(nil, &st)
}

// appendRecord appends the default properties of a record that are not null.
func appendRecord(b []byte, st *certstate.State) []byte {
	b = append(b, `{"@odata.type":"#`+certstate.TypeName+`"`...)
	for i := range certstate.Properties {
		p := &certstate.Properties[i]
		if value := p.Field(st); !p.Is(certstate.OnSelect) && !value.IsNull() {
			b = append(append(append(b, `,"`...), p.Name...), `":`...)
			b = value.AppendJSON(b)
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
