package sources

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"certstate/ingest"
	"certstate/store"
)

// KindStepCA is the kind of a source that is a step-ca.
const KindStepCA = "step-ca"

// DefaultClientName is the common name of the certificate that a step-ca issues
// itself, and presents to whom it notifies.
const DefaultClientName = "Step Online CA"

// DefaultEvery is how often a source is read.
const DefaultEvery = 5 * time.Minute

// StepCA is what is known of a step-ca.
type StepCA struct {
	Roots       string `json:"roots,omitzero"`      // PEM, that its client certificate leads to; "": it may not notify
	ClientName  string `json:"clientName,omitzero"` // common name or DNS name of its client certificate
	Secret      []byte `json:"secret,omitzero"`     // that it signs notifications with; nil: it has none
	Database    string `json:"database,omitzero"`   // see [OpenDatabase]; "": it is not read
	Every       int    `json:"every"`               // seconds between two readings
	DeviceFrom  string `json:"deviceFrom"`          // [ingest.FromCN] or [ingest.FromSAN]
	UPN         bool   `json:"upn"`                 // take the user principal name from the certificate
	Authorities bool   `json:"authorities,omitzero"`
}

// Settings reads a source's settings.
func Settings(src *store.Source) (set StepCA, err error) {
	if src.Kind != KindStepCA {
		return set, fmt.Errorf("the source %s is of the kind %s, which this release does not know", src.Name, src.Kind)
	}
	if err := json.Unmarshal(src.Settings, &set); err != nil {
		return set, fmt.Errorf("the settings of the source %s: %w", src.Name, err)
	}
	return set, nil
}

// Source makes a source of settings, or says what is wrong with them.
func (set StepCA) Source(name string) (store.Source, error) {
	var err error
	if set.Database, err = asURL(set.Database); err != nil {
		return store.Source{}, err
	}
	if err := errors.Join(store.CheckSourceName(name), set.check()); err != nil {
		return store.Source{}, err
	}
	text, err := json.Marshal(set) //nolint:gosec // the secret is kept, as the keys of links are
	return store.Source{Name: name, Kind: KindStepCA, Settings: text}, err
}

func (set *StepCA) check() error {
	_, faulty := set.pool()
	switch {
	case set.Roots == "" && set.Database == "":
		return errors.New("a source needs the roots of its authority, to be notified by it, or its database, to be read, and best both")
	case faulty != nil:
		return faulty
	case set.Roots != "" && set.ClientName == "":
		return errors.New("the name in the authority's client certificate is empty: without one every device that the authority knows could report")
	case set.Secret != nil && len(set.Secret) < minSecret:
		return fmt.Errorf("the secret has %d octets and needs at least %d", len(set.Secret), minSecret)
	case set.DeviceFrom != ingest.FromCN && set.DeviceFrom != ingest.FromSAN:
		return fmt.Errorf("a device cannot be named from %q: give cn or san", set.DeviceFrom)
	case set.Every < 1:
		return errors.New("a source is read every second at most")
	}
	return checkDatabase(set.Database)
}

// minSecret is the least length of a secret in octets. That of step-ca has 64.
const minSecret = 16

// pool are the roots.
func (set *StepCA) pool() (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if set.Roots != "" && !pool.AppendCertsFromPEM([]byte(set.Roots)) {
		return nil, errors.New("the roots hold no certificate in PEM")
	}
	return pool, nil
}

// notifies reports whether the step-ca is expected to tell of what a provisioner of
// a kind issues: it does so for SCEP alone.
func (set *StepCA) notifies(provisioner string) bool {
	return set.Roots != "" && strings.EqualFold(provisioner, "SCEP")
}

func (set *StepCA) naming() ingest.Naming {
	return ingest.Naming{From: set.DeviceFrom, UPN: set.UPN, Authorities: set.Authorities}
}
