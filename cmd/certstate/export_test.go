package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
	"certstate/store/storetest"
	"certstate/store/storetest/load"
)

const (
	fromTenant = "8d9f61b2-0f1e-4c6d-9a51-3f5b1c1e7a10"
	toTenant   = "0c2f61b2-0f1e-4c6d-9a51-3f5b1c1e7a11"
)

// What is exported with all properties and imported again is the same in all that
// a client can set: nasty texts, nulls beside empty texts, certificates, times with
// their offsets.
func TestExportedIsImported(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		s := newRegister(t, url)
		file := filepath.Join(t.TempDir(), "all.ndjson")
		command(t, "export", "--database", url, "--tenant", fromTenant, "--format", "ndjson", "--select", "*", "-o", file)
		command(t, "import", "--database", url, "--tenant", toTenant, file)
		want, got := all(t, s, fromTenant), all(t, s, toTenant)
		if len(want) < 100 || len(want) != len(got) {
			t.Fatalf("%d records became %d", len(want), len(got))
		}
		for i := range want {
			got[i].Created, got[i].Modified, got[i].Version = want[i].Created, want[i].Modified, want[i].Version
			for p := range certstate.Properties {
				property := &certstate.Properties[p]
				if w, g := property.Field(&want[i]), property.Field(&got[i]); w.Text() != g.Text() || w.IsNull() != g.IsNull() {
					t.Errorf("record %d: %s was %.80q and became %.80q", i, property.Name, w.Text(), g.Text())
				}
			}
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file's mode is %v, %v", info.Mode(), err)
		}
	})
}

// So it is by way of CSV, but for what CSV cannot say: null and empty text are
// one, which a certificate fills, and its reader makes LF of CRLF.
func TestExportedCSVIsImported(t *testing.T) {
	storetest.EachEngine(t, func(t *testing.T, url string) {
		s := newRegister(t, url)
		file := filepath.Join(t.TempDir(), "all.csv")
		command(t, "export", "--database", url, "--tenant", fromTenant, "--select", "*", "--bom", "-o", file)
		command(t, "import", "--database", url, "--tenant", toTenant, file)
		want, got := all(t, s, fromTenant), all(t, s, toTenant)
		if len(want) < 100 || len(want) != len(got) {
			t.Fatalf("%d records became %d", len(want), len(got))
		}
		for i := range want {
			for p := range certstate.Properties {
				property := &certstate.Properties[p]
				w := strings.ReplaceAll(property.Field(&want[i]).Text(), "\r\n", "\n")
				if g := property.Field(&got[i]).Text(); w != g && !property.Is(certstate.Computed) && (w != "" || !want[i].Certificate.Valid) {
					t.Errorf("record %d: %s was %.80q and became %.80q", i, property.Name, w, g)
				}
			}
		}
	})
}

// newRegister has two tenants, the first with records that were created, changed
// and deleted.
func newRegister(t *testing.T, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url, store.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for _, id := range []string{fromTenant, toTenant} {
		if _, err := s.AddTenant(t.Context(), id, ""); err != nil {
			t.Fatal(err)
		}
	}
	from := tenantOf(t, s, fromTenant)
	r := rand.New(rand.NewPCG(3, 4))
	certificates := [][]byte{newCertificate(t, 1), newCertificate(t, 2), newCertificate(t, 3)}
	records := make([]certstate.State, 300)
	for i := range records {
		records[i] = nasty(r, i, certificates)
	}
	load.Records(t, s, from, records)
	for i := range 20 {
		patch := nasty(r, i, certificates)
		id := records[i*7].ID.S
		if _, err := s.Update(t.Context(), from, id, &patch, certstate.All&^certstate.KeySet, nil, certstate.Cause{}); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(t.Context(), from, records[i*7+1].ID.S, nil, certstate.Cause{}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

var nastyTexts = []string{"", "a", " a ", "'", "''", "'=1", "=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "\t=1", "\r", "\n", "a\r\nb", "\"", "\"\"", ",", ";", "a,b\"c\"", "\ufeff", "\u2028",
	"00", "007", "0012345678901234567890", "12E45", "1E400", "3/4", "1-2", "12:34:56", "TRUE", "日本語", "\U0010ffff", "<script>&amp;", "\\", "\x01\x1f\x7f", "ß İ ŉ", "{\"id\":1}", strings.Repeat("x", 32768), "null"}

// nasty is a record with random values of the kinds that break files.
func nasty(r *rand.Rand, n int, certificates [][]byte) certstate.State {
	s := certstate.State{ID: edm.Str(fmt.Sprintf("%d,=\"'%d", n, r.Uint32()))}
	for i := range certstate.Properties[1:] {
		p := &certstate.Properties[i+1]
		if r.IntN(4) == 0 || p.Is(certstate.Computed) {
			continue
		}
		switch f := p.Field(&s).(type) {
		case *edm.String:
			*f = edm.Str(nastyTexts[r.IntN(len(nastyTexts))])
		case *edm.DateTimeOffset:
			*f = edm.DateTimeOffset{Ticks: 6e17 + r.Int64N(1e17), Offset: r.Int64N(1680) - 840}
		case *edm.Int32:
			*f = edm.Int(int32(r.Uint32()))
		case *certstate.RevokeStatus:
			*f = certstate.RevokeStatus(r.IntN(5))
		case *edm.Binary:
			*f = edm.Bin(certificates[r.IntN(len(certificates))])
		}
	}
	if s.Certificate.Valid { // of another SHA-256 than the certificate's the register keeps the finding, not the claim
		s.ThumbprintSHA256 = edm.String{}
	}
	return s
}

func newCertificate(t *testing.T, n int64) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: "LAPTOP, \"x\""}, NotAfter: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), DNSNames: []string{"a.example"}}
	der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func tenantOf(t *testing.T, s *store.Store, id string) store.Tenant {
	t.Helper()
	tenant, err := s.Tenant(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

// all is a tenant's records, in the order of their creation.
func all(t *testing.T, s *store.Store, id string) (list []certstate.State) {
	t.Helper()
	_, err := s.List(t.Context(), tenantOf(t, s, id), &odata.Query{Select: certstate.All}, store.Position{}, 10_000, func(st *certstate.State) error {
		list = append(list, *st)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// command runs the program and returns its output.
func command(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(context.Background(), args, nil, nil, &out, &errs); code != exitOK {
		t.Fatalf("%q: exit code %d\n%s", args, code, errs.String())
	}
	return out.String()
}
