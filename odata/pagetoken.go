package odata

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"certstate"
)

// PageTokenLifetime is how long a nextLink can be followed.
const PageTokenLifetime = 7 * 24 * time.Hour

// Sealer makes and opens the opaque tokens of nextLinks. A token is encrypted
// and authenticated (AES-256-GCM) together with the tenant and the query it was
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

const tokenForm = 1 // first byte of the plaintext

// Seal makes the token for the position after the record with key k.
func (s *Sealer) Seal(tenant string, q *Query, k int64) string {
	plain := binary.BigEndian.AppendUint64([]byte{tokenForm}, uint64(k))
	plain = binary.BigEndian.AppendUint64(plain, uint64(s.now().Unix()))
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, bound(tenant, q)))
}

// Open returns the position of a token made for the same tenant and query.
func (s *Sealer) Open(tenant string, q *Query) (k int64, err error) {
	sealed, err := base64.RawURLEncoding.DecodeString(q.SkipToken)
	if err == nil {
		sealed, err = s.aead.Open(nil, nil, sealed, bound(tenant, q))
	}
	if err != nil || len(sealed) != 17 || sealed[0] != tokenForm {
		return 0, certstate.Errorf(certstate.Invalid, "$skiptoken",
			"The $skiptoken is not one of this query's: follow @odata.nextLink unchanged, or start again from the first page.")
	}
	made := time.Unix(int64(binary.BigEndian.Uint64(sealed[9:])), 0)
	if s.now().Sub(made) > PageTokenLifetime {
		return 0, certstate.Errorf(certstate.Invalid, "$skiptoken",
			"The $skiptoken has expired: start again from the first page.")
	}
	return int64(binary.BigEndian.Uint64(sealed[1:])), nil
}

func bound(tenant string, q *Query) []byte { return []byte(tenant + "\x00" + q.String()) }
