package clients

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-azure-sdk/microsoft-graph/common-types/beta"
	"github.com/hashicorp/go-azure-sdk/sdk/odata"
)

// terraList is one list, all its pages.
func terraList(t *testing.T, client *terraClient, o pagesOptions) ([]terraState, *odata.OData) {
	t.Helper()
	list, err := client.ListDeviceConfigurationsAllManagedDeviceCertificateStates(soon(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return *list.Model, list.OData
}

// The SDK writes the options' names as %24filter, a space as +, and a search in
// quotes; of each nextLink it makes another spelling.
func TestHashicorpQueries(t *testing.T) {
	client := terra(t, reader)
	records, _ := terraList(t, client, pagesOptions{Filter: pointer(fleet), OrderBy: &odata.OrderBy{Field: "certificateExpirationDateTime"}})
	if len(records) < 250 {
		t.Fatalf("the demo has %d records, want at least 250", len(records))
	}
	name := func(s terraState) string { return s.ManagedDeviceDisplayName.GetOrZero() }
	middle := text(records[len(records)/2].CertificateExpirationDateTime)

	for _, c := range []struct {
		name           string
		filter, search string
		match          func(terraState) bool
	}{
		{name: "quotes, pluses and ampersands",
			filter: fleet + " and certificateIssuerName ne 'O''Neil + Sons & Co' and contains(managedDeviceDisplayName,'LAPTOP')",
			match:  func(s terraState) bool { return strings.HasPrefix(name(s), "LAPTOP") }},
		{name: "a date",
			filter: fleet + " and certificateExpirationDateTime le " + middle,
			match:  func(s terraState) bool { return text(s.CertificateExpirationDateTime) <= middle }},
		{name: "a phrase", search: "Fleet Device CA (RSA)",
			match: func(s terraState) bool {
				return strings.Contains(s.CertificateIssuerName.GetOrZero(), "Fleet Device CA (RSA)")
			}},
		{name: "a search and a filter", search: "fleet", filter: "certificateRevokeStatus eq 'revoked' and certificateKeyUsages ge 128",
			match: func(s terraState) bool {
				return *s.CertificateRevokeStatus == beta.CertificateRevocationStatus_Revoked && s.CertificateKeyUsages.GetOrZero() >= 128
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := map[string]bool{}
			for _, s := range records {
				if c.match(s) {
					want[text(s.Id)] = true
				}
			}
			if len(want) == 0 || len(want) == len(records) {
				t.Fatalf("%d of %d records match", len(want), len(records))
			}
			o := pagesOptions{
				Count: pointer(true), OrderBy: &odata.OrderBy{Field: "managedDeviceDisplayName", Direction: odata.Descending},
				Select: &[]string{"id", "managedDeviceDisplayName"}, Top: pointer(int64(7)),
			}
			if c.filter != "" {
				o.Filter = &c.filter
			}
			if c.search != "" {
				o.Search = &c.search
			}
			got, data := terraList(t, client, o)
			if data.Count == nil || *data.Count != len(want) || len(got) != len(want) {
				t.Errorf("count is %s and %d records came, want %d", text(data.Count), len(got), len(want))
			}
			for _, s := range got {
				if !want[text(s.Id)] || s.CertificateThumbprint.GetOrZero() != "" {
					t.Fatalf("record is %v, want id and managedDeviceDisplayName of one that matches", terraValues(&s))
				}
			}
			if !slices.IsSortedFunc(got, func(a, b terraState) int { return strings.Compare(name(b), name(a)) }) {
				t.Error("the records are not sorted by managedDeviceDisplayName downwards")
			}
		})
	}
}

func TestHashicorpSkip(t *testing.T) {
	client := terra(t, reader)
	o := pagesOptions{Filter: pointer(fleet), OrderBy: &odata.OrderBy{Field: "certificateSerialNumber"}, Top: pointer(int64(100))}
	all, _ := terraList(t, client, o)
	o.Skip = pointer(int64(120))
	rest, _ := terraList(t, client, o)
	if len(rest) != len(all)-120 || text(rest[0].Id) != text(all[120].Id) {
		t.Errorf("after 120 of %d records come %d", len(all), len(rest))
	}
}

// What the SDK's query type writes is what the server reads back.
func TestHashicorpQueryType(t *testing.T) {
	query := odata.Query{
		Metadata: odata.MetadataFull, Count: true, Filter: fleet + " and userPrincipalName ne '" + odata.EscapeSingleQuote("o'neil@x.com") + "'",
		OrderBy: odata.OrderBy{Field: "id", Direction: odata.Descending}, Search: "fleet", Select: []string{"id", "source"}, Skip: 1, Top: 2,
	}
	resp, body := plain(t, origin+collection+"?"+query.Values().Encode(), query.Headers())
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json;odata.metadata=full") {
		t.Fatalf("%s, %s: %s", resp.Status, resp.Header.Get("Content-Type"), body)
	}
	parsed, err := odata.FromResponse(resp)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Count == nil || *parsed.Count < 250 || parsed.NextLink == nil {
		t.Fatalf("count is %s and the nextLink %v", text(parsed.Count), parsed.NextLink)
	}
	next, err := url.Parse(string(*parsed.NextLink))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range query.Values() {
		if got := next.Query()[name]; name != "$skip" && !slices.Equal(got, want) {
			t.Errorf("the nextLink has %s=%q, want %q", name, got, want)
		}
	}
}

func TestHashicorpDeleteIfMatch(t *testing.T) {
	client := terra(t, writer)
	terraCreate(t, client, "terra-match")
	for _, c := range []struct {
		match  string
		status int
	}{{`W/"0"`, 412}, {"*", 204}} {
		r, err := client.DeleteDeviceConfigurationsAllManagedDeviceCertificateState(soon(t), terraID("terra-match"), deleteOptions{IfMatch: &c.match})
		if r.HttpResponse == nil || r.HttpResponse.StatusCode != c.status {
			t.Errorf("If-Match: %s: error is %v, want status %d", c.match, err, c.status)
		}
	}
}

func TestHashicorpFilterErrors(t *testing.T) {
	client := terra(t, reader)
	for filter, names := range map[string]string{
		"deviceName eq 'x'":                             "'deviceName'",
		"certificateExpirationDateTime lt '2026-01-01'": "'Edm.DateTimeOffset'",
		"certificateRevokeStatus eq 'gone'":             "gone",
	} {
		r, err := client.ListDeviceConfigurationsAllManagedDeviceCertificateStates(soon(t), pagesOptions{Filter: &filter})
		terraError(t, r.HttpResponse, r.OData, err, 400, "BadRequest")
		if err != nil && !strings.Contains(err.Error(), names) {
			t.Errorf("%s: error is %v, want it to name %s", filter, err, names)
		}
	}
}
