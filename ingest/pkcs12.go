package ingest

import (
	"errors"

	"certstate/certificate/der"
)

// Kinds of bags, RFC 7292 §4.2, and of what a certificate bag holds.
const (
	oidKeyBag          = "1.2.840.113549.1.12.10.1.1"
	oidShroudedKeyBag  = "1.2.840.113549.1.12.10.1.2"
	oidCertBag         = "1.2.840.113549.1.12.10.1.3"
	oidSafeBag         = "1.2.840.113549.1.12.10.1.6"
	oidX509Certificate = "1.2.840.113549.1.9.22.1"
)

// maxSafes bounds how deep safes may nest in PKCS#12; programs nest none.
const maxSafes = 4

var errPKCS12 = errors.New("a PKCS#12 file that is damaged")

// pkcs12 reads PFX, RFC 7292 §4: of all it holds, the certificates.
func (c *collector) pkcs12(e der.Element) error {
	in := e.Children()
	if _, err := in.Universal(der.Integer); err != nil {
		return err
	}
	authSafe, err := in.Universal(der.Sequence)
	if err != nil {
		return err
	}
	content, kind, err := unwrap(authSafe)
	if err != nil {
		return err
	}
	if kind != oidData {
		return errors.New("a PKCS#12 file locked with a public key, not a password, is not read")
	}
	octets, err := octetString(&content)
	if err != nil {
		return errPKCS12
	}
	safes := der.New(octets)
	list, err := safes.Universal(der.Sequence)
	if err != nil {
		return errPKCS12
	}
	return each(list, c.safe)
}

// each reads the sequences within e.
func each(e der.Element, read func(der.Element) error) error {
	for in := e.Children(); in.More(); {
		item, err := in.Universal(der.Sequence)
		if err != nil {
			return errPKCS12
		}
		if err := read(item); err != nil {
			return err
		}
	}
	return nil
}

// octetString reads one, that may be in pieces.
func octetString(r *der.Reader) ([]byte, error) {
	e, err := r.Universal(der.OctetString)
	if err != nil {
		return nil, err
	}
	return e.Octets()
}

// safe reads one ContentInfo of AuthenticatedSafe, RFC 7292 §4.1.
func (c *collector) safe(e der.Element) error {
	content, kind, err := unwrap(e)
	if err != nil {
		return errPKCS12
	}
	switch kind {
	case oidData:
		octets, err := octetString(&content)
		if err != nil {
			return errPKCS12
		}
		return c.safeContents(octets, 0)
	case oidEncryptedData:
		return c.encryptedData(content)
	}
	return errors.New("a PKCS#12 file locked with a public key, not a password, is not read")
}

// encryptedData reads EncryptedData, RFC 2315 §13, with its plain text gone
// afterwards: keys may be among the bags.
func (c *collector) encryptedData(content der.Reader) error {
	data, err := content.Universal(der.Sequence)
	if err != nil {
		return errPKCS12
	}
	in := data.Children()
	if _, err := in.Universal(der.Integer); err != nil {
		return errPKCS12
	}
	info, err := in.Universal(der.Sequence)
	if err != nil {
		return errPKCS12
	}
	plain, err := c.decrypt(info)
	if err != nil {
		return err
	}
	defer clear(plain)
	before := len(c.found)
	if err := c.safeContents(plain, 0); err != nil {
		if errors.Is(err, errPKCS12) && len(c.found) == before {
			return ErrPassword // padding was right by chance
		}
		return err
	}
	return nil
}

// decrypt reads EncryptedContentInfo: kind, algorithm, [0] content.
func (c *collector) decrypt(info der.Element) ([]byte, error) {
	in := info.Children()
	if _, err := in.Universal(der.OID); err != nil {
		return nil, errPKCS12
	}
	algorithm, err := in.Universal(der.Sequence)
	if err != nil {
		return nil, errPKCS12
	}
	content, ok := in.Peek() // a string, whole or in parts
	if !ok || !content.IsContext(0) {
		return nil, errPKCS12
	}
	octets, err := content.Octets()
	if err != nil {
		return nil, errPKCS12
	}
	return decryptPBE(algorithm, octets, c.password, &c.rounds)
}

// safeContents reads SafeContents, RFC 7292 §4.2.
func (c *collector) safeContents(octets []byte, depth int) error {
	r := der.New(octets)
	bags, err := r.Universal(der.Sequence)
	if err != nil {
		return errPKCS12
	}
	return each(bags, func(bag der.Element) error { return c.bag(bag, depth) })
}

// bag reads SafeBag: a certificate is taken, a key passed over.
func (c *collector) bag(e der.Element, depth int) error {
	value, kind, err := unwrap(e)
	if err != nil {
		return errPKCS12
	}
	switch kind {
	case oidCertBag:
		return c.certBag(value)
	case oidSafeBag:
		if depth >= maxSafes {
			return errPKCS12
		}
		return c.safeContents(value.Rest(), depth+1)
	}
	return nil // keys, CRLs, secrets
}

// certBag reads CertBag, RFC 7292 §4.2.3. The certificate is copied, for the
// plain text around it is wiped.
func (c *collector) certBag(value der.Reader) error {
	bag, err := value.Universal(der.Sequence)
	if err != nil {
		return errPKCS12
	}
	content, kind, err := unwrap(bag)
	if err != nil {
		return errPKCS12
	}
	if kind != oidX509Certificate {
		return c.add(nil, &NotCertificateError{"an SDSI certificate"})
	}
	octets, err := octetString(&content)
	if err != nil {
		return errPKCS12
	}
	r := der.New(append([]byte(nil), octets...))
	e, err := r.Universal(der.Sequence)
	if err != nil {
		return c.add(nil, err)
	}
	return c.member(e)
}
