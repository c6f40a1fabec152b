package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"sync"

	"github.com/google/uuid"
	"github.com/mattn/go-sqlite3"

	"certstate"
	"certstate/edm"
)

// floor is the least that could serve the records: the store's table and
// SQLite's settings, SQL and JSON by hand, and nothing checked, negotiated or
// logged. It borrows edm's formatting of times and strings, so that the
// difference measured is layers and not how fast one prints a date.
type floor struct {
	read      *sql.DB
	get, page *sql.Stmt
	writer    *floorWriter
	tenant    int64
}

// The store's settings (store/sqlite.go, sqlite_cgo.go).
const (
	floorPragmas = "PRAGMA busy_timeout=5000; PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=ON; "
	floorWrite   = floorPragmas + "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-262144;"
	floorRead    = floorPragmas + "PRAGMA query_only=ON; PRAGMA cache_size=-65536; PRAGMA mmap_size=4294967296;"
)

const floorColumns = "k, absent, id, revoke_status, revoke_status_changed, revoke_status_changed_offset, device_name, upn, " +
	"not_after, not_after_offset, issuer, thumbprint, serial, subject, key_usages, ext_key_usages, not_before, not_before_offset"

// floorConnector opens connections with pragmas.
type floorConnector struct{ path, pragmas string }

func (c floorConnector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

func (c floorConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Driver().Open("file:" + c.path + "?_mutex=no&_txlock=immediate")
	if err == nil {
		_, err = conn.(driver.ExecerContext).ExecContext(ctx, c.pragmas, nil)
	}
	return conn, err
}

// serveFloor serves the database at addr until ctx ends.
func serveFloor(ctx context.Context, path, addr string) error {
	conns := 2 * runtime.GOMAXPROCS(0)
	f := &floor{read: sql.OpenDB(floorConnector{path, floorRead})}
	f.read.SetMaxOpenConns(conns)
	f.read.SetMaxIdleConns(conns)
	var err1, err2 error
	if f.get, err1 = f.read.Prepare("SELECT " + floorColumns + " FROM state WHERE part = ?1 AND id = ?2"); err1 != nil {
		return err1
	}
	f.page, err1 = f.read.Prepare("SELECT " + floorColumns + " FROM state WHERE tenant = ?1 AND k > ?2 ORDER BY k LIMIT ?3")
	err2 = f.read.QueryRow("SELECT no FROM tenant").Scan(&f.tenant)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	var err error
	if f.writer, err = startFloorWriter(ctx, path, f.tenant); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /states/{id}", f.serveGet)
	mux.HandleFunc("GET /states", f.servePage)
	mux.HandleFunc("POST /states", f.serveCreate)
	if err := f.answerQuestions(mux); err != nil {
		return err
	}
	srv := &http.Server{Addr: addr, Handler: mux} // only the bench's client comes
	go func() { <-ctx.Done(); _ = srv.Close() }()
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// floorRow is a record in the floor.
type floorRow struct {
	k, absent, status, usages                                      int64
	id, device, upn, issuer, thumbprint, serial, subject, extended string
	changed, ends, begins                                          edm.DateTimeOffset
}

// targets are where a row of floorColumns is scanned to. Integers are scanned
// as the store does, past database/sql's reflection.
func (r *floorRow) targets() []any {
	n := edm.Int64Column
	return []any{n(&r.k), n(&r.absent), &r.id, n(&r.status), n(&r.changed.Ticks), n(&r.changed.Offset), &r.device, &r.upn,
		n(&r.ends.Ticks), n(&r.ends.Offset), &r.issuer, &r.thumbprint, &r.serial, &r.subject, n(&r.usages), &r.extended,
		n(&r.begins.Ticks), n(&r.begins.Offset)}
}

// append appends the 13 properties as JSON. A null is a bit of absent, by the
// property's place.
func (r *floorRow) append(b []byte) []byte {
	text := func(bit int, name, s string) {
		if b = append(b, name...); r.absent>>bit&1 != 0 {
			b = append(b, "null"...)
			return
		}
		b = edm.AppendJSONString(b, s)
	}
	when := func(name string, t *edm.DateTimeOffset) { b = t.AppendJSON(append(b, name...)) }
	text(0, `{"id":`, r.id)
	text(1, `,"certificateRevokeStatus":`, certstate.RevokeStatus(r.status).String())
	when(`,"certificateRevokeStatusLastChangeDateTime":`, &r.changed)
	text(3, `,"managedDeviceDisplayName":`, r.device)
	text(4, `,"userPrincipalName":`, r.upn)
	when(`,"certificateExpirationDateTime":`, &r.ends)
	text(6, `,"certificateIssuerName":`, r.issuer)
	text(7, `,"certificateThumbprint":`, r.thumbprint)
	text(8, `,"certificateSerialNumber":`, r.serial)
	text(9, `,"certificateSubjectName":`, r.subject)
	if b = append(b, `,"certificateKeyUsages":`...); r.absent>>10&1 != 0 {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendInt(b, r.usages, 10)
	}
	text(11, `,"certificateExtendedKeyUsages":`, r.extended)
	when(`,"certificateIssuanceDateTime":`, &r.begins)
	return append(b, '}')
}

// floorBody is the body of a create, as encoding/json reads it.
type floorBody struct {
	Status     string `json:"certificateRevokeStatus"`
	Changed    string `json:"certificateRevokeStatusLastChangeDateTime"`
	Device     string `json:"managedDeviceDisplayName"`
	UPN        string `json:"userPrincipalName"`
	Ends       string `json:"certificateExpirationDateTime"`
	Issuer     string `json:"certificateIssuerName"`
	Thumbprint string `json:"certificateThumbprint"`
	Serial     string `json:"certificateSerialNumber"`
	Subject    string `json:"certificateSubjectName"`
	Usages     int64  `json:"certificateKeyUsages"`
	Extended   string `json:"certificateExtendedKeyUsages"`
	Begins     string `json:"certificateIssuanceDateTime"`
}

var floorBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

// answer sends what fill builds.
func answer(w http.ResponseWriter, status int, fill func([]byte) ([]byte, error)) {
	buf := floorBuffers.Get().(*[]byte)
	defer floorBuffers.Put(buf)
	b, err := fill((*buf)[:0])
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	*buf = b
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

func (f *floor) serveGet(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, func(b []byte) ([]byte, error) {
		var row floorRow
		if err := f.get.QueryRow(f.tenant<<16, r.PathValue("id")).Scan(row.targets()...); err != nil {
			return b, err
		}
		return row.append(b), nil
	})
}

func (f *floor) servePage(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	top, _ := strconv.Atoi(q.Get("top"))
	after, _ := strconv.ParseInt(q.Get("after"), 10, 64)
	answer(w, http.StatusOK, func(b []byte) ([]byte, error) {
		rows, err := f.page.Query(f.tenant, after, top)
		if err != nil {
			return b, err
		}
		defer rows.Close() // Err has said it
		b, row, err := appendRecords(append(b, `{"value":`...), rows)
		if row.n == top {
			b = strconv.AppendInt(append(b, `,"next":`...), row.k, 10)
		}
		return append(b, '}'), err
	})
}

// lastRow is how many records a page has, and the key of the last.
type lastRow struct {
	n int
	k int64
}

// appendRecords appends rows of floorColumns as a JSON array.
func appendRecords(b []byte, rows *sql.Rows) ([]byte, lastRow, error) {
	b = append(b, '[')
	var row floorRow
	targets := row.targets()
	n := 0
	for ; rows.Next(); n++ {
		if err := rows.Scan(targets...); err != nil {
			return b, lastRow{}, err
		}
		if n > 0 {
			b = append(b, ',')
		}
		b = row.append(b)
	}
	return append(b, ']'), lastRow{n, row.k}, rows.Err()
}

func (f *floor) serveCreate(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	var in floorBody
	if err == nil {
		err = json.Unmarshal(text, &in)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	row := floorRow{id: uuid.NewString(), device: in.Device, upn: in.UPN, issuer: in.Issuer, thumbprint: in.Thumbprint,
		serial: in.Serial, subject: in.Subject, usages: in.Usages, extended: in.Extended}
	var errs [4]error
	row.status, errs[0] = certstate.RevokeStatusType.Parse(in.Status)
	row.changed, errs[1] = edm.ParseDateTimeOffset(in.Changed)
	row.ends, errs[2] = edm.ParseDateTimeOffset(in.Ends)
	row.begins, errs[3] = edm.ParseDateTimeOffset(in.Begins)
	if err := errors.Join(errs[:]...); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, http.StatusCreated, func(b []byte) ([]byte, error) { return row.append(b), f.writer.create(&row) })
}
