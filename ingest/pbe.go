package ingest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // what PKCS#12 files use is not ours to choose
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // see above
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"unicode/utf16"

	"certstate/certificate"
	"certstate/certificate/der"
)

// cipherKind is a cipher in CBC mode.
type cipherKind struct {
	key  int // octets
	make func(key []byte) (cipher.Block, error)
}

// pkcs12Ciphers are the schemes of RFC 7292 appendix C. RC2-40 was the usual one
// for certificates until 2021.
var pkcs12Ciphers = map[string]cipherKind{
	"1.2.840.113549.1.12.1.3": {24, des.NewTripleDESCipher},
	"1.2.840.113549.1.12.1.4": {16, twoKeyTripleDES},
	"1.2.840.113549.1.12.1.5": {16, newRC2},
	"1.2.840.113549.1.12.1.6": {5, newRC2},
}

// pbes2Ciphers are those of RFC 8018 appendix B.2.
var pbes2Ciphers = map[string]cipherKind{
	"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
	"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
	"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
	"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
}

// pbkdf2Hashes are the pseudorandom functions of RFC 8018 appendix B.1.
var pbkdf2Hashes = map[string]func() hash.Hash{
	"1.2.840.113549.2.7":  sha1.New,
	"1.2.840.113549.2.8":  sha256.New224,
	"1.2.840.113549.2.9":  sha256.New,
	"1.2.840.113549.2.10": sha512.New384,
	"1.2.840.113549.2.11": sha512.New,
}

const (
	oidPBES2  = "1.2.840.113549.1.5.13"
	oidPBKDF2 = "1.2.840.113549.1.5.12"
)

func twoKeyTripleDES(key []byte) (cipher.Block, error) {
	return des.NewTripleDESCipher(append(key[:16:16], key[:8]...)) //nolint:gosec // see above
}

// decryptPBE opens what is encrypted under a password. It takes the rounds of key
// derivation from those still allowed.
func decryptPBE(algorithm der.Element, text []byte, password string, rounds *int) ([]byte, error) {
	in := algorithm.Children()
	id, err := in.Universal(der.OID)
	if err != nil {
		return nil, errPKCS12
	}
	oid, _ := der.OIDText(id.Body)
	parameters, err := in.Universal(der.Sequence)
	if err != nil {
		return nil, errPKCS12
	}
	if oid == oidPBES2 {
		return decryptPBES2(parameters, text, password, rounds)
	}
	kind, known := pkcs12Ciphers[oid]
	if !known {
		return nil, fmt.Errorf("a PKCS#12 file encrypted with an algorithm that is not read (%s)", oid)
	}
	return decryptPKCS12(kind, parameters, text, password, rounds)
}

// decryptPKCS12 uses pkcs-12PbeParams, RFC 7292 appendix C: salt, iterations.
func decryptPKCS12(kind cipherKind, parameters der.Element, text []byte, password string, rounds *int) ([]byte, error) {
	in := parameters.Children()
	salt, iterations, err := saltAndIterations(&in, rounds)
	if err != nil {
		return nil, err
	}
	for _, secret := range bmpPasswords(password) {
		key := pkcs12Key(1, secret, salt, iterations, kind.key)
		iv := pkcs12Key(2, secret, salt, iterations, 8)
		if plain, err := decryptCBC(kind, key, iv, text); err == nil {
			return plain, nil
		}
	}
	return nil, ErrPassword
}

// maxSalt bounds a salt, in octets; programs use 8 to 20.
const maxSalt = 1024

// saltAndIterations reads what all key derivations begin with, and takes the
// iterations from the rounds allowed, for keys of up to three hashes.
func saltAndIterations(in *der.Reader, rounds *int) (salt []byte, iterations int, err error) {
	salt, err = octetString(in)
	if err != nil || len(salt) > maxSalt {
		return nil, 0, errPKCS12
	}
	e, err := in.Universal(der.Integer)
	if err != nil || len(e.Body) == 0 || e.Body[0]&0x80 != 0 {
		return nil, 0, errPKCS12
	}
	for _, o := range e.Body {
		if iterations = iterations<<8 | int(o); iterations > LimitIterations.Max {
			break
		}
	}
	if iterations > *rounds {
		return nil, 0, &certificate.LimitError{Limit: &LimitIterations, Got: LimitIterations.Max - *rounds + iterations}
	}
	*rounds -= iterations
	return salt, max(iterations, 1), nil
}

// bmpPasswords are the octets of a password, RFC 7292 appendix B.1. Some
// programs take an empty one for no octets at all.
func bmpPasswords(password string) [][]byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(password)) {
		b = append(b, byte(unit>>8), byte(unit))
	}
	b = append(b, 0, 0)
	if password == "" {
		return [][]byte{b, nil}
	}
	return [][]byte{b}
}

// pkcs12Key derives size octets, RFC 7292 appendix B.2, with SHA-1: u is 20 octets
// and v 64.
func pkcs12Key(id byte, password, salt []byte, iterations, size int) (key []byte) {
	const u, v = sha1.Size, sha1.BlockSize
	diversifier := bytes.Repeat([]byte{id}, v)
	input := append(fill(salt, v), fill(password, v)...)
	for {
		a := sha1.Sum(append(diversifier, input...)) //nolint:gosec // see above
		for range iterations - 1 {
			a = sha1.Sum(a[:]) //nolint:gosec // see above
		}
		if key = append(key, a[:]...); len(key) >= size {
			return key[:size]
		}
		addToBlocks(input, fill(a[:u], v))
	}
}

// fill repeats b to a multiple of v octets.
func fill(b []byte, v int) []byte {
	if len(b) == 0 {
		return nil
	}
	size := (len(b) + v - 1) / v * v
	return bytes.Repeat(b, size/len(b)+1)[:size]
}

// addToBlocks adds b + 1 to each block of input, each a number.
func addToBlocks(input, b []byte) {
	for block := range len(input) / len(b) {
		carry := 1
		for i := len(b) - 1; i >= 0; i-- {
			at := block*len(b) + i
			carry += int(input[at]) + int(b[i])
			input[at], carry = byte(carry), carry>>8
		}
	}
}

// decryptPBES2 uses PBES2-params, RFC 8018 appendix A.4: key derivation, cipher.
func decryptPBES2(parameters der.Element, text []byte, password string, rounds *int) ([]byte, error) {
	in := parameters.Children()
	derivation, err := in.Universal(der.Sequence)
	if err != nil {
		return nil, errPKCS12
	}
	scheme, err := in.Universal(der.Sequence)
	if err != nil {
		return nil, errPKCS12
	}
	schemeIn := scheme.Children()
	oid, err := identifier(&schemeIn)
	if err != nil {
		return nil, err
	}
	kind, known := pbes2Ciphers[oid]
	if !known {
		return nil, fmt.Errorf("a PKCS#12 file encrypted with a cipher that is not read (%s)", oid)
	}
	iv, err := octetString(&schemeIn)
	if err != nil {
		return nil, errPKCS12
	}
	key, err := pbkdf2Key(derivation, password, kind.key, rounds)
	if err != nil {
		return nil, err
	}
	plain, err := decryptCBC(kind, key, iv, text)
	if err != nil {
		return nil, ErrPassword
	}
	return plain, nil
}

func identifier(r *der.Reader) (string, error) {
	id, err := r.Universal(der.OID)
	if err != nil {
		return "", errPKCS12
	}
	oid, _ := der.OIDText(id.Body)
	return oid, nil
}

// pbkdf2Key reads PBKDF2-params, RFC 8018 appendix A.2: salt, iterations, length,
// function.
func pbkdf2Key(derivation der.Element, password string, size int, rounds *int) ([]byte, error) {
	outer := derivation.Children()
	oid, err := identifier(&outer)
	if err != nil {
		return nil, err
	}
	parameters, err := outer.Universal(der.Sequence)
	if err != nil || oid != oidPBKDF2 {
		return nil, fmt.Errorf("a PKCS#12 file whose key derivation is not read (%s)", oid)
	}
	in := parameters.Children()
	salt, iterations, err := saltAndIterations(&in, rounds)
	if err != nil {
		return nil, err
	}
	if length, ok := in.Peek(); ok && length.Is(der.Integer) {
		_, _ = in.Next() // it has just been peeked at; the cipher says the length
	}
	oid = "1.2.840.113549.2.7" // the default, SHA-1
	if function, err := in.Universal(der.Sequence); err == nil {
		functionIn := function.Children()
		if oid, err = identifier(&functionIn); err != nil {
			return nil, err
		}
	}
	function, known := pbkdf2Hashes[oid]
	if !known {
		return nil, fmt.Errorf("a PKCS#12 file whose key derivation is not read (%s)", oid)
	}
	return pbkdf2.Key(function, password, salt, iterations, size)
}

var errPadding = errors.New("not padded")

// decryptCBC takes the padding off, RFC 5652 §6.3; a wrong key rarely leaves any.
func decryptCBC(kind cipherKind, key, iv, text []byte) ([]byte, error) {
	block, err := kind.make(key)
	if err != nil {
		return nil, err
	}
	size := block.BlockSize()
	if len(iv) != size || len(text) == 0 || len(text)%size != 0 {
		return nil, errPKCS12
	}
	plain := make([]byte, len(text))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, text)
	n := int(plain[len(plain)-1])
	if n == 0 || n > size || !bytes.Equal(plain[len(plain)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, errPadding
	}
	return plain[:len(plain)-n], nil
}
