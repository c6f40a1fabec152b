package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"
)

// claims are the members of a token's payload that decide something. Types are
// exact: a number in the place of a string is a malformed token.
type claims struct {
	Issuer   string          `json:"iss"`
	Audience json.RawMessage `json:"aud"`
	Tenant   string          `json:"tid"`
	Version  string          `json:"ver"`
	Expires  *float64        `json:"exp"`
	Before   *float64        `json:"nbf"`
	IDType   string          `json:"idtyp"`
	Scope    *string         `json:"scp"`
	Roles    []string        `json:"roles"`
	Object   string          `json:"oid"`
	AppV1    string          `json:"appid"`
	AppV2    string          `json:"azp"`
	TokenID  string          `json:"uti"`
}

func parseClaims(payload []byte) (c claims, err error) {
	// Member names are matched exactly: encoding/json alone would take "ISS".
	dec := json.NewDecoder(bytes.NewReader(payload))
	var members map[string]json.RawMessage
	if err = dec.Decode(&members); err != nil {
		return c, err
	}
	if dec.More() {
		return c, errors.New("something follows the claims")
	}
	for name := range members {
		if lower := strings.ToLower(name); lower != name {
			delete(members, name)
		}
	}
	exact, err := json.Marshal(members)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(exact, &c)
}

// audience is the aud claim: Entra writes one string, and so must every issuer
// here. A list would make one token good for several services.
func (c *claims) audience() (aud string, ok bool) {
	return aud, json.Unmarshal(c.Audience, &aud) == nil && aud != ""
}

// skew is how far an issuer's clock may be from ours.
const skew = 5 * time.Minute

// alive checks exp, which must be there, and nbf.
func (c *claims) alive(now time.Time) bool {
	t := float64(now.Unix())
	if c.Expires == nil || !finite(*c.Expires) || t >= *c.Expires+skew.Seconds() {
		return false
	}
	return c.Before == nil || finite(*c.Before) && t >= *c.Before-skew.Seconds()
}

func finite(f float64) bool { return f > 0 && f < math.MaxInt32*64 }

// permissions are the scopes of a delegated token or the roles of an app-only
// one, never both: a delegated token's roles are the user's, not the app's
// (Entra, "Validate claims"). idtyp decides where it is present, scp where not.
func (c *claims) permissions() (names []string, delegated, ok bool) {
	delegated = c.Scope != nil
	switch c.IDType {
	case "app":
		if delegated {
			return nil, false, false
		}
	case "user":
		delegated = true
	case "":
	default:
		return nil, false, false
	}
	if !delegated {
		return c.Roles, false, true
	}
	if c.Scope != nil {
		names = strings.Split(*c.Scope, " ")
	}
	return names, true, true
}
