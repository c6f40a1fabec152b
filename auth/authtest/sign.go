package authtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha512" // SHA-384 and SHA-512 for forged algorithms

	"github.com/go-jose/go-jose/v4"
)

// rawSignature signs as the algorithm says, or as RS256 if it does not fit the
// key: forged tokens claim one thing and do another.
func rawSignature(alg jose.SignatureAlgorithm, input []byte, key any) []byte {
	hash := crypto.SHA256
	switch alg {
	case jose.RS384, jose.PS384:
		hash = crypto.SHA384
	case jose.RS512, jose.PS512:
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write(input)
	digest := h.Sum(nil)
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if alg == jose.PS256 || alg == jose.PS384 || alg == jose.PS512 {
			sig, _ := rsa.SignPSS(rand.Reader, k, hash, digest, nil)
			return sig
		}
		sig, _ := rsa.SignPKCS1v15(rand.Reader, k, hash, digest)
		return sig
	case *ecdsa.PrivateKey:
		r, s, _ := ecdsa.Sign(rand.Reader, k, digest)
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case []byte:
		m := hmac.New(hash.New, k)
		m.Write(input)
		return m.Sum(nil)
	}
	return nil
}
