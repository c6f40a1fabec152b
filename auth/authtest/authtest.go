// Package authtest is a token issuer for tests: Entra's discovery document and
// keys over real HTTP, and tokens with any claims, right or wrong.
package authtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Names used by most tests.
const (
	Tenant   = "11111111-2222-4333-8444-555555555555"
	TenantB  = "99999999-8888-4777-8666-555555555555"
	Audience = "api://certstate-test"
	App      = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
	User     = "cccccccc-bbbb-4ccc-8ddd-eeeeeeeeeeee"
	Read     = "DeviceManagementConfiguration.Read.All"
	Write    = "DeviceManagementConfiguration.ReadWrite.All"
)

// Issuer is a running issuer.
type Issuer struct {
	URL     string
	Fetches atomic.Int64 // of the key set
	// Broken, if set, answers in the place of every document.
	Broken atomic.Pointer[http.HandlerFunc]

	mu   sync.Mutex
	keys []jose.JSONWebKey
	extr []map[string]any // more members of each key
}

// Keys shared by all tests: making them is slow.
var (
	RSAKey, _      = rsa.GenerateKey(rand.Reader, 2048)
	SecondKey, _   = rsa.GenerateKey(rand.Reader, 2048)
	StrangerKey, _ = rsa.GenerateKey(rand.Reader, 2048)
	ECKey, _       = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
)

// New starts an issuer that publishes RSAKey as "key-1".
func New(t testing.TB) *Issuer {
	is := &Issuer{}
	srv := httptest.NewServer(is)
	t.Cleanup(srv.Close)
	is.URL = srv.URL
	is.Publish("key-1", RSAKey.Public(), nil)
	return is
}

// Template is the issuer for the configuration.
func (is *Issuer) Template() string { return is.URL + "/{tenantid}/v2.0" }

// Publish adds a key, with further members such as "issuer" or "alg".
func (is *Issuer) Publish(kid string, key crypto.PublicKey, more map[string]any) {
	is.mu.Lock()
	defer is.mu.Unlock()
	is.keys = append(is.keys, jose.JSONWebKey{Key: key, KeyID: kid, Use: "sig"})
	is.extr = append(is.extr, more)
}

// Withdraw removes all keys.
func (is *Issuer) Withdraw() {
	is.mu.Lock()
	defer is.mu.Unlock()
	is.keys, is.extr = nil, nil
}

func (is *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if broken := is.Broken.Load(); broken != nil {
		(*broken)(w, r)
		return
	}
	if tenant, ok := strings.CutSuffix(r.URL.Path, "/v2.0/.well-known/openid-configuration"); ok {
		write(w, map[string]any{"issuer": is.URL + tenant + "/v2.0", "jwks_uri": is.URL + tenant + "/discovery/v2.0/keys"})
		return
	}
	is.Fetches.Add(1)
	is.mu.Lock()
	defer is.mu.Unlock()
	list := []map[string]any{}
	for i, k := range is.keys {
		text, _ := k.MarshalJSON()
		var m map[string]any
		_ = json.Unmarshal(text, &m)
		maps.Copy(m, is.extr[i])
		list = append(list, m)
	}
	write(w, map[string]any{"keys": list})
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// Claims are those of an Entra v2 app-only token with ReadWrite.All, changed by
// change; a nil value removes a claim.
func (is *Issuer) Claims(change map[string]any) map[string]any {
	now := time.Now().Unix()
	c := map[string]any{
		"aud": Audience, "iss": is.URL + "/" + Tenant + "/v2.0", "tid": Tenant, "ver": "2.0",
		"iat": now, "nbf": now, "exp": now + 3600, "azp": App, "oid": App, "sub": App, "idtyp": "app",
		"roles": []string{Write}, "uti": "token-id",
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// Token is a genuine token with changed claims.
func (is *Issuer) Token(change map[string]any) string {
	return Sign(map[string]any{"alg": "RS256", "kid": "key-1"}, is.Claims(change), RSAKey)
}

// Sign signs claims under exactly the header given. key may be an
// *rsa.PrivateKey, an *ecdsa.PrivateKey, or []byte for HMAC; nil leaves the
// signature empty.
func Sign(header, claims map[string]any, key any) string {
	h, _ := json.Marshal(header)
	c, _ := json.Marshal(claims)
	return SignRaw(string(h), string(c), key)
}

// SignRaw signs texts that need not be JSON.
func SignRaw(header, payload string, key any) string {
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	alg := jose.SignatureAlgorithm("")
	var h struct{ Alg string }
	if json.Unmarshal([]byte(header), &h) == nil {
		alg = jose.SignatureAlgorithm(h.Alg)
	}
	return input + "." + b64(rawSignature(alg, []byte(input), key))
}
