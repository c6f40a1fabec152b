package store

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"certstate"
	"certstate/certificate"
)

// A certificate on a device is one record however it is known: by itself, by a
// thumbprint, or by issuer and serial number. Many records are brought in by one
// transaction, of which few are known: so it asks once for many of them whether
// anything is, and only for those that may be, what.

// noKey takes the place of a key that a record does not have. An index is never
// asked for the empty text, which many records have.
const noKey = "\x01"

// keys are what a record's certificate may be known by, noKey where it has none.
type keys struct {
	thumbprints [2]string // SHA-1, SHA-256
	serials     [2]string // read as hexadecimal, as decimal
}

func (k *keys) all() [4]string {
	return [4]string{k.thumbprints[0], k.thumbprints[1], k.serials[0], k.serials[1]}
}

var (
	thumbprintNo, _ = certstate.Lookup("certificateThumbprint")
	serialNo, _     = certstate.Lookup("certificateSerialNumber")
)

func keysOf(s *certstate.State) keys {
	k := keys{[2]string{noKey, noKey}, [2]string{noKey, noKey}}
	of := func(property int, text string, to []string) {
		if text != "" {
			copy(to, certstate.Properties[property].KeysOf(text))
		}
	}
	of(thumbprintNo, s.Thumbprint.S, k.thumbprints[:1])
	of(thumbprintNo, s.ThumbprintSHA256.S, k.thumbprints[1:])
	of(serialNo, s.Serial.S, k.serials[:])
	return k
}

// sameCertificate reports whether two records are of one certificate. Thumbprints
// decide, where both have one of a kind.
func sameCertificate(a, b *certstate.State) bool {
	x, y := keysOf(a), keysOf(b)
	for _, k := range x.thumbprints {
		if k != noKey && slices.Contains(y.thumbprints[:], k) {
			return true
		}
	}
	for i, k := range x.thumbprints {
		if k != noKey && y.thumbprints[i] != noKey && len(k) == len(y.thumbprints[i]) {
			return false
		}
	}
	return a.Issuer.S != "" && b.Issuer.S != "" && sameSerial(a, b, x.serials, y.serials) && certificate.SameName(a.Issuer.S, b.Issuer.S)
}

// sameSerial compares serial numbers in hexadecimal. Where one is a certificate's
// own, the other may be in decimal.
func sameSerial(a, b *certstate.State, x, y [2]string) bool {
	switch {
	case x[0] == noKey || y[0] == noKey:
		return false
	case x[0] == y[0]:
		return true
	case a.Certificate.Valid:
		return x[0] == y[1]
	case b.Certificate.Valid:
		return x[1] == y[0]
	}
	return false
}

// recognize finds the record of a certificate on a device: one that has the
// certificate, before one that only tells of it. It returns nil if there is none.
func (tx *tx) recognize(t Tenant, s *certstate.State) (found *certstate.State, err error) {
	k := keysOf(s)
	rows, err := tx.rows(recognition(tx.w.store.partColumn()), t.no, t.part(), s.DeviceName.S, s.DeviceID.S,
		k.thumbprints[0], k.thumbprints[1], k.serials[0], k.serials[1], maxHolders)
	if err != nil {
		return nil, fmt.Errorf("look for a certificate's record: %w", err)
	}
	defer rows.Close()
	sc := newScanner(certstate.InRow)
	first := int64(0) // key of found; a sorted statement would take SQLite three times as long
	for rows.Next() {
		if err := sc.scan(rows); err != nil {
			return nil, err
		}
		r := &sc.state
		if !isRecordOf(r, s) {
			continue
		}
		if better := found == nil || r.Certificate.Valid && !found.Certificate.Valid || r.Certificate.Valid == found.Certificate.Valid && sc.k < first; better {
			it := *r
			found, first = &it, sc.k
		}
	}
	return found, rows.Err()
}

// isRecordOf reports whether r is the record for what s says.
func isRecordOf(r, s *certstate.State) bool {
	if !sameDevice(r, s) {
		return false
	}
	if r.Certificate.Valid && s.Certificate.Valid {
		return r.ThumbprintSHA256 == s.ThumbprintSHA256
	}
	return (s.DeviceID.S != "" || s.DeviceName.S != "") && sameCertificate(r, s)
}

// recognition reads the records of a device by any key of a certificate's. Where
// two records of one device have no id in common they have its name.
var recognition = perPart(func(part string) string {
	var arms []string
	for _, by := range []string{"thumbprint_hex IN ($5, $6)", "thumbprint_sha256_hex IN ($5, $6) AND thumbprint_sha256_hex <> ''", "serial_hex IN ($7, $8)", "serial_dec = $7 AND serial_dec <> ''"} {
		arms = append(arms, "SELECT k FROM state WHERE tenant = $1 AND "+part+" = $2 AND "+by)
	}
	text := selectState(certstate.InRow, part+" = $2 AND (device_name = $3 OR device_id = $4 AND device_id <> '') AND k IN ("+strings.Join(arms, " UNION ALL ")+") LIMIT $9")
	return strings.Replace(text, "WHERE tenant =", "WHERE +tenant =", 1) // by k, whatever indexes there are
})

// perPart makes a text once for each form of the part's column.
func perPart(text func(part string) string) func(part string) string {
	var made sync.Map // part → text
	return func(part string) string {
		if t, ok := made.Load(part); ok {
			return t.(string)
		}
		t := text(part)
		made.Store(part, t)
		return t
	}
}

// known tells of many records whether their certificates may be known.
type known struct {
	tx     *tx
	fresh  *fresh              // of a load into an empty register; else nil
	keys   map[string]struct{} // of the records that are there, and of those brought since
	anyway bool                // nobody can say
}

// mayKnow prepares to tell it of the entries.
func (tx *tx) mayKnow(t Tenant, h *head, list []Entry) (*known, error) {
	n := &known{tx: tx, fresh: tx.w.store.fresh.Load(), keys: map[string]struct{}{}}
	if n.fresh != nil && !n.fresh.ended && n.fresh.alone(h) {
		return n, nil
	}
	if n.fresh != nil { // again, if the transaction that did it was undone
		if err := n.endLoad(); err != nil {
			return nil, err
		}
		n.anyway = false // all that is there is asked for now
	}
	var thumbprints, serials []string
	for i := range list {
		if e := &list[i]; e.asks() {
			k := &e.keys
			thumbprints, serials = append(thumbprints, k.thumbprints[:]...), append(serials, k.serials[:]...)
		}
	}
	part := tx.w.store.partColumn()
	err := n.ask(t, probeThumbprints(part), thumbprints)
	if err == nil {
		err = n.ask(t, probeSerials(part), serials)
	}
	return n, err
}

// asks reports whether it matters if a certificate is known.
func (e *Entry) asks() bool { return e.fault == nil && (e.byName() || e.State.Certificate.Valid) }

// byName reports whether an entry is known by its certificate and its device, not
// by its id.
func (e *Entry) byName() bool { return e.Way == Report || e.Way == Merge && !e.Set.Has(0) }

// probeKeys is how many keys a statement asks for.
const probeKeys = 64

// The probes ask which of the keys $3 and following there are.
var (
	probeThumbprints = perPart(func(part string) string {
		return probe(part, "thumbprint_hex = v", "thumbprint_sha256_hex = v AND thumbprint_sha256_hex <> ''")
	})
	probeSerials = perPart(func(part string) string {
		return probe(part, "serial_hex = v", "serial_dec = v AND serial_dec <> ''")
	})
)

// probe asks an index for each key: with the OFFSET PostgreSQL cannot read all of the
// tenant's keys for it instead, which is as good for a small register, and goes on
// when it has grown.
func probe(part string, conditions ...string) string {
	for i, c := range conditions {
		conditions[i] = "EXISTS (SELECT 1 FROM state WHERE tenant = $1 AND " + part + " = $2 AND " + c + " LIMIT 1 OFFSET 0)"
	}
	return "WITH asked (v) AS (VALUES (" + strings.ReplaceAll(placeholders(3, probeKeys), ", ", "), (") + ")) SELECT v FROM asked WHERE " + strings.Join(conditions, " OR ")
}

func (n *known) ask(t Tenant, text string, list []string) error {
	slices.Sort(list)
	list = slices.DeleteFunc(slices.Compact(list), func(k string) bool { return k == noKey })
	for some := range slices.Chunk(list, probeKeys) {
		args := append(make([]any, 0, 2+probeKeys), t.no, t.part())
		for i := range probeKeys {
			args = append(args, some[min(i, len(some)-1)])
		}
		if err := n.answers(text, args); err != nil {
			return fmt.Errorf("ask which certificates are known: %w", err)
		}
	}
	return nil
}

func (n *known) answers(text string, args []any) error {
	rows, err := n.tx.rows(text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return err
		}
		n.keys[key] = struct{}{}
	}
	return rows.Err()
}

// may reports whether there may be a record of the entry's certificate.
func (n *known) may(e *Entry) (bool, error) {
	switch {
	case !e.asks():
		return false, nil
	case n.anyway:
		return true, nil
	case n.fresh != nil:
		if !n.fresh.has(&e.keys, &e.State) {
			return false, nil
		}
		return true, n.endLoad()
	}
	for _, key := range e.keys.all() {
		if _, ok := n.keys[key]; ok {
			return true, nil
		}
	}
	return false, nil
}

// brought notes that an entry is there now.
func (n *known) brought(e *Entry) {
	if n.fresh != nil { // insert has told it
		return
	}
	for _, key := range e.keys.all() {
		if key != noKey {
			n.keys[key] = struct{}{}
		}
	}
}

// endLoad makes the indexes that tell what is known: from now on it is asked for.
func (n *known) endLoad() error {
	n.fresh.ended, n.anyway, n.fresh = true, true, nil
	for name, text := range n.tx.w.store.d.indexes() {
		if !slices.Contains(recognizedBy, name) {
			continue
		}
		if err := n.tx.w.simple(n.tx.ctx, strings.Replace(text, "CREATE INDEX ", "CREATE INDEX IF NOT EXISTS ", 1)); err != nil {
			return fmt.Errorf("make the index %s: %w", name, err)
		}
	}
	return nil
}

// recognizedBy are the indexes by which a certificate is found.
var recognizedBy = []string{"state_thumbprint", "state_thumbprint_sha256", "state_serial", "state_serial_dec"}
