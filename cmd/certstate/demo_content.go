package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"certstate"
	"certstate/edm"
	"certstate/store"
)

// fill gives a tenant count certificates, unless it has some already.
func fill(ctx context.Context, db *store.Store, t store.Tenant, count int, now time.Time, progress io.Writer) error {
	if n, err := db.Live(ctx, t); err != nil || n > 0 {
		return err
	}
	authorities, err := deviceCAs(now)
	if err != nil {
		return err
	}
	const workers = 32 // so that one commit takes many
	var (
		next, made atomic.Int64
		wg         sync.WaitGroup
		errs       = make(chan error, workers)
	)
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
				st, err := deviceCertificate(authorities[i%len(authorities)], i, now)
				if err == nil {
					_, err = db.Create(ctx, t, st, certstate.Cause{Actor: "certstate demo"})
				}
				if err != nil {
					errs <- err
					return
				}
				if n := made.Add(1); n%1000 == 0 || n == int64(count) {
					fmt.Fprintf(progress, "certificates made: %d of %d\n", n, count)
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return fmt.Errorf("make the demo's certificates: %w", err)
	default:
		return nil
	}
}

var (
	people  = []string{"amara.okafor", "jonas.lindqvist", "mei.tanaka", "lucia.ferreira", "omar.haddad", "ingrid.solberg", "pavel.novak", "priya.raman", "thomas.weber", "zoe.martin"}
	devices = []string{"LAPTOP", "DESKTOP", "IPHONE", "PIXEL", "MACBOOK", "SURFACE"}
	// weights of the statuses in twenty records
	statuses = []certstate.RevokeStatus{
		certstate.None, certstate.None, certstate.None, certstate.None, certstate.None, certstate.None, certstate.None,
		certstate.None, certstate.None, certstate.None, certstate.None, certstate.None, certstate.None,
		certstate.Pending, certstate.Pending, certstate.Issued, certstate.Issued, certstate.Failed, certstate.Revoked, certstate.Revoked,
	}
)

// deviceCertificate is the record of a certificate made for the purpose: one
// year long, ending within a year before or after now.
func deviceCertificate(authority *ca, i int, now time.Time) (certstate.State, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certstate.State{}, err
	}
	person := people[i%len(people)]
	device := fmt.Sprintf("%s-%05d", devices[i%len(devices)], i)
	upn := person + "@fleet.example"
	ends := now.Add(time.Duration(mathrand.Int64N(int64(2*365*24*time.Hour))) - 365*24*time.Hour).Truncate(time.Second)
	cert, err := authority.issue(&x509.Certificate{
		Subject:        pkix.Name{CommonName: device, Organization: []string{"Fleet Example"}, OrganizationalUnit: []string{"Managed devices"}},
		EmailAddresses: []string{upn},
		NotBefore:      ends.AddDate(-1, 0, 0), NotAfter: ends,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key.Public())
	if err != nil {
		return certstate.State{}, err
	}
	st := certstate.State{Certificate: edm.Bin(cert.Raw), DeviceName: edm.Str(device), UserPrincipalName: edm.Str(upn)}
	st.DeviceID, st.UserID = edm.Str(uuid.NewString()), edm.Str(uuid.NewSHA1(uuid.NameSpaceDNS, []byte(upn)).String())
	st.PolicyID = edm.Str(uuid.NewSHA1(uuid.NameSpaceDNS, []byte(authority.cert.Subject.CommonName)).String())
	st.Source = edm.Str("demo")
	st.RevokeStatus = statuses[mathrand.IntN(len(statuses))]
	if i < int(certstate.Revoked)+1 { // even a small demo shows every status
		st.RevokeStatus = certstate.RevokeStatus(i)
	}
	if st.RevokeStatus != certstate.None {
		st.RevokeStatusChanged = edm.Time(now.Add(-time.Duration(mathrand.Int64N(int64(30 * 24 * time.Hour)))).UTC())
	}
	return st, nil
}
