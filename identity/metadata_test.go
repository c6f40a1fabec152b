package identity

import (
	"net/http"
	"strings"
	"testing"
)

func TestMetadata(t *testing.T) {
	s := start(t)
	for _, tt := range []struct{ path, issuer, segment, keys string }{
		{"/" + contoso + "/v2.0/.well-known/openid-configuration", "/" + contoso + "/v2.0", contoso, keysPath},
		{"/" + strings.ToUpper(contoso) + "/v2.0/.well-known/openid-configuration", "/" + contoso + "/v2.0", contoso, keysPath},
		{"/" + contoso + "/.well-known/openid-configuration", "/" + contoso + "/", contoso, keysPathV1},
		{"/common/v2.0/.well-known/openid-configuration", "/{tenantid}/v2.0", "common", keysPath},
		{"/organizations/v2.0/.well-known/openid-configuration", "/{tenantid}/v2.0", "organizations", keysPath},
		{"/common/.well-known/openid-configuration", "/{tenantid}/", "common", keysPathV1},
	} {
		t.Run(tt.path, func(t *testing.T) {
			r := s.get(tt.path)
			if r.status != http.StatusOK {
				t.Fatalf("%d %s", r.status, r.body)
			}
			got := decode[map[string]any](s, r.body)
			at := s.base + "/" + tt.segment
			for name, want := range map[string]any{
				"issuer":                 s.base + tt.issuer,
				"token_endpoint":         at + tokenPath,
				"authorization_endpoint": at + authorizePath,
				"end_session_endpoint":   at + logoutPath,
				"jwks_uri":               at + tt.keys,
				"cloud_instance_name":    strings.TrimPrefix(s.base, "https://"),
				"msgraph_host":           "graph.microsoft.com",
			} {
				if got[name] != want {
					t.Errorf("%s %v, want %v", name, got[name], want)
				}
			}
			if region, ok := got["tenant_region_scope"]; !ok || (region == nil) != (tt.segment != contoso) {
				t.Errorf("tenant_region_scope %v", region)
			}
			if r.header.Get("Access-Control-Allow-Origin") != "*" {
				t.Error("no script may read it")
			}
		})
	}
}

func TestKeys(t *testing.T) {
	s := start(t)
	for _, path := range []string{"/" + contoso + keysPath, "/" + contoso + keysPathV1, "/common" + keysPath, "/organizations" + keysPathV1} {
		r := s.get(path)
		if r.status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, r.status, r.body)
		}
		set := decode[struct{ Keys []map[string]string }](s, r.body)
		if len(set.Keys) != 1 {
			t.Fatalf("%s: %s", path, r.body)
		}
		key := set.Keys[0]
		for name, want := range map[string]string{
			"kty": "RSA", "use": "sig", "alg": "RS256", "e": "AQAB", "issuer": s.base + "/{tenantid}/v2.0"} {
			if key[name] != want {
				t.Errorf("%s: %s %q, want %q", path, name, key[name], want)
			}
		}
		if len(key["kid"]) != 43 || key["n"] == "" || key["d"] != "" {
			t.Errorf("%s: %v", path, key)
		}
	}
}

func TestUnknownTenant(t *testing.T) {
	s := start(t)
	for path, code := range map[string]int{
		"/contoso.example/v2.0/.well-known/openid-configuration": 90002,
		"/" + daemon + keysPath:                                  90002,
		"/" + daemon + authorizePath:                             90002,
		"/" + daemon + tokenPath:                                 90002,
		"/common" + tokenPath:                                    50059,
		"/organizations" + authorizePath:                         50059,
	} {
		r := s.get(path)
		if got := decode[errorBody](s, r.body); r.status != http.StatusBadRequest || len(got.Codes) != 1 || got.Codes[0] != code {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if r := s.get("/" + contoso + "/oauth2/v2.0/devicecode"); r.status != http.StatusNotFound {
		t.Errorf("%d", r.status)
	}
}
