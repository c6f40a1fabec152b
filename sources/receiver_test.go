package sources

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"certstate/ingest"
	"certstate/store"
	"certstate/store/storetest"
)

// listen starts a receiver with a certificate of the authority's.
func listen(t *testing.T, s *store.Store, ca *authority) string {
	t.Helper()
	r := &Receiver{Store: s, Log: quiet}
	srv := httptest.NewUnstartedServer(r)
	srv.TLS = r.TLS(&tls.Config{Certificates: []tls.Certificate{ca.pair(t, "register")}})
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
}

// sender is a step-ca's client with a certificate, as the step-ca makes it.
func sender(ca *authority, pair ...tls.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(ca.root)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: pair}}}
}

// success is what a step-ca tells of a certificate that was issued over SCEP.
func success(t *testing.T, der []byte) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"timestamp": "2026-01-02T03:04:05Z", "x509CertificateRequest": map[string]any{"raw": []byte("csr")},
		"x509Certificate":   map[string]any{"publicKey": []byte("key"), "notBefore": "2026-01-02T03:04:05Z", "raw": der},
		"scepTransactionID": "1"})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// send posts a notification signed with a key.
func send(t *testing.T, c *http.Client, url string, body, signedWith []byte) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Smallstep-Signature", hex.EncodeToString(mac(signedWith, body)))
	resp, err := c.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text))
}

const allowed = `{"allow":true}`

// Who may notify, and with what.
func TestReceiver(t *testing.T) {
	s, tn := open(t, storetest.Engines[0].URL(t))
	ca, stranger := newAuthority(t), newAuthority(t)
	set := StepCA{Roots: ca.pem(), ClientName: DefaultClientName, Every: 1, DeviceFrom: ingest.FromCN}
	add(t, s, tn, "open", set)
	set.Secret = []byte("a secret of the webhook's")
	add(t, s, tn, "secret", set)
	add(t, s, tn, "unnotified", StepCA{Database: "/nowhere", Every: 1, DeviceFrom: ingest.FromCN})
	other := enrol(t, s, "22222222-2222-4333-8444-555555555555")
	foreign := set
	foreign.Roots, foreign.Secret = stranger.pem(), nil
	add(t, s, other, "open", foreign)
	suspended := enrol(t, s, "33333333-2222-4333-8444-555555555555")
	add(t, s, suspended, "open", set)
	if err := s.SuspendTenant(t.Context(), suspended.ID); err != nil {
		t.Fatal(err)
	}
	url := listen(t, s, ca)
	at := func(tn store.Tenant, name string) string { return url + "/" + tn.ID + "/" + name }
	own := sender(ca, ca.pair(t, DefaultClientName))
	device := success(t, ca.device(t, "LAPTOP-1"))
	const no = `{"allow":false,"error":{"code":"Forbidden","message":"Not allowed."}}`
	for _, c := range []struct {
		what   string
		client *http.Client
		url    string
		body   []byte
		key    []byte
		status int
		answer string // "": any
	}{
		{"the step-ca, signed with the empty key as ever", own, at(tn, "open"), device, nil, 200, allowed},
		{"again", own, at(tn, "open"), device, nil, 200, allowed},
		{"no client certificate", sender(ca), at(tn, "open"), device, nil, 0, ""},
		{"another authority's client certificate", sender(ca, stranger.pair(t, DefaultClientName)), at(tn, "open"), device, nil, 403, no},
		{"a device's certificate", sender(ca, ca.pair(t, "LAPTOP-1")), at(tn, "open"), device, nil, 403, no},
		{"another tenant's source", own, at(other, "open"), device, nil, 403, no},
		{"a tenant that is not enrolled", own, url + "/44444444-2222-4333-8444-555555555555/open", device, nil, 403, no},
		{"a suspended tenant", own, at(suspended, "open"), device, nil, 403, no},
		{"a source there is not", own, at(tn, "none"), device, nil, 403, no},
		{"a source without roots", own, at(tn, "unnotified"), device, nil, 403, no},
		{"the empty key where there is a secret", own, at(tn, "secret"), device, nil, 403, no},
		{"another secret", own, at(tn, "secret"), device, []byte("guessed"), 403, no},
		{"the secret", own, at(tn, "secret"), device, set.Secret, 200, allowed},
		{"the secret, from a device", sender(ca, ca.pair(t, "LAPTOP-1")), at(tn, "secret"), device, set.Secret, 403, no},
		{"too long", own, at(tn, "open"), bytes.Repeat([]byte(" "), maxNotification+1), nil, 413, ""},
		{"no JSON", own, at(tn, "open"), []byte("certificate"), nil, 400, ""},
		{"no certificate", own, at(tn, "open"), success(t, []byte("no certificate")), nil, 400, ""},
		{"a failure", own, at(tn, "open"), []byte(`{"scepErrorCode":2,"scepErrorDescription":"bad request","x509CertificateRequest":{"raw":"AA=="}}`), nil, 200, allowed},
		{"a challenge, with a certificate", own, at(tn, "open"), []byte(strings.Replace(string(device), "{", `{"scepChallenge":"x",`, 1)), nil, 200,
			`{"allow":false,"error":{"code":"OK","message":"This is a register: it takes notifications and allows nothing."}}`},
		{"a request to authorize", own, at(tn, "open"), []byte(`{"x509Certificate":{"publicKey":"AA=="}}`), nil, 200,
			`{"allow":false,"error":{"code":"OK","message":"This is a register: it takes notifications and allows nothing."}}`},
	} {
		if status, answer := send(t, c.client, c.url, c.body, c.key); status != c.status || c.answer != "" && answer != c.answer {
			t.Errorf("%s: %d %s, want %d %s", c.what, status, answer, c.status, c.answer)
		}
	}
	if got := records(t, s, tn, "source eq 'secret'"); len(got) != 1 || got["LAPTOP-1"].Subject.S != "CN=LAPTOP-1" {
		t.Errorf("records %v", got)
	}
	if src := status(t, s, tn, "open"); src.Notified != 1 || src.Seen.Ticks == 0 || src.Known() != 1 {
		t.Errorf("%+v", src)
	}
	if n, err := s.Live(t.Context(), other); n != 0 || err != nil {
		t.Errorf("%d records of the other tenant, %v", n, err)
	}
	resp, err := own.Get(at(tn, "open"))
	if err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Error(resp, err)
	}
}

// What was answered is on disk: the files, as a power cut would leave them that very
// moment, have it.
func TestNotificationIsKept(t *testing.T) {
	dir := t.TempDir()
	s, tn := open(t, "sqlite:"+filepath.Join(dir, "register.db"))
	ca := newStepCA(t)
	add(t, s, tn, "lab", ca.settings())
	url, own := listen(t, s, ca.authority), sender(ca.authority, ca.pair(t, DefaultClientName))
	for i := range 3 {
		if code, answer := send(t, own, fmt.Sprintf("%s/%s/lab", url, tn.ID), success(t, ca.issues(t, fmt.Sprint("device ", i), "SCEP")), nil); answer != allowed {
			t.Fatal(code, answer)
		}
		left := filepath.Join(t.TempDir(), "left")
		if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		after, _ := open(t, "sqlite:"+filepath.Join(left, "register.db"))
		if got := records(t, after, tn, "source eq 'lab'"); len(got) != i+1 {
			t.Errorf("%d records after %d answers", len(got), i+1)
		}
		// The reading after the restart doubles nothing, and finds no gap.
		if found, err := Reconcile(t.Context(), after, tn, "lab", quiet); err != nil || found != (Result{Read: i + 1}) {
			t.Errorf("%+v, %v", found, err)
		}
		if src := status(t, after, tn, "lab"); src.Notified != int64(i+1) || src.Recovered != 0 {
			t.Errorf("%+v", src)
		}
	}
}
