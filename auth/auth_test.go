package auth_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"certstate"
	"certstate/auth"
	"certstate/auth/authtest"
)

// setup is an issuer and a verifier that trusts it; the clock can be moved.
func setup(t *testing.T, more ...string) (*authtest.Issuer, *auth.Verifier, *atomic.Int64) {
	t.Helper()
	is := authtest.New(t)
	var ahead atomic.Int64
	var issuers []auth.Issuer
	for _, spec := range append([]string{is.Template()}, more...) {
		list, err := auth.ParseIssuer(strings.ReplaceAll(spec, "ISSUER", is.URL))
		if err != nil {
			t.Fatal(err)
		}
		issuers = append(issuers, list...)
	}
	v := auth.New(auth.Config{
		Issuers: issuers, Audiences: []string{authtest.Audience},
		Enrolled: func(context.Context) ([]string, error) { return []string{authtest.Tenant, authtest.TenantB}, nil },
		Now:      func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		Log:      slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	return is, v, &ahead
}

type m = map[string]any

const zeros = "00000000-0000-0000-0000-000000000000"

// forged makes every token that must be refused, by name.
func forged(is *authtest.Issuer) map[string]string {
	key, other := authtest.RSAKey, authtest.StrangerKey
	header := func(change m) m {
		h := m{"alg": "RS256", "kid": "key-1", "typ": "JWT"}
		for k, v := range change {
			h[k] = v
		}
		return h
	}
	good := is.Claims(nil)
	genuine := is.Token(nil)
	parts := strings.Split(genuine, ".")
	spki, _ := x509.MarshalPKIXPublicKey(&key.PublicKey)
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	flipped := []byte(parts[2])
	flipped[10] ^= 1
	payload, _ := json.Marshal(is.Claims(m{"roles": []string{authtest.Write}, "tid": authtest.TenantB}))
	tampered := parts[0] + "." + base64.RawURLEncoding.EncodeToString(payload) + "." + parts[2]
	now := time.Now().Unix()
	jwk := m{"kty": "RSA", "n": base64.RawURLEncoding.EncodeToString(other.N.Bytes()), "e": "AQAB"}
	tokens := map[string]string{
		"empty":                  "",
		"not a token":            "hello",
		"two parts":              parts[0] + "." + parts[1],
		"five parts":             genuine + ".e30.e30",
		"json serialization":     `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"signature cut":          genuine[:len(genuine)-8],
		"signature flipped":      parts[0] + "." + parts[1] + "." + string(flipped),
		"signature empty":        parts[0] + "." + parts[1] + ".",
		"payload tampered":       tampered,
		"padded base64":          parts[0] + "==." + parts[1] + "." + parts[2],
		"200 kB":                 genuine + strings.Repeat("A", 200_000),
		"payload not json":       authtest.SignRaw(`{"alg":"RS256","kid":"key-1"}`, "hello", key),
		"payload an array":       authtest.SignRaw(`{"alg":"RS256","kid":"key-1"}`, "[]", key),
		"alg none":               authtest.Sign(header(m{"alg": "none"}), good, nil),
		"alg None":               authtest.Sign(header(m{"alg": "None"}), good, nil),
		"alg empty":              authtest.Sign(header(m{"alg": ""}), good, nil),
		"alg missing":            authtest.Sign(m{"kid": "key-1"}, good, key),
		"alg null":               authtest.Sign(header(m{"alg": nil}), good, key),
		"alg array":              authtest.Sign(header(m{"alg": []string{"RS256"}}), good, key),
		"hs256 with pem":         authtest.Sign(header(m{"alg": "HS256"}), good, pemKey),
		"hs256 with der":         authtest.Sign(header(m{"alg": "HS256"}), good, spki),
		"hs256 with modulus":     authtest.Sign(header(m{"alg": "HS256"}), good, key.N.Bytes()),
		"rs384":                  authtest.Sign(header(m{"alg": "RS384"}), good, key),
		"rs512":                  authtest.Sign(header(m{"alg": "RS512"}), good, key),
		"ps256":                  authtest.Sign(header(m{"alg": "PS256"}), good, key),
		"es256":                  authtest.Sign(header(m{"alg": "ES256", "kid": "ec"}), good, authtest.ECKey),
		"es256 zero signature":   strings.Join([]string{base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"ec"}`)), parts[1], base64.RawURLEncoding.EncodeToString(make([]byte, 64))}, "."),
		"stranger's key":         authtest.Sign(header(nil), good, other),
		"jwk in header":          authtest.Sign(header(m{"jwk": jwk}), good, other),
		"jku in header":          authtest.Sign(header(m{"jku": is.URL + "/evil"}), good, other),
		"x5u in header":          authtest.Sign(header(m{"x5u": is.URL + "/evil"}), good, other),
		"x5c in header":          authtest.Sign(header(m{"x5c": []string{base64.StdEncoding.EncodeToString(spki)}}), good, other),
		"kid unknown":            authtest.Sign(header(m{"kid": "nobody"}), good, key),
		"kid missing":            authtest.Sign(m{"alg": "RS256"}, good, key),
		"kid a path":             authtest.Sign(header(m{"kid": "../../dev/null"}), good, []byte{}),
		"kid a number":           authtest.Sign(header(m{"kid": 1}), good, key),
		"kid 10 kB":              authtest.Sign(header(m{"kid": strings.Repeat("k", 10_000)}), good, key),
		"crit unknown":           authtest.Sign(header(m{"crit": []string{"x"}, "x": true}), good, key),
		"b64 false":              authtest.Sign(header(m{"crit": []string{"b64"}, "b64": false}), good, key),
		"nested":                 authtest.SignRaw(`{"alg":"RS256","kid":"key-1","cty":"JWT"}`, genuine, key),
		"consumer key":           authtest.Sign(header(m{"kid": "consumer"}), good, authtest.SecondKey),
		"key for another alg":    authtest.Sign(header(m{"kid": "for-ps256"}), good, key),
		"member names by case":   authtest.SignRaw(`{"alg":"RS256","kid":"key-1"}`, `{"ISS":"`+good["iss"].(string)+`","Tid":"`+authtest.Tenant+`"}`, key),
		"v1 issuer, v2 template": is.Token(m{"iss": is.URL + "/" + authtest.Tenant + "/"}),
	}
	for name, change := range map[string]m{
		"iss missing":            {"iss": nil},
		"iss other host":         {"iss": "https://login.microsoftonline.com/" + authtest.Tenant + "/v2.0"},
		"iss other cloud":        {"iss": "https://login.microsoftonline.us/" + authtest.Tenant + "/v2.0"},
		"iss without tenant":     {"iss": is.URL + "//v2.0"},
		"iss with suffix":        {"iss": is.URL + "/" + authtest.Tenant + "/v2.0/x"},
		"tid of another tenant":  {"tid": authtest.TenantB},
		"tid missing":            {"tid": nil},
		"tid common":             {"tid": "common", "iss": is.URL + "/common/v2.0"},
		"tid zero":               {"tid": zeros, "iss": is.URL + "/" + zeros + "/v2.0"},
		"tid with a wildcard":    {"tid": "%", "iss": is.URL + "/%/v2.0"},
		"tid an array":           {"tid": []string{authtest.Tenant}},
		"ver 1.0":                {"ver": "1.0"},
		"ver missing":            {"ver": nil},
		"personal account":       {"tid": "9188040d-6c67-4c5b-b112-36a304b66dad", "iss": is.URL + "/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"},
		"aud missing":            {"aud": nil},
		"aud of Graph":           {"aud": "https://graph.microsoft.com"},
		"aud prefix":             {"aud": authtest.Audience[:8]},
		"aud suffix":             {"aud": authtest.Audience + "/x"},
		"aud case":               {"aud": strings.ToUpper(authtest.Audience)},
		"aud an array":           {"aud": []string{authtest.Audience, "other"}},
		"aud the client's id":    {"aud": authtest.App},
		"expired":                {"exp": now - 301},
		"exp missing":            {"exp": nil},
		"exp a string":           {"exp": fmt.Sprint(now + 3600)},
		"exp negative":           {"exp": -1},
		"exp true":               {"exp": true},
		"exp an array":           {"exp": []int64{now + 3600}},
		"not yet valid":          {"nbf": now + 400},
		"nbf a string":           {"nbf": "soon"},
		"idtyp unknown":          {"idtyp": "device"},
		"app-only with scp":      {"idtyp": "app", "scp": authtest.Write},
		"delegated without oid":  {"idtyp": "user", "scp": authtest.Write, "oid": nil},
		"roles a string":         {"roles": authtest.Write},
		"scp an array":           {"scp": []string{authtest.Write}},
		"unknown tenant, forged": {"tid": "12345678-2222-4333-8444-555555555555"},
	} {
		tokens[name] = is.Token(change)
	}
	return tokens
}

func TestRefuseForgedTokens(t *testing.T) {
	is, v, _ := setup(t)
	is.Publish("consumer", authtest.SecondKey.Public(), m{"issuer": "https://login.live.example/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"})
	is.Publish("for-ps256", authtest.RSAKey.Public(), m{"alg": "PS256"})
	is.Publish("ec", authtest.ECKey.Public(), nil)
	tokens := forged(is)
	if len(tokens) < 40 {
		t.Fatalf("only %d forgeries", len(tokens))
	}
	for name, token := range tokens {
		p, err := v.Verify(t.Context(), token)
		if err == nil {
			t.Errorf("%s: accepted as %+v", name, p)
			continue
		}
		if certstate.ErrorCode(err) != certstate.Unauthenticated {
			t.Errorf("%s: refused as %v", name, err)
		}
		if token != "" && strings.Contains(err.Error(), token) {
			t.Errorf("%s: the error repeats the token", name)
		}
	}
	if _, err := v.Verify(t.Context(), is.Token(nil)); err != nil {
		t.Fatalf("genuine token refused: %v", err)
	}
}

func TestMessages(t *testing.T) {
	is, v, _ := setup(t)
	for want, token := range map[string]string{
		"Access token is empty.":                                                          "",
		"Access token validation failure. Invalid audience.":                              is.Token(m{"aud": "x"}),
		"Access token has expired or is not yet valid.":                                   is.Token(m{"exp": 1}),
		"CompactToken parsing failed with error code: 80049217":                           "x.y.z",
		"Access token validation failure.":                                                is.Token(m{"iss": "https://x/"}),
		"Access token validation failure. Personal Microsoft accounts are not supported.": is.Token(m{"tid": "9188040d-6c67-4c5b-b112-36a304b66dad"}),
	} {
		_, err := v.Verify(t.Context(), token)
		if e, ok := errors.AsType[*certstate.Error](err); !ok || e.Message != want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestPermissions(t *testing.T) {
	is, v, _ := setup(t)
	for _, tc := range []struct {
		name        string
		change      m
		read, write bool
		actor       string
	}{
		{"app with ReadWrite", nil, true, true, "app:" + authtest.App},
		{"app with Read", m{"roles": []string{authtest.Read}}, true, false, "app:" + authtest.App},
		{"app without roles", m{"roles": nil}, false, false, "app:" + authtest.App},
		{"app without idtyp", m{"idtyp": nil}, true, true, "app:" + authtest.App},
		{"v1 app id", m{"azp": nil, "appid": "x"}, true, true, "app:x"},
		{"delegated", m{"idtyp": nil, "scp": "openid " + authtest.Write, "roles": nil, "oid": authtest.User}, true, true, "user:" + authtest.User},
		{"delegated carrying only roles", m{"idtyp": "user", "oid": authtest.User}, false, false, "user:" + authtest.User},
		{"delegated, Read, with the user's roles", m{"idtyp": nil, "scp": authtest.Read, "oid": authtest.User}, true, false, "user:" + authtest.User},
		{"lower case", m{"roles": []string{strings.ToLower(authtest.Write)}}, false, false, "app:" + authtest.App},
		{"suffix", m{"roles": []string{authtest.Write + ".x"}}, false, false, "app:" + authtest.App},
		{"comma", m{"idtyp": nil, "scp": authtest.Read + "," + authtest.Write, "oid": authtest.User}, false, false, "user:" + authtest.User},
	} {
		p, err := v.Verify(t.Context(), is.Token(tc.change))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		read, write := p.May(auth.ReadAll, auth.ReadWriteAll), p.May(auth.ReadWriteAll)
		if read != tc.read || write != tc.write || p.Actor() != tc.actor || p.Tenant != authtest.Tenant {
			t.Errorf("%s: read %v, write %v, %s in %s", tc.name, read, write, p.Actor(), p.Tenant)
		}
	}
}

func TestOtherIssuers(t *testing.T) {
	is, v, _ := setup(t, "ISSUER/{tenantid}/", "ISSUER/"+authtest.TenantB+"/x/v2.0 alg=ES256")
	is.Publish("ec", authtest.ECKey.Public(), nil)
	v1 := m{"iss": is.URL + "/" + authtest.Tenant + "/", "ver": "1.0", "appid": authtest.App, "azp": nil}
	// The v1 document of this issuer is not served at its own address, so its
	// keys cannot be had: the token of the other version must not borrow them.
	if _, err := v.Verify(t.Context(), is.Token(v1)); err == nil {
		t.Error("v1 token verified with the keys of the v2 issuer")
	}
	claims := is.Claims(m{"iss": is.URL + "/" + authtest.TenantB + "/x/v2.0", "tid": nil})
	if p, err := v.Verify(t.Context(), authtest.Sign(m{"alg": "ES256", "kid": "ec"}, claims, authtest.ECKey)); err != nil || p.Tenant != authtest.TenantB {
		t.Errorf("issuer of one tenant with ES256: %+v, %v", p, err)
	}
	if _, err := v.Verify(t.Context(), authtest.Sign(m{"alg": "RS256", "kid": "key-1"}, claims, authtest.RSAKey)); err == nil {
		t.Error("RS256 accepted from an issuer configured for ES256")
	}
}

func TestRollOverUnderLoad(t *testing.T) {
	is, v, _ := setup(t)
	var failed atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := v.Verify(t.Context(), is.Token(m{"uti": fmt.Sprint(i)})); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	is.Publish("key-2", authtest.SecondKey.Public(), nil)
	for range 50 {
		if _, err := v.Verify(t.Context(), authtest.Sign(m{"alg": "RS256", "kid": "key-2"}, is.Claims(nil), authtest.SecondKey)); err != nil {
			t.Fatalf("new key: %v", err)
		}
	}
	close(stop)
	wg.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d requests with the old key failed", n)
	}
}

func TestUnknownKeysDoNotFloodTheIssuer(t *testing.T) {
	is, v, _ := setup(t)
	for i := range 400 {
		_, err := v.Verify(t.Context(), authtest.Sign(m{"alg": "RS256", "kid": fmt.Sprint(i)}, is.Claims(nil), authtest.StrangerKey))
		if err == nil {
			t.Fatal("accepted")
		}
	}
	if n := is.Fetches.Load(); n > 5 {
		t.Errorf("%d fetches for 400 tokens", n)
	}
	if _, err := v.Verify(t.Context(), is.Token(nil)); err != nil {
		t.Error(err)
	}
}

func TestWithdrawnKeyDies(t *testing.T) {
	is, v, ahead := setup(t)
	token := is.Token(m{"exp": time.Now().Add(72 * time.Hour).Unix()})
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	is.Withdraw()
	is.Publish("key-2", authtest.SecondKey.Public(), nil)
	ahead.Store(int64(25 * time.Hour))
	if _, err := v.Verify(t.Context(), token); err == nil {
		t.Error("a token of a withdrawn key was accepted a day later")
	}
}

func TestIssuerDown(t *testing.T) {
	for name, broken := range map[string]http.HandlerFunc{
		"500":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"garbage": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"no keys": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[]}`) },
		"huge":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, io.LimitReader(zeroes{}, 200<<20)) },
	} {
		t.Run(name, func(t *testing.T) {
			is, v, ahead := setup(t)
			if _, err := v.Verify(t.Context(), is.Token(nil)); err != nil {
				t.Fatal(err)
			}
			is.Broken.Store(&broken)
			ahead.Store(int64(13 * time.Hour))
			for i := range 20 {
				exp := time.Now().Add(14 * time.Hour).Unix()
				if _, err := v.Verify(t.Context(), is.Token(m{"exp": exp, "uti": fmt.Sprint(i)})); err != nil {
					t.Fatalf("request %d: %v", i, err)
				}
			}
		})
	}
}

type zeroes struct{}

func (zeroes) Read(b []byte) (int, error) { return len(b), nil }

func TestParseIssuerFaults(t *testing.T) {
	for spec, want := range map[string]string{
		"":                              "is empty",
		"entra:mars":                    "the clouds are",
		"entra:global alg=ES256":        "takes no options",
		"http://idp.example/{tenantid}": "must be https",
		"https://idp.example":           "add tenant=GUID",
		"https://idp.example tenant=x":  "not a GUID",
		"https://idp.example/{tenantid} alg=HS256":                 "not one of",
		"https://idp.example/{tenantid} x=y":                       "is not alg=",
		"ftp://idp.example/{tenantid}":                             "must be https",
		"https://idp.example/{tenantid} tenant=" + authtest.Tenant: "both",
	} {
		if _, err := auth.ParseIssuer(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", spec, err, want)
		}
	}
	for _, cloud := range []string{"global", "usgov", "dod", "china"} {
		if list, err := auth.ParseIssuer("entra:" + cloud); err != nil || len(list) != 2 {
			t.Errorf("entra:%s: %v, %v", cloud, list, err)
		}
	}
	for _, aud := range append(auth.GraphAudiences, "https://GRAPH.microsoft.com/") {
		if auth.CheckAudience(aud) == nil {
			t.Errorf("audience %s accepted", aud)
		}
	}
}
