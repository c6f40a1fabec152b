package store

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"certstate"
	"certstate/edm"
	"certstate/odata"
)

// What people ask is answered by the index made for it: with few hits, which
// are looked up, and with many, which are walked past in the order asked for.
func TestQueriesUseIndexes(t *testing.T) {
	s, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "x.db"), Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const id = "11111111-2222-4333-8444-555555555555"
	if _, err := s.AddTenant(t.Context(), id, ""); err != nil {
		t.Fatal(err)
	}
	tn, err := s.Tenant(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	const page = "SEARCH state USING INDEX "
	used := map[string]bool{}
	for _, tc := range []struct {
		raw  string
		rare int // -1: everything is frequent
		want string
	}{
		{"", 0, page + "state_tenant (tenant=?)"},
		{"$orderby=certificateExpirationDateTime", 0, page + "state_not_after (tenant=?)"},
		{"$orderby=certificateExpirationDateTime desc", 0, page + "state_not_after (tenant=?)"},
		{"$orderby=userPrincipalName", 0, page + "state_upn (tenant=?)"},
		{"$orderby=certificateIssuerName desc", 0, page + "state_issuer (tenant=?)"},
		{"$orderby=managedDeviceDisplayName", 0, page + "state_device_name (tenant=?)"},
		{"$filter=certificateRevokeStatus eq 'pending' and certificateExpirationDateTime lt 2027-01-01T00:00:00Z&$orderby=certificateExpirationDateTime", 0,
			page + "state_revoke_status (tenant=? AND revoke_status=? AND not_after<?)"},
		{"$orderby=id desc", 0, page + "sqlite_autoindex_state_1 (part=?)"},
		{"$filter=certificateRevokeStatus ne 'none'&$orderby=userPrincipalName", 0, page + "state_upn (tenant=?)"},
		{"$filter=userPrincipalName eq 'x'&$orderby=certificateExpirationDateTime", -1, page + "state_not_after (tenant=?)"},

		{"$filter=certificateExpirationDateTime lt 2026-01-01T00:00:00Z", 1000, "state_not_after (tenant=? AND not_after<?)"},
		{"$filter=certificateExpirationDateTime lt now() add duration'P30D'&$orderby=userPrincipalName", 1000, "state_not_after (tenant=? AND not_after<?)"},
		{"$filter=certificateRevokeStatus in ('failed','revoked')", 1000, "state_revoke_status (tenant=? AND revoke_status=?)"},
		{"$filter=userPrincipalName eq 'x'&$orderby=certificateExpirationDateTime", 1000, "state_upn (tenant=? AND upn=?)"},
		{"$filter=startswith(userPrincipalName,'x')", 1000, "state_upn (tenant=? AND upn>? AND upn<?)"},
		{"$filter=certificateIssuerName eq 'x'", 1000, "state_issuer (tenant=? AND issuer=?)"},
		{"$filter=managedDeviceDisplayName eq 'x' and contains(certificateSubjectName,'y')", 1000, "state_device_name (tenant=? AND device_name=?)"},
		{"$filter=certificateThumbprint eq 'ab'", 1000, "state_thumbprint (tenant=? AND thumbprint_hex=?)"},
		{"$filter=certificateSha256Thumbprint in ('ab','cd')", 1000, "state_thumbprint_sha256 (tenant=? AND thumbprint_sha256_hex=?)"},
		{"$filter=certificateSerialNumber eq 'ab'", 1000, "state_serial (tenant=? AND serial_hex=?)"},
		{"$filter=certificateSerialNumber eq 'ab'", 1000, "state_serial_dec (tenant=? AND serial_dec=?)"},
		{"$filter=deviceId eq 'x'", 1000, "state_device_id (tenant=? AND device_id=?)"},
		{"$filter=certificateFindings has 'serialRadix'", 1000, "state_findings (tenant=?"},
		{"$filter=certificateFindings eq 'irregular'&$orderby=certificateFindings", 1000, "state_findings (tenant=? AND findings=?)"},
		{"$filter=id in ('x','y')", 1000, "sqlite_autoindex_state_1 (part=? AND id=?)"},
		{"$search=laptop", 1000, "SEARCH word USING PRIMARY KEY (part=? AND word>? AND word<?)"},
	} {
		q, err := odata.ParseQuery(strings.ReplaceAll(url.PathEscape(tc.raw), "+", "%2B"), odata.ListOptions)
		if err != nil {
			t.Fatal(err)
		}
		s.SetRare(tc.rare)
		sel, err := s.newSelection(t.Context(), tn, &q, q.Condition(), edm.DateTimeOffset{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		at := Position{}
		lines := plan(t, s.read, sel.statement(sel.segments(at)[0], certstate.Defaults, 100, 0))
		found := slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, tc.want) })
		if !found || tc.rare < 1000 && slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "ORDER BY") }) {
			t.Errorf("%s\nplan %q\nwant %q", tc.raw, lines, tc.want)
		}
		if tc.rare == 1000 && slices.ContainsFunc(lines, func(line string) bool {
			return strings.HasPrefix(line, page+"state_tenant") || strings.HasPrefix(line, "SCAN")
		}) {
			t.Errorf("%s\nlooks at all of the tenant's: %q", tc.raw, lines)
		}
		for name := range sqliteIndexes() {
			used[name] = used[name] || slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "INDEX "+name+" ") })
		}
	}
	for name, text := range map[string]string{"state_lineage": neighboursOf(s.partColumn()), "state_revisit": fmt.Sprintf(toVisit, s.partColumn())} { // the store's own
		lines := plan(t, s.read, text)
		used[name] = !slices.ContainsFunc(lines, func(line string) bool {
			return !strings.Contains(line, "INDEX "+name+" ") && !strings.HasPrefix(line, "SCAN CONSTANT") || strings.Contains(line, "B-TREE")
		})
	}
	for name := range sqliteIndexes() {
		if !used[name] && strings.HasPrefix(name, "state_") {
			t.Errorf("no query here uses the index %s", name)
		}
	}
}
