package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// ca is a small certificate authority.
type ca struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// newCA makes a self-signed authority that lasts ten years.
func newCA(name string, key crypto.Signer, now time.Time) (*ca, error) {
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: name, Organization: []string{"Certstate Demo"}},
		NotBefore: now.Add(-3 * 365 * 24 * time.Hour), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	c := &ca{cert: template, key: key}
	cert, err := c.issue(template, key.Public())
	return &ca{cert, key}, err
}

// issue signs a certificate with a random serial of 128 bits.
func (c *ca) issue(template *x509.Certificate, pub crypto.PublicKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, pub, c.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// deviceCAs are the three authorities of the demo's content, one of each kind
// of key. They sign once and are forgotten.
func deviceCAs(now time.Time) ([]*ca, error) {
	rsaKey, err1 := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edKey, err3 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	var list []*ca
	for _, k := range []struct {
		name string
		key  crypto.Signer
	}{{"Fleet Device CA (RSA)", rsaKey}, {"Fleet Wi-Fi CA (ECDSA)", ecKey}, {"Fleet VPN CA (Ed25519)", edKey}} {
		c, err := newCA(k.name, k.key, now)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// demoTLS is the demo's server certificate, made anew at each start and signed
// by the authority in dir, which is made once so that it need be trusted once.
// It returns the path of the authority's certificate.
func demoTLS(dir, host string, now time.Time) (*tls.Config, string, error) {
	path := filepath.Join(dir, "ca.pem")
	root, err := loadCA(path, filepath.Join(dir, "ca-key.pem"), now)
	if err != nil {
		return nil, "", err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "localhost"},
		DNSNames:  []string{"localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 3, 0),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = append(template.IPAddresses, ip)
	} else if host != "localhost" {
		template.DNSNames = append(template.DNSNames, host)
	}
	cert, err := root.issue(template, key.Public())
	if err != nil {
		return nil, "", err
	}
	pair := tls.Certificate{Certificate: [][]byte{cert.Raw, root.cert.Raw}, PrivateKey: key, Leaf: cert}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{pair}}, path, nil
}

// loadCA reads the authority, or makes it if it is not there.
func loadCA(certFile, keyFile string, now time.Time) (*ca, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err == nil {
		key, ok := pair.PrivateKey.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("%s: the key cannot sign", keyFile)
		}
		return &ca{pair.Leaf, key}, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("the demo's authority in %s cannot be used; delete it and its key to have a new one made: %w", certFile, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c, err := newCA("Certstate Demo Root", key, now)
	if err != nil {
		return nil, err
	}
	return c, errors.Join(writePEM(keyFile, key), writePrivate(certFile, pemBlock("CERTIFICATE", c.cert.Raw)))
}

// loadRSAKey reads a key, or makes it if it is not there.
func loadRSAKey(file string) (*rsa.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, err
		}
		return key, writePEM(file, key)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no key; delete it to have a new one made", file)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if rsaKey, ok := key.(*rsa.PrivateKey); ok {
		return rsaKey, nil
	}
	return nil, errors.Join(fmt.Errorf("%s holds no RSA key; delete it to have a new one made", file), err)
}

func writePEM(file string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePrivate(file, pemBlock("PRIVATE KEY", der))
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// writePrivate writes a file that only its owner can read, whole or not at all.
func writePrivate(file string, content []byte) error {
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}
