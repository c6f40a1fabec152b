package certstate

import "certstate/edm"

// RevokeStatus is how far a certificate's revocation has got
// (microsoft.graph.certificateRevocationStatus).
type RevokeStatus int64

const (
	None    RevokeStatus = iota // not revoked
	Pending                     // revocation pending
	Issued                      // revocation command issued
	Failed                      // revocation failed
	Revoked                     // revoked
)

// RevokeStatusType names the enumeration's members as Graph does.
var RevokeStatusType = &edm.EnumType{
	Name:    "microsoft.graph.certificateRevocationStatus",
	Members: []string{"none", "pending", "issued", "failed", "revoked"},
}

func (v RevokeStatus) String() string              { return RevokeStatusType.Members[v] }
func (v *RevokeStatus) Text() string               { return v.String() }
func (v *RevokeStatus) TypeName() string           { return RevokeStatusType.Name }
func (v *RevokeStatus) ControlType() string        { return "#" + RevokeStatusType.Name }
func (v *RevokeStatus) IsNull() bool               { return false }
func (v *RevokeStatus) SetNull()                   { *v = None }
func (v *RevokeStatus) Assign(from edm.Value) bool { return edm.Replace(v, from) }
func (v *RevokeStatus) Suffixes() []string         { return []string{""} }
func (v *RevokeStatus) Scanned(bool)               {}

func (v *RevokeStatus) AppendJSON(b []byte) []byte { return edm.AppendJSONString(b, v.String()) }

func (v *RevokeStatus) SetJSON(s edm.Scalar) error {
	n, err := RevokeStatusType.ParseJSON(s)
	if err == nil {
		*v = RevokeStatus(n)
	}
	return err
}

func (v *RevokeStatus) AppendSQL(args []any) []any { return append(args, int64(*v)) }
func (v *RevokeStatus) AppendScan(ts []any) []any  { return append(ts, edm.Int64Column((*int64)(v))) }
