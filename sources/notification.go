package sources

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"certstate/certificate"
	"certstate/edm"
	"certstate/ingest"
	"certstate/store"
)

// notification is the part of a step-ca's webhook request that is read here.
type notification struct {
	X509Certificate struct {
		Raw []byte `json:"raw"`
	} `json:"x509Certificate"`
	SCEPChallenge        string `json:"scepChallenge"`
	SCEPErrorCode        int    `json:"scepErrorCode"`
	SCEPErrorDescription string `json:"scepErrorDescription"`
}

// errAsks is the fault of a request that asks whether something may be issued. A
// register has no say in that, and an answer that allows it would do away with the
// authority's own check.
var errAsks = errors.New("it asks whether a certificate may be issued: give the webhook the kind NOTIFYING")

// sightings are what a webhook request tells. A failed enrolment is told, too, and
// is no certificate.
func (set *StepCA) sightings(name string, body []byte) ([]store.Sighting, error) {
	var n notification
	if err := json.Unmarshal(body, &n); err != nil {
		return nil, fmt.Errorf("the body is not what a step-ca sends: %w", err)
	}
	failed := n.SCEPErrorCode != 0 || n.SCEPErrorDescription != ""
	switch der := n.X509Certificate.Raw; {
	case n.SCEPChallenge != "", der == nil && !failed:
		return nil, errAsks
	case der == nil:
		return nil, nil
	default:
		key, err := serialOf(der)
		if err != nil {
			return nil, err
		}
		x := set.sighting(name, key, der)
		x.Via = store.Notified
		return []store.Sighting{x}, nil
	}
}

// sighting is a certificate as the register takes it.
func (set *StepCA) sighting(name, key string, der []byte) store.Sighting {
	naming := set.naming()
	row := naming.Issued(der, name)
	x := store.Sighting{Key: key}
	if errors.Is(row.Err, ingest.ErrAuthority) {
		return x
	}
	x.Registration = store.Registration{State: *row.State, Set: row.Set, Facts: row.Facts}
	if row.Facts != nil {
		x.Issued = edm.Time(row.Facts.NotBefore.UTC())
	}
	return x
}

// serialOf is a certificate's serial number in decimal, as a step-ca names it.
func serialOf(der []byte) (string, error) {
	facts, err := certificate.Parse(der)
	if err != nil {
		return "", err
	}
	n, ok := new(big.Int).SetString(facts.Serial, 16)
	if !ok {
		return "", errors.New("the certificate has no serial number")
	}
	return n.String(), nil
}
