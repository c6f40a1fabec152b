package sources

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"certstate"
	"certstate/store"
)

// Receiver takes the notifications that sources send, at /TENANT/SOURCE. Who may
// send them the client certificate decides, which must lead to the source's roots and
// have its client name; so the server must ask for one ([Receiver.TLS]).
type Receiver struct {
	Store *store.Store
	Log   *slog.Logger
}

// maxNotification bounds the body of a notification in bytes. A certificate is
// 64 KiB at most, and is sent three times: as request, certificate and key.
const maxNotification = 1 << 20

// TLS is a server's configuration, with a client's certificate asked for. Which
// roots it must lead to is known once the path is.
func (r *Receiver) TLS(base *tls.Config) *tls.Config {
	c := base.Clone()
	c.ClientAuth = tls.RequireAnyClientCert
	c.MinVersion = tls.VersionTLS12
	return c
}

// refusal is an answer other than that a notification was taken.
type refusal struct {
	status int
	text   string // for the sender
	why    error  // for the log
}

func (r *refusal) Error() string { return cmp.Or(r.text, "refused") + ": " + r.why.Error() }

// ServeHTTP answers once the certificate is kept for good.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	began := time.Now()
	tenant, name, _ := strings.Cut(strings.Trim(req.URL.Path, "/"), "/")
	n, err := r.take(w, req, strings.ToLower(tenant), name)
	status, body := http.StatusOK, any(map[string]bool{"allow": true})
	level, attrs := slog.LevelInfo, []any{"tenant", tenant, "source", name, "certificates", n}
	if err != nil {
		level = slog.LevelWarn
		status, body = refused(err)
		attrs = append(attrs, "error", err.Error())
	}
	r.Log.Log(req.Context(), level, "notification", append(attrs, "status", status, "took", time.Since(began))...)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // who has gone hears nothing
}

// refused is the answer to a notification that was not taken. A step-ca sends it
// again once if the status is 500 or more.
func refused(err error) (int, any) {
	said := func(code, text string) any {
		return map[string]any{"allow": false, "error": map[string]string{"code": code, "message": text}}
	}
	if no := (*refusal)(nil); errors.As(err, &no) {
		return no.status, said(http.StatusText(no.status), no.text)
	}
	return http.StatusServiceUnavailable, said("Service Unavailable", "The register cannot take it at the moment.")
}

func (r *Receiver) take(w http.ResponseWriter, req *http.Request, tenant, name string) (int, error) {
	if req.Method != http.MethodPost {
		return 0, &refusal{http.StatusMethodNotAllowed, "Notifications are sent with POST.", errors.New(req.Method)}
	}
	t, set, err := r.sender(req, tenant, name)
	if err != nil {
		return 0, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxNotification))
	if err != nil {
		return 0, &refusal{http.StatusRequestEntityTooLarge, "The body is too large, or was cut short.", err}
	}
	if err := set.checkSignature(body, req.Header.Get("X-Smallstep-Signature")); err != nil {
		return 0, &refusal{http.StatusForbidden, notAllowed, err}
	}
	list, err := set.sightings(name, body)
	if errors.Is(err, errAsks) { // a 200, so that the authority says in its log what is wrong
		return 0, &refusal{http.StatusOK, "This is a register: it takes notifications and allows nothing.", err}
	}
	if err != nil {
		return 0, &refusal{http.StatusBadRequest, "The body is not what a step-ca notifies with.", err}
	}
	err = r.Store.Notify(req.Context(), t, name, list, certstate.Cause{Actor: actor(name), Reason: "the source told of it"})
	if code := certstate.ErrorCode(err); err != nil && code != certstate.Internal && code != certstate.Unavailable && code != certstate.Full {
		err = &refusal{http.StatusBadRequest, "The certificate cannot be kept.", err}
	}
	return len(list), err
}

// actor is who changes records in a source's name.
func actor(source string) string { return "source:" + source }

const notAllowed = "Not allowed."

// sender finds out who sends a notification. A stranger is not told which tenants and
// sources there are.
func (r *Receiver) sender(req *http.Request, tenant, name string) (t store.Tenant, set StepCA, err error) {
	t, src, err := r.find(req.Context(), tenant, name)
	if err != nil {
		return t, set, err
	}
	if set, err = Settings(&src); err == nil {
		err = set.checkClient(req.TLS, time.Now())
	}
	if err != nil {
		err = &refusal{http.StatusForbidden, notAllowed, err}
	}
	return t, set, err
}

func (r *Receiver) find(ctx context.Context, tenant, name string) (t store.Tenant, src store.Source, err error) {
	t, err = r.Store.Tenant(ctx, tenant)
	if err == nil && t.Suspended {
		err = &refusal{http.StatusForbidden, notAllowed, errors.New("the tenant is suspended")}
	}
	if err == nil {
		src, err = r.Store.Source(ctx, t, name)
	}
	if certstate.ErrorCode(err) == certstate.NotFound {
		err = &refusal{http.StatusForbidden, notAllowed, err}
	}
	return t, src, err
}

// checkClient sees to it that the client's certificate leads to the source's roots,
// and is the authority's own, not a device's.
func (set *StepCA) checkClient(state *tls.ConnectionState, now time.Time) error {
	if set.Roots == "" {
		return errors.New("the source has no roots, so that nobody may notify")
	}
	if state == nil || len(state.PeerCertificates) == 0 {
		return errors.New("the client has no certificate")
	}
	roots, err := set.pool()
	if err != nil {
		return err
	}
	leaf, between := state.PeerCertificates[0], x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return fmt.Errorf("the client's certificate: %w", err)
	}
	if leaf.Subject.CommonName != set.ClientName && !slices.Contains(leaf.DNSNames, set.ClientName) {
		return fmt.Errorf("the client's certificate is not that of %q", set.ClientName)
	}
	return nil
}

// checkSignature has a notification be signed with the source's secret, if it has
// one. Without one the signature says nothing, whatever it is: a step-ca that is
// configured by its file knows no secret and signs with the empty key, as anybody
// can. It is the client's certificate that authenticates; the signature is a second
// proof.
func (set *StepCA) checkSignature(body []byte, signature string) error {
	if len(set.Secret) == 0 {
		return nil
	}
	got, err := hex.DecodeString(signature)
	switch {
	case err != nil || len(got) == 0:
		return errors.New("the notification is not signed, and the source has a secret")
	case hmac.Equal(got, mac(nil, body)):
		return errors.New("the notification is signed with the empty key: a step-ca that is configured by its file knows no secret; add the source without one")
	case !hmac.Equal(got, mac(set.Secret, body)):
		return errors.New("the notification is not signed with the source's secret")
	}
	return nil
}

func mac(key, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(body) // never fails, hash.Hash
	return h.Sum(nil)
}
