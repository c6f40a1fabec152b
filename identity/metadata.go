package identity

import (
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// anyTenant stands for a tenant's id where no tenant is meant, as Entra writes it.
const anyTenant = "{tenantid}"

// metadataBody is OpenID Provider metadata (OIDC Discovery §3) with the members
// Entra adds.
type metadataBody struct {
	oidc.DiscoveryConfiguration
	LogoutSupported   bool    `json:"http_logout_supported"`
	TenantRegionScope *string `json:"tenant_region_scope"` // null where no tenant is meant
	CloudInstanceName string  `json:"cloud_instance_name"`
	GraphHost         string  `json:"msgraph_host,omitempty"` // of the first resource
}

func (p *Provider) metadata(w http.ResponseWriter, r *http.Request) {
	p.writeMetadata(w, r, "/v2.0", keysPath)
}

// metadataV1 is the metadata of the v1.0 issuer, which differs in name only:
// its endpoints are the v2.0 ones, for there are no others here.
func (p *Provider) metadataV1(w http.ResponseWriter, r *http.Request) {
	p.writeMetadata(w, r, "/", keysPathV1)
}

func (p *Provider) writeMetadata(w http.ResponseWriter, r *http.Request, issuer, keys string) {
	segment, id := r.PathValue("tenant"), anyTenant
	body := metadataBody{LogoutSupported: true, CloudInstanceName: p.host()}
	if t := tenantOf(r.Context()); t != nil {
		region := "WW"
		segment, id, body.TenantRegionScope = t.id, t.id, &region
	}
	at := p.base + "/" + segment
	body.DiscoveryConfiguration = oidc.DiscoveryConfiguration{
		Issuer:                            p.base + "/" + id + issuer,
		TokenEndpoint:                     at + tokenPath,
		AuthorizationEndpoint:             at + authorizePath,
		EndSessionEndpoint:                at + logoutPath,
		JwksURI:                           at + keys,
		TokenEndpointAuthMethodsSupported: []oidc.AuthMethod{oidc.AuthMethodPost, oidc.AuthMethodBasic},
		ResponseModesSupported:            []string{"query", "fragment", "form_post"},
		ResponseTypesSupported:            []string{"code"},
		GrantTypesSupported:               []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken, oidc.GrantTypeClientCredentials},
		ScopesSupported:                   []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, oidc.ScopeOfflineAccess},
		SubjectTypesSupported:             []string{"pairwise"},
		IDTokenSigningAlgValuesSupported:  []string{string(jose.RS256)},
		CodeChallengeMethodsSupported:     []oidc.CodeChallengeMethod{oidc.CodeChallengeMethodPlain, oidc.CodeChallengeMethodS256},
		ClaimsSupported: []string{"sub", "iss", "aud", "exp", "iat", "nbf", "auth_time", "nonce",
			"preferred_username", "name", "tid", "ver", "oid", "email"},
	}
	if u, err := url.Parse(p.defaultTo); err == nil {
		body.GraphHost = u.Host
	}
	anyOrigin(w)
	writeJSON(w, http.StatusOK, body)
}

func (p *Provider) host() string {
	u, _ := url.Parse(p.base) // checked by New
	return u.Host
}

func (p *Provider) jwks(w http.ResponseWriter, _ *http.Request) {
	anyOrigin(w)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(p.keys)
}

// anyOrigin lets scripts of every origin read the answer, as single page apps
// need. No cookie is ever involved, so there is nothing to borrow.
func anyOrigin(w http.ResponseWriter) { w.Header().Set("Access-Control-Allow-Origin", "*") }

// signingKey is an op.SigningKey.
type signingKey struct {
	id  string
	key *rsa.PrivateKey
}

func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k signingKey) Key() any                                    { return k.key }
func (k signingKey) ID() string                                  { return k.id }

// entraKey is a public key with Entra's issuer property: which issuer's tokens
// the key may sign, {tenantid} standing for the tenant of the token.
type entraKey struct {
	Kty    string `json:"kty"`
	Use    string `json:"use"`
	Alg    string `json:"alg"`
	Kid    string `json:"kid"`
	N      string `json:"n"`
	E      string `json:"e"`
	Issuer string `json:"issuer"`
}

// newKeySet returns the id of key, its RFC 7638 thumbprint, and the JWK set to
// publish for it.
func newKeySet(key *rsa.PrivateKey, base string) (kid string, set []byte, err error) {
	public := jose.JSONWebKey{Key: key.Public(), Use: "sig", Algorithm: string(jose.RS256)}
	sum, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", nil, fmt.Errorf("signing key: %w", err)
	}
	public.KeyID = base64.RawURLEncoding.EncodeToString(sum)
	out := entraKey{Issuer: base + "/" + anyTenant + "/v2.0"}
	raw, err := public.MarshalJSON()
	if err != nil {
		return "", nil, fmt.Errorf("signing key: %w", err)
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return "", nil, fmt.Errorf("signing key: %w", err)
	}
	set, err = json.Marshal(map[string][]entraKey{"keys": {out}})
	return public.KeyID, set, err
}
