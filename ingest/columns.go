package ingest

import (
	"fmt"
	"slices"
	"strings"

	"certstate"
	"certstate/edm"
)

// Column is a column of Intune's reports AllDeviceCertificates and
// CertificatesByRAPolicy, and what it is here.
type Column struct {
	Name     string // in the report's header
	Property string // "": there is none
}

// Columns are the columns of both reports, in the order of the second
// (Microsoft Learn, "Intune reports and properties available using Graph API").
// The first has no CaConfiguration.
var Columns = []Column{
	{"CaConfiguration", ""},
	{"CertificateStatus", "certificateRevokeStatus"},
	{"DeviceId", "deviceId"},
	{"DeviceName", "managedDeviceDisplayName"},
	{"EnhancedKeyUsage", "certificateExtendedKeyUsages"},
	{"IssuerName", "certificateIssuerName"},
	{"KeyUsage", "certificateKeyUsages"},
	{"PolicyId", "policyId"},
	{"SerialNumber", "certificateSerialNumber"},
	{"SubjectName", "certificateSubjectName"},
	{"Thumbprint", "certificateThumbprint"},
	{"UPN", "userPrincipalName"},
	{"UserId", "userId"},
	{"ValidFrom", "certificateIssuanceDateTime"},
	{"ValidTo", "certificateExpirationDateTime"},
}

// certificateStatuses are what CertificateStatus may say, and how far revocation
// has got then. Microsoft publishes no list of its values: these are the states
// that Graph gives a certificate elsewhere (certificateIssuanceStates,
// cloudCertificationAuthorityLeafCertificateStatus) as far as they tell that there
// is a certificate, or that it is revoked. The first of each is what the register
// itself writes; what says nothing of revocation becomes none.
var certificateStatuses = []struct {
	Text string
	Is   certstate.RevokeStatus
}{
	{"Issued", certstate.None},
	{"Active", certstate.None},
	{"Valid", certstate.None},
	{"Installed", certstate.None},
	{"EnrollmentSucceeded", certstate.None},
	{"RenewVerified", certstate.None},
	{"RenewalRequested", certstate.None},
	{"Expired", certstate.None},
	{"None", certstate.None},
	{"RevocationPending", certstate.Pending},
	{"RevocationIssued", certstate.Issued},
	{"RevocationFailed", certstate.Failed},
	{"Revoked", certstate.Revoked},
}

// Value is what the report's column says of a record; "" where it has no such
// column.
func (c *Column) Value(s *certstate.State) string {
	i, ok := certstate.Lookup(c.Property)
	if !ok {
		return ""
	}
	if c.Name == statusColumn {
		for _, status := range certificateStatuses {
			if status.Is == s.RevokeStatus {
				return status.Text
			}
		}
	}
	return certstate.Properties[i].Field(s).Text()
}

const statusColumn = "CertificateStatus"

// set takes a property from the text of a cell. report is the report's column it
// comes from, or nil.
func set(s *certstate.State, property int, report *Column, text string) error {
	p := &certstate.Properties[property]
	v := p.Field(s)
	if text == "" {
		v.SetNull()
		return nil
	}
	if report != nil && report.Name == statusColumn {
		return setStatus(&s.RevokeStatus, text)
	}
	scalar := edm.Scalar{Kind: '"', Text: text}
	var err error
	switch v := v.(type) {
	case *edm.DateTimeOffset:
		if *v, err = parseTime(text); err != nil {
			return err
		}
		return nil
	case *edm.Int32:
		scalar.Kind = '0'
		if p.Name == "certificateKeyUsages" {
			scalar.Text, err = keyUsages(text)
		} else if !isNumber(text) {
			err = &Fault{Reason: fmt.Sprintf("%q is no number", text), Cure: "write digits only"}
		}
	}
	if err == nil {
		err = v.SetJSON(scalar)
	}
	return err
}

func setStatus(to *certstate.RevokeStatus, text string) error {
	name := letters(text)
	for _, status := range certificateStatuses {
		if strings.EqualFold(status.Text, name) {
			*to = status.Is
			return nil
		}
	}
	return &Fault{
		Reason: fmt.Sprintf("%q is no known status of a certificate", text),
		Cure:   "leave the column out with --column " + statusColumn + "=, or write one of " + strings.Join(statusTexts(), ", "),
	}
}

func statusTexts() (list []string) {
	for _, status := range certificateStatuses {
		list = append(list, status.Text)
	}
	slices.Sort(list)
	return list
}

// letters are a text's letters, so that "Key Cert Sign" is keyCertSign.
func letters(text string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' || r == '_' {
			return -1
		}
		return r
	}, text)
}
