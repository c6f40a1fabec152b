package ingest

import (
	"testing"

	"certstate"
)

// TestColumns has every column's property be one, and every value that the
// register writes into a report be read back as it was.
func TestColumns(t *testing.T) {
	for i := range Columns {
		c := &Columns[i]
		n, ok := certstate.Lookup(c.Property)
		if c.Property == "" {
			continue
		}
		if !ok {
			t.Errorf("%s: there is no property %s", c.Name, c.Property)
			continue
		}
		for status := certstate.None; status <= certstate.Revoked; status++ {
			want := certstate.State{RevokeStatus: status}
			if err := set(&want, n, nil, map[bool]string{true: status.String()}[n == 1]); err != nil {
				t.Fatal(err)
			}
			var got certstate.State
			if err := set(&got, n, c, c.Value(&want)); err != nil {
				t.Errorf("%s: %v", c.Name, err)
			} else if n == 1 && got.RevokeStatus != status {
				t.Errorf("%s: %v became %v", c.Name, status, got.RevokeStatus)
			}
		}
	}
}

func TestCells(t *testing.T) {
	for _, c := range []struct{ column, text, want string }{
		{"ValidTo", "2026-03-01 12:34:56.1234567", "2026-03-01T12:34:56.1234567Z"},
		{"ValidTo", "2026-03-01T12:34:56+02:00", "2026-03-01T12:34:56+02:00"},
		{"ValidTo", "2026-03-01T12:34:56", "2026-03-01T12:34:56Z"},
		{"ValidTo", "2026-03-01", "2026-03-01T00:00:00Z"},
		{"ValidTo", "3/1/2026 2:04:05 PM", "2026-03-01T14:04:05Z"},
		{"ValidTo", "", "0001-01-01T00:00:00Z"},
		{"ValidTo", "01/03/2026", `"01/03/2026" is no time: write 2026-12-31T23:59:59Z, or 2026-12-31 23:59:59 in UTC`},
		{"KeyUsage", "160", "160"},
		{"KeyUsage", "DigitalSignature, KeyEncipherment", "160"},
		{"KeyUsage", "Digital Signature, Key Encipherment (a0)", "160"},
		{"KeyUsage", "Certificate Signing, Off-line CRL Signing, CRL Signing (06)", "6"},
		{"KeyUsage", "Signing", `"Signing" is no key usage: write their number, such as 160, or names such as DigitalSignature, KeyEncipherment`},
		{"CertificateStatus", "revoked", "revoked"},
		{"CertificateStatus", "Issued", "none"},
		{"CertificateStatus", "Lost", `"Lost" is no known status of a certificate: leave the column out with --column CertificateStatus=, or write one of Active, EnrollmentSucceeded, Expired, Installed, Issued, None, RenewVerified, RenewalRequested, RevocationFailed, RevocationIssued, RevocationPending, Revoked, Valid`},
		{"SerialNumber", "00ab", "00ab"},
	} {
		var s certstate.State
		var got string
		for i := range Columns {
			if Columns[i].Name != c.column {
				continue
			}
			n, _ := certstate.Lookup(Columns[i].Property)
			if err := set(&s, n, &Columns[i], c.text); err != nil {
				got = err.Error()
			} else {
				got = certstate.Properties[n].Field(&s).Text()
			}
		}
		if got != c.want {
			t.Errorf("%s %q: %s, want %s", c.column, c.text, got, c.want)
		}
	}
}
