package sources

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/store"
)

// issued is what a step-ca keeps of a certificate.
type issued struct {
	key                   string // serial number, in decimal
	der                   []byte
	provisioner, kindOfIt string
	revoked               *revocation // nil: it is not
}

// origin is who issued it, for people.
func (c *issued) origin() string {
	if c.kindOfIt == "" {
		return ""
	}
	return fmt.Sprintf("%s (%s)", c.provisioner, c.kindOfIt)
}

// revocation is the part that is read of what a step-ca keeps of one.
type revocation struct {
	ReasonCode int
	Reason     string
	RevokedAt  time.Time
}

// reasons are those of RFC 5280 §5.3.1.
var reasons = map[int]string{0: "unspecified", 1: "keyCompromise", 2: "cACompromise", 3: "affiliationChanged", 4: "superseded",
	5: "cessationOfOperation", 6: "certificateHold", 8: "removeFromCRL", 9: "privilegeWithdrawn", 10: "aACompromise"}

func (r *revocation) String() string {
	name := reasons[r.ReasonCode]
	if name == "" {
		name = fmt.Sprint("reason ", r.ReasonCode)
	}
	text := "revoked by the step-ca: " + name
	if r.Reason != "" {
		text += fmt.Sprintf(", %.500s", r.Reason)
	}
	return text
}

func (r *revocation) at() edm.DateTimeOffset { return edm.Time(r.RevokedAt.UTC()) }

// certificates reads what a database has of some serial numbers. Those without a
// certificate are left out.
func certificates(ctx context.Context, db Database, keys []string) ([]issued, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	ders, err := db.values(ctx, certsTable, keys)
	if err != nil {
		return nil, err
	}
	data, err := db.values(ctx, dataTable, keys)
	if err != nil {
		return nil, err
	}
	ended, err := revocations(ctx, db, keys)
	if err != nil {
		return nil, err
	}
	list := make([]issued, 0, len(keys))
	for _, key := range keys {
		if len(ders[key]) == 0 {
			continue
		}
		c := issued{key: key, der: ders[key], revoked: ended[key]}
		var d struct {
			Provisioner struct{ Name, Type string } `json:"provisioner"`
		}
		if json.Unmarshal(data[key], &d) == nil { // there is none of what old releases issued
			c.provisioner, c.kindOfIt = d.Provisioner.Name, d.Provisioner.Type
		}
		list = append(list, c)
	}
	return list, nil
}

// revocations reads those of some serial numbers.
func revocations(ctx context.Context, db Database, keys []string) (map[string]*revocation, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	values, err := db.values(ctx, revokedTable, keys)
	if err != nil {
		return nil, err
	}
	m := make(map[string]*revocation, len(values))
	for key, text := range values {
		var r revocation
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("the revocation of %s: %w", key, err)
		}
		m[key] = &r
	}
	return m, nil
}

// sighted is a certificate as the register takes it.
func (set *StepCA) sighted(name string, c *issued) store.Sighting {
	x := set.sighting(name, c.key, c.der)
	x.Via, x.Origin = store.Unannounced, c.origin()
	if set.notifies(c.kindOfIt) {
		x.Via = store.Recovered
	}
	x.Set |= c.revocation(&x.State)
	return x
}

var revocationSet = func() (set certstate.Set) {
	for _, name := range []string{"certificateRevokeStatus", "certificateRevokeStatusLastChangeDateTime"} {
		i, _ := certstate.Lookup(name)
		set |= 1 << i
	}
	return set
}()
