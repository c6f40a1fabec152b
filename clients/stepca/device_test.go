package stepca

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	kitlog "github.com/go-kit/kit/log"
	scepclient "github.com/micromdm/scep/v2/client"
	"github.com/micromdm/scep/v2/cryptoutil/x509util"
	"github.com/smallstep/scep"
	"golang.org/x/crypto/acme"
)

// A way is how a device gets a certificate.
type way func(t *testing.T, a *authority, name string) (*x509.Certificate, error)

// client trusts the authority.
func (a *authority) client() *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
}

// overSCEP enrols as micromdm's scepclient does.
func overSCEP(key *rsa.PrivateKey) way {
	return func(t *testing.T, a *authority, name string) (*x509.Certificate, error) {
		client, err := scepclient.New("http://"+a.http+"/scep/scep", kitlog.NewNopLogger())
		if err != nil {
			return nil, err
		}
		der, err := x509util.CreateCertificateRequest(rand.Reader, &x509util.CertificateRequest{ChallengePassword: challenge,
			CertificateRequest: x509.CertificateRequest{Subject: pkix.Name{CommonName: name}, SignatureAlgorithm: x509.SHA256WithRSA, DNSNames: []string{name + ".fleet.example"}}}, key)
		if err != nil {
			return nil, err
		}
		csr, err := x509.ParseCertificateRequest(der)
		if err != nil {
			return nil, err
		}
		resp, n, err := client.GetCACert(t.Context(), "")
		if err != nil {
			return nil, err
		}
		var authorities []*x509.Certificate
		if n > 1 {
			authorities, err = scep.CACerts(resp)
		} else {
			authorities, err = x509.ParseCertificates(resp)
		}
		if err != nil {
			return nil, err
		}
		self := certify(t, &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: csr.Subject, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment}, nil, key.Public(), key)
		msg, err := scep.NewCSRRequest(csr, &scep.PKIMessage{MessageType: scep.PKCSReq, Recipients: authorities, SignerKey: key, SignerCert: self,
			CSRReqMessage: &scep.CSRReqMessage{ChallengePassword: challenge}}, scep.WithCertsSelector(scep.NopCertsSelector()))
		if err != nil {
			return nil, err
		}
		raw, err := client.PKIOperation(t.Context(), msg.Raw)
		if err != nil {
			return nil, err
		}
		answer, err := scep.ParsePKIMessage(raw, scep.WithCACerts(authorities))
		if err != nil {
			return nil, err
		}
		if answer.PKIStatus != scep.SUCCESS {
			return nil, fmt.Errorf("SCEP: %s, %s", answer.PKIStatus, answer.FailInfo)
		}
		if err := answer.DecryptPKIEnvelope(self, key); err != nil {
			return nil, err
		}
		return answer.Certificate, nil
	}
}

// token is one of the JWK provisioner's, for an address of the step-ca's.
func (a *authority) token(to, subject string) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: a.tokenKey}, (&jose.SignerOptions{}).WithHeader("kid", "lab"))
	if err != nil {
		return "", err
	}
	now := time.Now()
	return jwt.Signed(signer).Claims(jwt.Claims{Issuer: "jwk", Subject: subject, Audience: jwt.Audience{"https://" + a.https + to}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now.Add(-time.Second)), Expiry: jwt.NewNumericDate(now.Add(4 * time.Minute))}).
		Claims(map[string]any{"sans": []string{subject}}).Serialize()
}

// post sends JSON to the step-ca, and reads its answer into to.
func (a *authority) post(ctx context.Context, at string, body map[string]any, to any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+a.https+at, bytes.NewReader(text))
	if err != nil {
		return err
	}
	resp, err := a.client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s: %s: %s", at, resp.Status, answer)
	}
	return json.Unmarshal(answer, to)
}

func request(name string) (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}, key)
	return key, der, err
}

// byToken has a certificate signed for a token.
func byToken(t *testing.T, a *authority, name string) (*x509.Certificate, error) {
	_, csr, err := request(name)
	if err != nil {
		return nil, err
	}
	token, err := a.token("/1.0/sign", name)
	if err != nil {
		return nil, err
	}
	var answer struct{ Crt string }
	body := map[string]any{"csr": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})), "ott": token}
	if err := a.post(t.Context(), "/1.0/sign", body, &answer); err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(answer.Crt))
	if block == nil {
		return nil, errors.New("no certificate in the answer")
	}
	return x509.ParseCertificate(block.Bytes)
}

// overACME proves that it is localhost, whose certificate it gets.
func overACME(t *testing.T, a *authority, name string) (*x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	client := &acme.Client{Key: key, HTTPClient: a.client(), DirectoryURL: "https://" + a.https + "/acme/acme/directory"}
	if _, err := client.Register(t.Context(), &acme.Account{}, acme.AcceptTOS); err != nil {
		return nil, err
	}
	order, err := client.AuthorizeOrder(t.Context(), acme.DomainIDs("localhost"))
	if err != nil {
		return nil, err
	}
	for _, at := range order.AuthzURLs {
		if err := a.prove(t.Context(), client, at); err != nil {
			return nil, err
		}
	}
	if order, err = client.WaitOrder(t.Context(), order.URI); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}}, key)

	if err != nil {
		return nil, err
	}
	chain, _, err := client.CreateOrderCert(t.Context(), order.FinalizeURL, der, false)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(chain[0])
}

// prove answers a challenge of the type http-01.
func (a *authority) prove(ctx context.Context, client *acme.Client, at string) error {
	authz, err := client.GetAuthorization(ctx, at)
	if err != nil {
		return err
	}
	for _, c := range authz.Challenges {
		if c.Type != "http-01" {
			continue
		}
		text, err := client.HTTP01ChallengeResponse(c.Token)
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp", "localhost:"+a.acmePort)
		if err != nil {
			return err
		}
		srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })}
		go func() { _ = srv.Serve(l) }()
		defer srv.Close()
		if _, err := client.Accept(ctx, c); err != nil {
			return err
		}
		_, err = client.WaitAuthorization(ctx, authz.URI)
		return err
	}
	return errors.New("no challenge of the type http-01")
}

// revoke has the step-ca revoke a certificate.
func (a *authority) revoke(t *testing.T, c *x509.Certificate) {
	t.Helper()
	serial := c.SerialNumber.String()
	token, err := a.token("/1.0/revoke", serial)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Status string }
	if err := a.post(t.Context(), "/1.0/revoke", map[string]any{"serial": serial, "ott": token, "reasonCode": 1, "reason": "lost", "passive": true}, &answer); err != nil || answer.Status != "ok" {
		t.Fatal(answer, err)
	}
}
