package stepca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// authority is a step-ca with a root and an intermediate of its own, and a
// provisioner of each kind that devices use: SCEP, ACME and JWK.
type authority struct {
	dir             string
	root            *x509.Certificate
	intermediate    *x509.Certificate
	intermediateKey *rsa.PrivateKey
	tokenKey        *ecdsa.PrivateKey
	https, http     string // addresses
	acmePort        string
	process         *program
}

const challenge = "the challenge of the SCEP provisioner"

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir(), https: freeAddress(t), http: freeAddress(t)}
	_, a.acmePort, _ = net.SplitHostPort(freeAddress(t))
	rootKey := newRSA(t)
	a.intermediateKey = newRSA(t)
	var err error
	if a.tokenKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := func(name string, serial int64) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, SubjectKeyId: []byte(name)}
	}
	a.root = certify(t, template("Lab Root", 1), nil, rootKey.Public(), rootKey)
	a.intermediate = certify(t, template("Lab Intermediate", 2), a.root, a.intermediateKey.Public(), rootKey)
	a.write(t, "root.crt", "CERTIFICATE", a.root.Raw)
	a.write(t, "intermediate.crt", "CERTIFICATE", a.intermediate.Raw)
	a.write(t, "intermediate.key", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(a.intermediateKey))
	return a
}

func newRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certify issues a certificate, by itself without a parent.
func certify(t *testing.T, template, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	t.Helper()
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) write(t *testing.T, name, kind string, blocks ...[]byte) {
	t.Helper()
	var b bytes.Buffer
	for _, der := range blocks {
		if err := pem.Encode(&b, &pem.Block{Type: kind, Bytes: der}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(a.path(name), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// registerPair issues the certificate that the register listens for sources with.
func (a *authority) registerPair(t *testing.T) (cert, key string) {
	t.Helper()
	k := newRSA(t)
	c := certify(t, &x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "register"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, a.intermediate, k.Public(), a.intermediateKey)
	a.write(t, "register.crt", "CERTIFICATE", c.Raw, a.intermediate.Raw)
	a.write(t, "register.key", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k))
	return a.path("register.crt"), a.path("register.key")
}

// configure writes ca.json, as a person would by hand. webhook may be "".
func (a *authority) configure(t *testing.T, database map[string]any, webhook string) {
	t.Helper()
	public := jose.JSONWebKey{Key: a.tokenKey.Public(), KeyID: "lab", Algorithm: "ES256", Use: "sig"}
	claims := map[string]any{"minTLSCertDuration": "5m", "maxTLSCertDuration": "240h", "defaultTLSCertDuration": "24h"}
	scep := map[string]any{"type": "SCEP", "name": "scep", "challenge": challenge, "minimumPublicKeyLength": 2048, "encryptionAlgorithmIdentifier": 2, "claims": claims}
	if webhook != "" {
		scep["options"] = map[string]any{"webhooks": []any{map[string]any{"id": "1", "name": "certstate", "url": webhook, "kind": "NOTIFYING", "certType": "X509"}}}
	}
	config := map[string]any{
		"root": a.path("root.crt"), "crt": a.path("intermediate.crt"), "key": a.path("intermediate.key"),
		"address": a.https, "insecureAddress": a.http, "dnsNames": []string{"localhost"}, "logger": map[string]any{"format": "text"}, "db": database,
		"authority": map[string]any{"claims": claims, "provisioners": []any{
			scep,
			map[string]any{"type": "ACME", "name": "acme", "challenges": []string{"http-01"}, "claims": claims},
			map[string]any{"type": "JWK", "name": "jwk", "key": public, "claims": claims},
		}},
		"tls": map[string]any{"minVersion": 1.2, "maxVersion": 1.3},
	}
	text, err := json.Marshal(config)
	if err == nil {
		err = os.WriteFile(a.path("ca.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// start runs the step-ca until the test ends, or stop.
func (a *authority) start(t *testing.T) {
	t.Helper()
	a.process = run(t, "step-ca", exec.Command(stepCA, a.path("ca.json"), "--insecure", "--acme-http-port", a.acmePort))
	a.process.until(t, "answers", func() bool {
		resp, err := a.client().Get("https://" + a.https + "/health")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// freeAddress is one on localhost that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return fmt.Sprintf("localhost:%s", port)
}
