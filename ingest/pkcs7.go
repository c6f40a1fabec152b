package ingest

import (
	"certstate/certificate"
	"certstate/certificate/der"
)

// Content types of RFC 2315 §14.
const (
	oidData          = "1.2.840.113549.1.7.1"
	oidSignedData    = "1.2.840.113549.1.7.2"
	oidEncryptedData = "1.2.840.113549.1.7.6"
)

// contentInfo reads PKCS#7 (RFC 2315 §7, CMS RFC 5652 §3): of signed data, which
// is how certificates are passed along, the certificates.
func (c *collector) contentInfo(e der.Element) error {
	content, kind, err := unwrap(e)
	if err != nil || kind != oidSignedData {
		return c.add(nil, &NotCertificateError{"PKCS#7 of a kind that holds none"})
	}
	signed, err := content.Universal(der.Sequence)
	if err != nil {
		return c.add(nil, err)
	}
	return c.signedData(signed.Children())
}

// unwrap reads ContentInfo and gives a reader of its content.
func unwrap(e der.Element) (content der.Reader, kind string, err error) {
	in := e.Children()
	id, err := in.Universal(der.OID)
	if err != nil {
		return in, "", err
	}
	kind, _ = der.OIDText(id.Body)
	explicit, _ := in.Parts(0)
	return explicit.Children(), kind, nil
}

// signedData reads SignedData, RFC 5652 §5.1: version, digests, content, [0]
// certificates.
func (c *collector) signedData(in der.Reader) error {
	for _, tag := range []int{der.Integer, der.Set, der.Sequence} {
		if _, err := in.Universal(tag); err != nil {
			return c.add(nil, err)
		}
	}
	certificates, ok := in.Parts(0)
	if !ok {
		return c.add(nil, &NotCertificateError{"PKCS#7 without any certificates"})
	}
	for list := certificates.Children(); list.More(); {
		e, err := list.Next()
		if err != nil {
			return c.add(nil, err)
		}
		if err := c.choice(e); err != nil {
			return err
		}
	}
	return nil
}

// choice reads CertificateChoices, RFC 5652 §10.2.2.
func (c *collector) choice(e der.Element) error {
	if e.Is(der.Sequence) {
		return c.member(e)
	}
	return c.add(nil, &NotCertificateError{"an attribute certificate or one of another form"})
}

// member reads what must be a certificate, for it is in a container of them.
func (c *collector) member(e der.Element) error {
	if certificate.Shape.MatchString(certificate.Outline(e)) {
		return c.candidate(e)
	}
	return c.add(nil, &NotCertificateError{"a structure of another kind"})
}
