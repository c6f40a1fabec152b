package certstate

import (
	"math/bits"
	"strings"

	"certstate/edm"
)

// Property is a row of the table from which everything about a property is
// derived: JSON, the query options, SQL columns, metadata, console columns.
type Property struct {
	Name   string // on the wire
	Column string // in SQL, before the type's suffixes
	Doc    string // Graph's description where it has one
	Traits Trait
	Keys   []Key // what a literal equal to the value has in common with it; nil: its text
	Field  func(*State) edm.Value
}

// Trait is a set of yes-or-no facts about a property.
type Trait uint8

const (
	Nullable Trait = 1 << iota
	OnSelect       // not returned without $select
	Computed       // set by the register; ignored in a request body (OData Protocol §11.4.2)
	Searched       // $search looks for words in it
	Apart          // kept once for all records that have the same value; cannot be compared or sorted by
)

// Is reports whether the property has every trait of t.
func (p *Property) Is(t Trait) bool { return p.Traits&t == t }

// Properties is the record, property by property. A row's position is its bit
// in [Set] and in the stored bitmap of absent values, so rows are only ever
// added at the end, together with a field of [State] and a migration.
var Properties = [...]Property{
	{"id", "id", "Key of the entity.", 0, nil, func(s *State) edm.Value { return &s.ID }},
	{"certificateRevokeStatus", "revoke_status", "Revoke status.", 0, nil, func(s *State) edm.Value { return &s.RevokeStatus }},
	{"certificateRevokeStatusLastChangeDateTime", "revoke_status_changed", "The time the revoke status was last changed.", 0, nil, func(s *State) edm.Value { return &s.RevokeStatusChanged }},
	{"managedDeviceDisplayName", "device_name", "Device display name.", Nullable | Searched, nil, func(s *State) edm.Value { return &s.DeviceName }},
	{"userPrincipalName", "upn", "User principal name.", Nullable | Searched, nil, func(s *State) edm.Value { return &s.UserPrincipalName }},
	{"certificateExpirationDateTime", "not_after", "Certificate expiry date.", 0, nil, func(s *State) edm.Value { return &s.NotAfter }},
	{"certificateIssuerName", "issuer", "Issuer.", Nullable | Searched, nil, func(s *State) edm.Value { return &s.Issuer }},
	{"certificateThumbprint", "thumbprint", "Thumbprint.", Nullable, thumbprintKeys, func(s *State) edm.Value { return &s.Thumbprint }},
	{"certificateSerialNumber", "serial", "Serial number.", Nullable, serialKeys, func(s *State) edm.Value { return &s.Serial }},
	{"certificateSubjectName", "subject", "Certificate subject name.", Nullable | Searched, nil, func(s *State) edm.Value { return &s.Subject }},
	{"certificateKeyUsages", "key_usages", "Key usage.", Nullable, nil, func(s *State) edm.Value { return &s.KeyUsages }},
	{"certificateExtendedKeyUsages", "ext_key_usages", "Enhanced key usage.", Nullable, nil, func(s *State) edm.Value { return &s.ExtendedKeyUsages }},
	{"certificateIssuanceDateTime", "not_before", "Issuance date.", 0, nil, func(s *State) edm.Value { return &s.NotBefore }},

	{"deviceId", "device_id", "The managed device's id in its MDM.", Nullable | OnSelect, nil, func(s *State) edm.Value { return &s.DeviceID }},
	{"policyId", "policy_id", "The configuration profile that asked for the certificate.", Nullable | OnSelect, nil, func(s *State) edm.Value { return &s.PolicyID }},
	{"userId", "user_id", "The user's directory id.", Nullable | OnSelect, nil, func(s *State) edm.Value { return &s.UserID }},
	{"certificateSha256Thumbprint", "thumbprint_sha256", "SHA-256 over the certificate's DER encoding, in hexadecimal.", Nullable | OnSelect, thumbprintKeys, func(s *State) edm.Value { return &s.ThumbprintSHA256 }},
	{"source", "source", "Where the record came from.", Nullable | OnSelect, nil, func(s *State) edm.Value { return &s.Source }},
	{"createdDateTime", "created", "When the register first held the record.", OnSelect | Computed, nil, func(s *State) edm.Value { return &s.Created }},
	{"lastModifiedDateTime", "modified", "When the record last changed.", OnSelect | Computed, nil, func(s *State) edm.Value { return &s.Modified }},

	{"certificate", "certificate", "The certificate itself, in DER. What the record does not state is taken from it.", Nullable | OnSelect | Apart, nil, func(s *State) edm.Value { return &s.Certificate }},
	{"certificateSubjectAlternativeNames", "san", "The certificate's subject alternative names.", Nullable | OnSelect | Computed | Searched, nil, func(s *State) edm.Value { return &s.SubjectAltNames }},
	{"certificateAuthorityKeyIdentifier", "aki", "The certificate's authority key identifier, in hexadecimal.", Nullable | OnSelect | Computed, nil, func(s *State) edm.Value { return &s.AuthorityKeyID }},
	{"certificateSubjectKeyIdentifier", "ski", "The certificate's subject key identifier, in hexadecimal.", Nullable | OnSelect | Computed, nil, func(s *State) edm.Value { return &s.SubjectKeyID }},
	{"certificateKeyType", "key_type", "The kind of the certificate's key.", Nullable | OnSelect | Computed, nil, func(s *State) edm.Value { return &s.KeyType }},
	{"certificateKeySize", "key_size", "The size of the certificate's key, in bits.", Nullable | OnSelect | Computed, nil, func(s *State) edm.Value { return &s.KeySize }},
	{"certificateSignatureAlgorithm", "signature_algorithm", "The algorithm that the certificate is signed with.", Nullable | OnSelect | Computed, nil, func(s *State) edm.Value { return &s.SignatureAlgorithm }},
	{"certificateRevocationListLocations", "crl_locations", "Where the certificate says its CRL is; a space between locations.", Nullable | OnSelect | Computed, nil, func(s *State) edm.Value { return &s.CRLLocations }},
	{"certificateOcspLocations", "ocsp_locations", "Where the certificate says its OCSP responder is; a space between locations.", Nullable | OnSelect | Computed, nil, func(s *State) edm.Value { return &s.OCSPLocations }},
	{"certificateIssuerLocations", "issuer_locations", "Where the certificate says its issuer's certificate is; a space between locations.", Nullable | OnSelect | Computed, nil, func(s *State) edm.Value { return &s.IssuerLocations }},
	{"certificateFindings", "findings", "What is wrong with the certificate, or with what the record states of it.", OnSelect | Computed, nil, func(s *State) edm.Value { return &s.Findings }},
	{"supersedes", "supersedes", "The id of the record whose certificate this one's renews.", Nullable | OnSelect | Computed, nil, func(s *State) edm.Value { return &s.Supersedes }},
	{"supersededBy", "superseded_by", "The id of the record whose certificate renews this one's.", Nullable | OnSelect | Computed, nil, func(s *State) edm.Value { return &s.SupersededBy }},
}

// Set is a set of properties: bit i stands for Properties[i].
type Set uint64

// Sets every caller needs.
var (
	All      = Set(1)<<len(Properties) - 1
	Defaults = where(func(p *Property) bool { return !p.Is(OnSelect) })
	InRow    = where(func(p *Property) bool { return !p.Is(Apart) }) // what a record's own row holds
)

// KeySet is the set of the key alone; the key is the first row.
const KeySet Set = 1

// Has reports whether Properties[i] is in the set.
func (s Set) Has(i int) bool { return s>>i&1 != 0 }

// Len is the number of properties in the set.
func (s Set) Len() int { return bits.OnesCount64(uint64(s)) }

func where(keep func(*Property) bool) (s Set) {
	for i := range Properties {
		if keep(&Properties[i]) {
			s |= 1 << i
		}
	}
	return s
}

var byName = func() map[string]int {
	m := make(map[string]int, len(Properties))
	for i := range Properties {
		m[Properties[i].Name] = i
	}
	return m
}()

// Lookup finds a property by its exact name.
func Lookup(name string) (int, bool) {
	i, ok := byName[name]
	return i, ok
}

// Suggest is the property whose name is most like name, or "": the same in
// another case, or with the name at its end, or with few letters different.
func Suggest(name string) string {
	best, least := "", len(name)/4+1
	lower := strings.ToLower(name)
	for i := range Properties {
		have := strings.ToLower(Properties[i].Name)
		d := editDistance(lower, have)
		if len(lower) > 3 && strings.HasSuffix(have, lower) {
			d = 0
		}
		if d < least {
			best, least = Properties[i].Name, d
		}
	}
	return best
}

// editDistance counts the letters to insert, remove or replace (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal, row[j+1] = row[j+1], min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Assign copies the properties of set from src to dst and reports whether any
// of them was different.
func Assign(dst, src *State, set Set) (changed bool) {
	for i := range Properties {
		if set.Has(i) && Properties[i].Field(dst).Assign(Properties[i].Field(src)) {
			changed = true
		}
	}
	return changed
}
