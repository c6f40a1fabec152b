package identity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// fault is an error as Entra words it: the AADSTS number, the OAuth error it
// comes with, and the text, in fmt's syntax.
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
type fault struct {
	code int
	kind func() *oidc.Error
	text string
}

// Errors that RFC 6749 does not have.
func errInvalidTenant() *oidc.Error   { return &oidc.Error{ErrorType: "invalid_tenant"} }
func errInvalidResource() *oidc.Error { return &oidc.Error{ErrorType: "invalid_resource"} }
func errConsentRequired() *oidc.Error { return &oidc.Error{ErrorType: "consent_required"} } // OIDC Core §3.1.2.6

var (
	faultUnknownTenant = fault{90002, errInvalidTenant, "Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."}
	faultNoTenant      = fault{50059, oidc.ErrInvalidRequest, "No tenant-identifying information found in either the request or implied by any provided credentials."}
	faultNotPost       = fault{900561, oidc.ErrInvalidRequest, "The endpoint only accepts POST requests. Received a %s request."}
	faultMalformed     = fault{9002313, oidc.ErrInvalidRequest, "Invalid request. Request is malformed or invalid."}
	faultTooLarge      = fault{9002313, oidc.ErrInvalidRequest, "Invalid request. The request is too large."}
	faultDuplicate     = fault{9000411, oidc.ErrInvalidRequest, "The request is not properly formatted. The parameter '%s' is duplicated."}
	faultMissing       = fault{900144, oidc.ErrInvalidRequest, "The request body must contain the following parameter: '%s'."}
	faultGrantType     = fault{70003, oidc.ErrUnsupportedGrantType, "The app requested an unsupported grant type '%s'."}
	faultInternal      = fault{50000, oidc.ErrServerError, "There was an error issuing a token or an issue with our sign-in service."}

	faultUnknownApp  = fault{700016, oidc.ErrUnauthorizedClient, "Application with identifier '%s' was not found in the directory '%s'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant."}
	faultSecret      = fault{7000215, oidc.ErrInvalidClient, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'."}
	faultNoSecret    = fault{7000218, oidc.ErrInvalidClient, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."}
	faultNoSecretApp = fault{7000216, oidc.ErrInvalidClient, "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type."}
	faultPublic      = fault{700025, oidc.ErrInvalidClient, "Client is public so neither 'client_assertion' nor 'client_secret' should be presented."}
	faultAssertion   = fault{700027, oidc.ErrInvalidClient, "The certificate with identifier used to sign the client assertion is not registered on application."}

	faultScope       = fault{70011, oidc.ErrInvalidScope, "The provided value for the input parameter 'scope' is not valid. The scope %s is not valid."}
	faultNotDefault  = fault{1002012, oidc.ErrInvalidScope, "The provided value for scope %s is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."}
	faultTwoResource = fault{28000, oidc.ErrInvalidRequest, "Provided value for the input parameter scope is not valid because it contains more than one resource. Scope %s is not valid."}
	faultResource    = fault{500011, errInvalidResource, "The resource principal named %s was not found in the tenant named %s. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant."}
	faultConsent     = fault{65001, oidc.ErrInvalidGrant, "The user or administrator has not consented to use the application with ID '%s' named '%s'. Send an interactive authorization request for this user and resource."}

	faultRedirect     = fault{50011, oidc.ErrInvalidRequestRedirectURI, "The redirect URI '%s' specified in the request does not match the redirect URIs configured for the application '%s'."}
	faultPKCE         = fault{9002325, oidc.ErrInvalidRequest, "Proof Key for Code Exchange is required for cross-origin authorization code redemption. Use 'code_challenge' with 'code_challenge_method' S256."}
	faultChallenge    = fault{501491, oidc.ErrInvalidRequest, "Invalid size of Code_Challenge parameter."}
	faultNotSignedIn  = fault{50058, oidc.ErrLoginRequired, "A silent sign-in request was sent but no user is signed in."}
	faultLoginExpired = fault{50089, oidc.ErrInvalidRequestRedirectURI, "Authentication failed due to flow token expired. Go back to the app and sign in again."}
	faultPassword     = fault{50126, oidc.ErrInvalidGrant, "Error validating credentials due to invalid username or password."}

	faultCodeInvalid   = fault{9002313, oidc.ErrInvalidGrant, "Invalid request. Request is malformed or invalid."}
	faultCodeUsed      = fault{54005, oidc.ErrInvalidGrant, "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token."}
	faultCodeFull      = fault{50196, oidc.ErrInvalidGrant, "The server terminated an operation because it encountered a client request loop. Please contact your app vendor."}
	faultExpired       = fault{70008, oidc.ErrInvalidGrant, "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource."}
	faultOtherTenant   = fault{700005, oidc.ErrInvalidGrant, "Provided Authorization Code is intended to use against other tenant, thus rejected."}
	faultOtherApp      = fault{70000, oidc.ErrInvalidGrant, "The provided grant was issued to another client id."}
	faultNoUser        = fault{50034, oidc.ErrInvalidGrant, "The user account does not exist in the %s directory."}
	faultOtherRedirect = fault{500112, oidc.ErrInvalidClient, "The reply address '%s' does not match the reply address '%s' provided when requesting Authorization code."}
	faultNoVerifier    = fault{50148, oidc.ErrInvalidGrant, "The code_verifier does not match the code_challenge supplied in the authorization request for PKCE."}
	faultVerifier      = fault{501481, oidc.ErrInvalidGrant, "The Code_Verifier does not match the code_challenge supplied in the authorization request."}
)

// with returns f with args in its text. It is new each time.
func (f fault) with(args ...any) *oidc.Error {
	return f.kind().WithDescription("%s", fmt.Sprintf("AADSTS%d: ", f.code)+fmt.Sprintf(f.text, args...))
}

// codeOf returns the AADSTS number a description begins with, or 0.
func codeOf(description string) (code int) {
	if _, err := fmt.Sscanf(description, "AADSTS%d:", &code); err != nil {
		return 0
	}
	return code
}

// errorBody is the error response of Entra's token endpoint.
type errorBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Codes       []int  `json:"error_codes"`
	Timestamp   string `json:"timestamp"` // 2006-01-02 15:04:05Z
	Trace       string `json:"trace_id"`
	Correlation string `json:"correlation_id"`
	URI         string `json:"error_uri"`
	Suberror    string `json:"suberror,omitempty"`
}

// writeFault writes err in Entra's shape. An error without AADSTS number gets one.
func (p *Provider) writeFault(w http.ResponseWriter, r *http.Request, status int, err *oidc.Error) {
	err = numbered(err)
	body := errorBody{
		Error:       string(err.ErrorType),
		Codes:       []int{codeOf(err.Description)},
		Timestamp:   p.now().UTC().Format("2006-01-02 15:04:05Z"),
		Trace:       uuid.NewString(),
		Correlation: correlation(r),
		// Microsoft's page explains every number.
		URI: fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", codeOf(err.Description)),
	}
	body.Description = fmt.Sprintf("%s Trace ID: %s Correlation ID: %s Timestamp: %s",
		err.Description, body.Trace, body.Correlation, body.Timestamp)
	if body.Codes[0] == faultConsent.code {
		body.Suberror = "consent_required" // what MSAL asks the user again for
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Ms-Request-Id", body.Trace)
	writeJSON(w, status, body)
}

// numbered returns err with an AADSTS number; the library's own errors have
// none, and what it says of internal ones is not for the client.
func numbered(err *oidc.Error) *oidc.Error {
	switch {
	case codeOf(err.Description) != 0:
		return err
	case err.ErrorType == oidc.ServerError:
		return faultInternal.with()
	}
	out := &oidc.Error{ErrorType: err.ErrorType}
	return out.WithDescription("AADSTS%d: Invalid request: %s.", faultMalformed.code, strings.TrimSuffix(err.Description, "."))
}

// correlation returns the client's id for the request if it sent a GUID, else a new one.
func correlation(r *http.Request) string {
	if id, err := uuid.Parse(r.Header.Get("Client-Request-Id")); err == nil {
		return id.String()
	}
	return uuid.NewString()
}

// statusOf follows RFC 6749 §5.2.
func statusOf(err *oidc.Error) int {
	switch err.ErrorType {
	case oidc.InvalidClient:
		return http.StatusUnauthorized
	case oidc.ServerError:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// dress runs op's handler and has show write the error if that is its answer.
func (p *Provider) dress(w http.ResponseWriter, r *http.Request, show func(*oidc.Error)) {
	rec := &recorder{header: w.Header(), status: http.StatusOK}
	p.oauth.ServeHTTP(rec, p.strip(r))
	if rec.status < http.StatusBadRequest {
		w.WriteHeader(rec.status)
		_, _ = w.Write(rec.body.Bytes())
		return
	}
	err := new(oidc.Error)
	if json.Unmarshal(rec.body.Bytes(), err) != nil || err.ErrorType == "" {
		err = faultInternal.with()
	}
	show(err)
}

// recorder holds an answer back: op's are a few kB.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
