// Package identity is a local identity provider that Microsoft's own client
// libraries take for Microsoft Entra ID: the demonstration and the tests get
// real tokens by the real flows without a cloud behind them.
//
// It answers, per tenant, metadata, keys, tokens (client credentials,
// authorization code with PKCE, refresh token), authorize with a sign-in page,
// and logout:
//
//	/{tenant}/v2.0/.well-known/openid-configuration
//	/{tenant}/.well-known/openid-configuration
//	/{tenant}/discovery/v2.0/keys  /{tenant}/discovery/keys
//	/{tenant}/oauth2/v2.0/token
//	/{tenant}/oauth2/v2.0/authorize  /{tenant}/login
//	/{tenant}/oauth2/v2.0/logout
//
// # Design
//
// OAuth 2.0 itself (parsing, client authentication, the order of checks on an
// authorization request, redirect URIs, PKCE, response modes) is zitadel/oidc's
// op package; [op.Server] is implemented in server.go and authorize.go. What is
// written here is what Entra has differently: several issuers below one host,
// scopes that name their resource, claims, and errors with AADSTS numbers.
// The library can word an error only in RFC 6749's shape, so its answers pass
// through dress (fault.go), which adds the rest.
//
// Sign-in requests, codes and refresh tokens are not stored: each is a sealed
// value that carries its own content and expiry (seal.go), under a key that
// lives as long as the process. The only state is the set of codes already
// redeemed, kept until they would have expired and bounded.
//
// # Differences from Entra
//
// There is no consent page: what an App's Scopes list is consented to. There
// is no session: every authorization asks for the password, and prompt=none
// answers login_required. The aud of an access token is the resource as the
// client asked for it. Secrets are compared in constant time, but there is no
// lock-out and passwords stand in the configuration: this is not a product to
// protect anything real with.
package identity
