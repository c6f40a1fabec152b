package identity

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// A purpose keeps a value sealed for one use from being opened for another.
type purpose string

const (
	forLogin   purpose = "login"   // an authorization request on its way through the sign-in page
	forCode    purpose = "code"    // an authorization code
	forRefresh purpose = "refresh" // a refresh token
)

// session is what a sealed value carries.
type session struct {
	Expires int64    `json:"e"` // unix seconds
	Tenant  string   `json:"t"`
	App     string   `json:"a"`
	User    string   `json:"u,omitempty"` // not for login
	Scopes  []string `json:"s"`           // as asked

	// Of the authorization request; for login and code.
	RedirectURI     string `json:"r,omitempty"`
	Challenge       string `json:"c,omitempty"`
	ChallengeMethod string `json:"m,omitempty"`
	Nonce           string `json:"n,omitempty"`

	// For login only.
	State        string `json:"st,omitempty"`
	ResponseMode string `json:"rm,omitempty"`
	LoginHint    string `json:"h,omitempty"`

	ID string `json:"i,omitempty"` // for code only: what redeemed knows it by
}

// sealer encrypts and authenticates sessions with AES-256-GCM.
type sealer struct{ aead cipher.AEAD }

// newSealer returns a sealer with a key of its own: what it seals is worth
// nothing after a restart.
func newSealer() (*sealer, error) {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("sealing key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("sealing key: %w", err)
	}
	return &sealer{aead}, nil
}

func (s *sealer) seal(as purpose, v session) string {
	plain, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, []byte(as)))
}

// open returns what seal was given. ok is false for anything else; whether it
// has expired is for the caller to ask.
func (s *sealer) open(as purpose, text string) (v session, ok bool) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return v, false
	}
	plain, err := s.aead.Open(nil, nil, sealed, []byte(as))
	if err != nil {
		return v, false
	}
	return v, json.Unmarshal(plain, &v) == nil
}

func (v session) expired(now time.Time) bool { return now.Unix() >= v.Expires }

// maxRedeemed bounds the codes remembered: some 10 MB. A code costs a
// successful sign-in, so only users of the provider can fill it.
const maxRedeemed = 1 << 16

// redeemed remembers the codes used, each until it would have expired.
type redeemed struct {
	mu  sync.Mutex
	ids map[string]int64 // to unix seconds
}

// once reports whether v is seen for the first time; full says that there is
// no room to remember it, so that it must be refused.
func (r *redeemed) once(v session, now time.Time) (first, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, used := r.ids[v.ID]; used {
		return false, false
	}
	if r.ids == nil {
		r.ids = map[string]int64{}
	}
	if len(r.ids) >= maxRedeemed {
		for id, expires := range r.ids {
			if now.Unix() >= expires {
				delete(r.ids, id)
			}
		}
		if len(r.ids) >= maxRedeemed {
			return false, true
		}
	}
	r.ids[v.ID] = v.Expires
	return true, false
}
