package odata

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"certstate"
)

// PageTokenLifetime is how long a nextLink can be followed.
const PageTokenLifetime = 7 * 24 * time.Hour

// Token is a kind of opaque token: a position in an answer, to go on from.
type Token struct {
	kind     byte
	option   string        // the query option that carries it
	lifetime time.Duration // 0: as long as what it points at is kept
}

// The kinds of token there are. One is never taken for another.
var (
	PageToken        = Token{2, "$skiptoken", PageTokenLifetime}
	DeltaToken       = Token{3, "$deltatoken", 0}
	DeltaPageToken   = Token{4, "$skiptoken", PageTokenLifetime} // within a round of delta
	HistoryPageToken = Token{5, "$skiptoken", PageTokenLifetime}
	RejectPageToken  = Token{6, "$skiptoken", PageTokenLifetime}
	DownloadToken    = Token{7, "sig", 0} // of a URL that needs no other token: its job says how long
	UploadToken      = Token{8, "sig", 0}
	GapPageToken     = Token{9, "$skiptoken", PageTokenLifetime}
)

// Sealer makes and opens the opaque tokens of links. A token is encrypted and
// authenticated (AES-256-GCM) together with the tenant and the query it was
// made for, so it opens for no other.
type Sealer struct {
	aead cipher.AEAD
	now  func() time.Time
}

// NewSealer makes a Sealer from the installation's 32-byte key.
func NewSealer(key []byte, now func() time.Time) (*Sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("page token key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &Sealer{aead, now}, err
}

// Seal makes the token for a position in the answer to a query.
func (s *Sealer) Seal(t Token, tenant string, q *Query, position []byte) string {
	return s.seal(t, position, bound(tenant, q))
}

// SealURL makes the token of a URL by which anybody who has it reaches a resource of
// a tenant. It opens for no other resource.
func (s *Sealer) SealURL(t Token, tenant, resource string) string {
	return s.seal(t, []byte(tenant), []byte(resource))
}

// OpenURL returns the tenant that the token of a URL was made for.
func (s *Sealer) OpenURL(t Token, resource, text string) (tenant string, err error) {
	plain, err := s.open(t, text, []byte(resource))
	if err != nil {
		return "", certstate.Errorf(certstate.NotFound, t.option, "There is nothing at this URL: follow it unchanged, as the job says it.")
	}
	return string(plain[9:]), nil
}

func (s *Sealer) seal(t Token, position, bound []byte) string {
	plain := binary.BigEndian.AppendUint64([]byte{t.kind}, uint64(s.now().Unix()))
	plain = append(plain, position...)
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, bound))
}

// Open returns the position of a token made for the same tenant and query.
func (s *Sealer) Open(t Token, tenant string, q *Query, text string) (position []byte, err error) {
	plain, err := s.open(t, text, bound(tenant, q))
	if err != nil {
		return nil, certstate.Errorf(certstate.Invalid, t.option,
			"The %s is not one of this query's: follow the link unchanged, or start again without it.", t.option)
	}
	made := time.Unix(int64(binary.BigEndian.Uint64(plain[1:])), 0)
	if t.lifetime > 0 && s.now().Sub(made) > t.lifetime {
		return nil, certstate.Errorf(certstate.Invalid, t.option, "The %s has expired: start again from the first page.", t.option)
	}
	return plain[9:], nil
}

// open is the token's kind, the time it was made, and what is sealed.
func (s *Sealer) open(t Token, text string, bound []byte) ([]byte, error) {
	plain, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		plain, err = s.aead.Open(nil, nil, plain, bound)
	}
	if err == nil && (len(plain) < 9 || plain[0] != t.kind) {
		err = errors.New("of another kind")
	}
	return plain, err
}

func bound(tenant string, q *Query) []byte { return []byte(tenant + "\x00" + q.String()) }

// Option is the name of the query option that carries such a token.
func (t Token) Option() string { return t.option }
