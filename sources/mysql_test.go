package sources

import (
	"context"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"certstate/ingest"
	"certstate/sources/dbtest"
	"certstate/store/storetest"
)

// mysqlCA is a step-ca whose database is in MariaDB, with the tables that
// github.com/smallstep/nosql v0.8.0 makes there.
type mysqlCA struct {
	*authority
	server *dbtest.MariaDB
	db     *sql.DB
}

// password has what is odd in URLs and data sources.
const password = `p:a/s?s#w@o%r(d)&x=`

func newMySQLCA(t *testing.T, options ...string) *mysqlCA {
	t.Helper()
	ca := &mysqlCA{newAuthority(t), dbtest.Start(t, options...), nil}
	err := ca.server.Exec(t.Context(), "CREATE DATABASE stepca", "CREATE USER reader@'%' IDENTIFIED BY '"+password+"'", "CREATE USER stranger@'%'")
	if err == nil {
		ca.db, err = ca.server.Open("stepca")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ca.db.Close() })
	for _, table := range []string{certsTable, dataTable, revokedTable} {
		ca.exec(t, fmt.Sprintf("CREATE TABLE IF NOT EXISTS `%s`(nkey VARBINARY(255), nvalue BLOB, PRIMARY KEY (nkey));", table))
		ca.exec(t, "GRANT SELECT ON "+table+" TO reader@'%'")
	}
	return ca
}

func (ca *mysqlCA) exec(t *testing.T, text string, args ...any) {
	t.Helper()
	if _, err := ca.db.ExecContext(t.Context(), text, args...); err != nil {
		t.Fatal(err)
	}
}

// keeps writes rows as nosql does.
func (ca *mysqlCA) keeps(t *testing.T, kept rows) {
	t.Helper()
	tx, err := ca.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for table, values := range kept {
		for key, value := range values {
			if _, err := tx.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO `%s`(nkey, nvalue) VALUES(?,?) ON DUPLICATE KEY UPDATE nvalue = ?", table), []byte(key), value, value); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// url is the database as a user who may only read, over TCP.
func (ca *mysqlCA) url(user string) string {
	u := url.URL{Scheme: "mysql", User: url.UserPassword(user, password), Host: fmt.Sprint("127.0.0.1:", ca.server.Port), Path: "/stepca"}
	return u.String()
}

// dataSource is the same as a step-ca's ca.json has it, over the socket.
func (ca *mysqlCA) dataSource() string {
	return "reader:" + password + "@unix(" + ca.server.Socket + ")/stepca?readTimeout=20s"
}

func (ca *mysqlCA) settings(database string) StepCA {
	return StepCA{Roots: ca.pem(), ClientName: DefaultClientName, Database: database, Every: 1, DeviceFrom: ingest.FromCN, UPN: true}
}

// A step-ca with MySQL is followed as one with PostgreSQL is, named by a URL and as
// its configuration does: what it has comes in, page after page, and what it revoked
// or has no longer is marked.
func TestMySQL(t *testing.T) {
	ca := newMySQLCA(t)
	const n = pageKeys + 500
	kept := ca.rows(t, n)
	ca.keeps(t, kept)
	url := storetest.Engines[0].URL(t)
	s, tn := open(t, url)
	add(t, s, tn, "lab", ca.settings(ca.url("reader")))
	began := time.Now().Add(-time.Minute)
	reads(t, s, tn, Result{Read: n, New: n})
	if src := status(t, s, tn, "lab"); src.Watermark.Time().Before(began) || src.Watermark.Time().After(time.Now().Add(time.Minute)) {
		t.Errorf("the watermark is %s", src.Watermark.Text())
	}
	if got := records(t, s, tn, "certificateRevokeStatus eq 'revoked'"); len(got) != n/10 {
		t.Errorf("%d revoked", len(got))
	}
	add(t, s, tn, "lab", ca.settings(ca.dataSource()))
	if src := status(t, s, tn, "lab"); strings.Contains(string(src.Settings), "p:a/s") || !strings.Contains(string(src.Settings), `"mysql://reader:`) {
		t.Errorf("the settings are %s", src.Settings)
	}
	der := ca.device(t, "silent")
	ca.keeps(t, rows{certsTable: {key(t, der): der}, dataTable: {key(t, der): provisionerData("JWK")}})
	reads(t, s, tn, Result{Read: n + 1, New: 1})
	ca.keeps(t, rows{revokedTable: {key(t, der): revokedData(t, der)}})
	reads(t, s, tn, Result{Read: n + 1, Revoked: 1})
	ca.exec(t, "DELETE FROM x509_certs WHERE nkey = ?", []byte(key(t, der)))
	reads(t, s, tn, Result{Read: n, Gone: 1})
	if got := records(t, s, tn, "certificateFindings has 'noLongerReported'"); len(got) != 1 || got["silent"].ID.S == "" {
		t.Errorf("marked: %v", got)
	}
	reads(t, s, tn, Result{Read: n})
}

// A user that may write does not, whatever the server's own settings are, and locks
// nothing.
func TestMySQLReadOnly(t *testing.T) {
	ca := newMySQLCA(t, "--transaction-isolation=READ-UNCOMMITTED", "--autocommit=0")
	ca.keeps(t, ca.rows(t, 1))
	where := ca.server.DataSource("stepca")
	db, err := OpenDatabase(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.(*mysqlDatabase).conn.ExecContext(t.Context(), "DELETE FROM x509_certs"); err == nil || !strings.Contains(err.Error(), "READ ONLY") {
		t.Errorf("it deletes: %v", err)
	}
	count := func() int {
		keys, err := db.keys(t.Context(), certsTable, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		return len(keys)
	}
	tx, err := ca.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO x509_certs VALUES ('1', 'x')"); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 1 {
		t.Errorf("%d certificates, one of them not committed", n)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 2 {
		t.Errorf("%d certificates after the commit", n)
	}
	ca.exec(t, "ALTER TABLE x509_certs NOWAIT ADD COLUMN more INT") // no transaction is left open, which would keep others waiting
}

// What is wrong is said with its cure, and never with the password.
func TestMySQLFaults(t *testing.T) {
	ca := newMySQLCA(t)
	away := "mysql://reader:" + url.QueryEscape(password) + "@127.0.0.1:1/stepca"
	for what, c := range map[string]struct{ where, say string }{
		"strangers":    {strings.Replace(ca.url("stranger"), url.UserPassword("", password).String(), ":", 1), "grant the user SELECT on x509_certs"},
		"password":     {ca.url("nobody"), "Access denied"},
		"no database":  {strings.Replace(ca.url("root"), "root:"+url.UserPassword("", password).String()[1:], "root", 1) + "none", "there is no such database"},
		"other tables": {"root@unix(" + ca.server.Socket + ")/mysql", "is not a step-ca's"},
		"away":         {away, "cannot be reached"},
		"unnamed":      {"reader:" + password + "@unix(" + ca.server.Socket + ")/", "name the step-ca's database"},
		"no slash":     {"reader:" + password + "@tcp(127.0.0.1:1)", "dataSource cannot be read"},
		"slash":        {"mysql://reader:1/secret@127.0.0.1:1/stepca", "as %XX"},
		"question":     {"mysql://reader:1?secret@127.0.0.1:1/stepca", "as %XX"},
		"hash":         {"mysql://reader:1#secret@127.0.0.1:1/stepca", "as %XX"},
		"percent":      {"mysql://reader:secret%@127.0.0.1:1/stepca", "as %XX"},
		"postgres":     {"postgres://reader:1/secret@127.0.0.1:1/stepca", "as %XX"},
		"postgres %":   {"postgres://reader:secret%@127.0.0.1:1/stepca", "as %XX"},
		"parameter":    {"mysql://reader:secret@127.0.0.1:1/stepca?tls=perhaps", "the parameters of the step-ca's database"},
		"nobody":       {"mysql://127.0.0.1:1/stepca", "name a user"},
	} {
		db, err := OpenDatabase(t.Context(), c.where)
		if err == nil {
			_, err = db.keys(t.Context(), certsTable, "", 10)
			_ = db.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v", what, err)
			continue
		}
		for _, secret := range []string{"secret", password, url.QueryEscape(password), url.UserPassword("", password).String(), "s?s"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s says the password: %v", what, err)
			}
		}
	}
}

// A server that does not answer is given up, before there is a connection and after.
func TestMySQLHangs(t *testing.T) {
	ca := newMySQLCA(t)
	ca.keeps(t, ca.rows(t, 1))
	where := ca.url("reader") + "?readTimeout=500ms"
	db, err := OpenDatabase(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := ca.server.Pause(); err != nil {
		t.Fatal(err)
	}
	defer ca.server.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := db.keys(ctx, certsTable, "", 10); err == nil {
		t.Error("a server that is stopped answers")
	}
	if _, err := OpenDatabase(ctx, where); err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("a server that is stopped is opened: %v", err)
	}
	if ctx.Err() != nil {
		t.Error("it was waited for too long")
	}
}

// Over TCP the connection is encrypted if the server can, and if that is asked for,
// with a server that proves who it is alone.
func TestMySQLEncrypted(t *testing.T) {
	pair := newAuthority(t)
	cert, keyFile := filepath.Join(t.TempDir(), "server.crt"), filepath.Join(t.TempDir(), "server.key")
	secret, err := x509.MarshalPKCS8PrivateKey(pair.key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: pair.device(t, "server")}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
			if err := os.Chmod(dir, 0o755); err != nil { // another user reads what is in it
				t.Fatal(err)
			}
		}
	}
	ca := newMySQLCA(t, "--ssl-cert="+cert, "--ssl-key="+keyFile)
	ca.keeps(t, ca.rows(t, 1))
	db, err := OpenDatabase(t.Context(), ca.url("reader"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var name, cipher string
	if err := db.(*mysqlDatabase).conn.QueryRowContext(t.Context(), "SHOW SESSION STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher); err != nil || cipher == "" {
		t.Errorf("the cipher is %q, %v", cipher, err)
	}
	if _, err := OpenDatabase(t.Context(), ca.url("reader")+"?tls=true"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server that nobody vouches for: %v", err)
	}
}
