package sources

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"certstate"
	"certstate/ingest"
	"certstate/odata"
	"certstate/store"
	"certstate/store/storetest"
)

const tenantID = "11111111-2222-4333-8444-555555555555"

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

var quiet = slog.New(slog.DiscardHandler)

func open(t *testing.T, url string) (*store.Store, store.Tenant) {
	t.Helper()
	s, err := store.Open(t.Context(), url, store.Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, enrol(t, s, tenantID)
}

func enrol(t *testing.T, s *store.Store, id string) store.Tenant {
	t.Helper()
	if _, err := s.AddTenant(t.Context(), id, ""); err != nil {
		t.Fatal(err)
	}
	tn, err := s.Tenant(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return tn
}

// authority issues certificates, all with its own key.
type authority struct {
	key  *ecdsa.PrivateKey
	root *x509.Certificate
	last atomic.Int64 // serial number
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key}
	a.last.Store(1000)
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "Lab Root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.root, err = x509.ParseCertificate(a.issue(t, template))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) issue(t testing.TB, template *x509.Certificate) []byte {
	t.Helper()
	template.SerialNumber = big.NewInt(a.last.Add(1) * 7919)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent := a.root
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// device issues a device's certificate.
func (a *authority) device(t testing.TB, name string) []byte {
	t.Helper()
	return a.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}})
}

func (a *authority) pair(t testing.TB, name string) tls.Certificate {
	t.Helper()
	return tls.Certificate{Certificate: [][]byte{a.device(t, name)}, PrivateKey: a.key}
}

func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw}))
}

func key(t testing.TB, der []byte) string {
	t.Helper()
	k, err := serialOf(der)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// stepCA is a database as a step-ca with PostgreSQL keeps it: the tables that
// github.com/smallstep/nosql v0.8.0 makes, and the rows that certificates v0.30.2
// writes.
type stepCA struct {
	*authority
	url  string
	conn *pgx.Conn
}

func newStepCA(t *testing.T) *stepCA {
	t.Helper()
	ca := &stepCA{authority: newAuthority(t), url: storetest.Postgres(t)}
	var err error
	if ca.conn, err = pgx.Connect(t.Context(), ca.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ca.conn.Close(context.Background()) })
	for _, table := range []string{certsTable, dataTable, revokedTable} {
		ca.exec(t, fmt.Sprintf(`CREATE TABLE IF NOT EXISTS "%s" (nkey BYTEA CHECK (octet_length(nkey) <= 255), nvalue BYTEA, PRIMARY KEY (nkey));`, table))
	}
	return ca
}

func (ca *stepCA) exec(t *testing.T, text string, args ...any) {
	t.Helper()
	if _, err := ca.conn.Exec(t.Context(), text, args...); err != nil {
		t.Fatal(err)
	}
}

const put = `INSERT INTO "%s" (nkey, nvalue) VALUES ($1, $2) ON CONFLICT (nkey) DO UPDATE SET nvalue = excluded.nvalue;`

// issues has it issue a certificate, of which nobody hears.
func (ca *stepCA) issues(t *testing.T, name, provisioner string) []byte {
	t.Helper()
	der := ca.device(t, name)
	ca.exec(t, fmt.Sprintf(put, certsTable), []byte(key(t, der)), der)
	ca.exec(t, fmt.Sprintf(put, dataTable), []byte(key(t, der)), provisionerData(provisioner))
	return der
}

func provisionerData(kind string) []byte {
	return fmt.Appendf(nil, `{"provisioner":{"id":"%s/lab","name":"lab","type":"%[1]s"}}`, kind)
}

func (ca *stepCA) revokes(t *testing.T, der []byte) {
	t.Helper()
	ca.exec(t, fmt.Sprintf(put, revokedTable), []byte(key(t, der)), revokedData(t, der))
}

var revokedAt = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func revokedData(t *testing.T, der []byte) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"Serial": key(t, der), "ProvisionerID": "lab", "ReasonCode": 1, "Reason": "lost", "RevokedAt": revokedAt, "TokenID": "x", "MTLS": true})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// settings of a source with all there is.
func (ca *stepCA) settings() StepCA {
	return StepCA{Roots: ca.pem(), ClientName: DefaultClientName, Database: ca.url, Every: 1, DeviceFrom: ingest.FromCN, UPN: true}
}

func add(t *testing.T, s *store.Store, tn store.Tenant, name string, set StepCA) {
	t.Helper()
	src, err := set.Source(name)
	if err == nil {
		_, err = s.AddSource(t.Context(), tn, src)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// status is a source as it stands.
func status(t *testing.T, s *store.Store, tn store.Tenant, name string) store.Source {
	t.Helper()
	src, err := s.Source(t.Context(), tn, name)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// records are those that a filter selects, by device.
func records(t *testing.T, s *store.Store, tn store.Tenant, filter string) map[string]certstate.State {
	t.Helper()
	q, err := odata.ParseQuery("$filter="+filter, odata.ListOptions)
	if err != nil {
		t.Fatal(err)
	}
	q.Select = certstate.All
	m := map[string]certstate.State{}
	if _, err := s.List(t.Context(), tn, &q, store.Position{}, 1<<20, func(st *certstate.State) error {
		m[st.DeviceName.S] = *st
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return m
}
