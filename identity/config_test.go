package identity

import (
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
)

func TestConfigFaults(t *testing.T) {
	app := func(c *Config) *App { return &c.Tenants[0].Apps[0] }
	small, _ := rsa.GenerateKey(rand.Reader, 1024)
	for _, tt := range []struct {
		want   string
		change func(*Config)
	}{
		{"must be https", func(c *Config) { c.BaseURL = "http://login.example" }},
		{"without trailing slash", func(c *Config) { c.BaseURL += "/" }},
		{"scheme and host only", func(c *Config) { c.BaseURL += "/identity" }},
		{"not an absolute URL", func(c *Config) { c.BaseURL = "" }},
		{"key: missing", func(c *Config) { c.Key = nil }},
		{"1024 bits", func(c *Config) { c.Key = small }},
		{"negative", func(c *Config) { c.TokenLifetime = -1 }},
		{"resources: at least one", func(c *Config) { c.Resources = nil }},
		{"resources[0]", func(c *Config) { c.Resources[0] += "/" }},
		{"tenants: at least one", func(c *Config) { c.Tenants = nil }},
		{"tenants[0]: id", func(c *Config) { c.Tenants[0].ID = "contoso" }},
		{"tenants[1]: id " + contoso + " is already used", func(c *Config) { c.Tenants[1].ID = contoso }},
		{"tenants[0].apps[0]: id", func(c *Config) { app(c).ID = "" }},
		{"apps[0]: a public app", func(c *Config) { app(c).Secret = "" }},
		{"apps[0]: a public app", func(c *Config) { app(c).Public = true }},
		{"permission \"a b\"", func(c *Config) { app(c).Roles = []string{"a b"} }},
		{"permission \"x/y\"", func(c *Config) { app(c).Scopes = []string{"x/y"} }},
		{"must be absolute", func(c *Config) { app(c).RedirectURIs = []string{"/back"} }},
		{"must be absolute", func(c *Config) { app(c).RedirectURIs = []string{"https://a.example/#f"} }},
		{"http is for loopback", func(c *Config) { app(c).RedirectURIs = []string{"http://a.example/"} }},
		{"own schemes", func(c *Config) { app(c).RedirectURIs = []string{"tool://back"} }},
		{"users[0]: id " + daemon + " is already used", func(c *Config) { c.Tenants[0].Users[0].ID = daemon }},
		{"UPN", func(c *Config) { c.Tenants[0].Users[0].UPN = "" }},
		{"users[0]: password missing", func(c *Config) { c.Tenants[0].Users[0].Password = "" }},
	} {
		c := testConfig()
		tt.change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("want %q: %v", tt.want, err)
		}
	}
	_, err := New(Config{})
	if err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("not all faults together: %v", err)
	}
}
