package clients

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	abstractions "github.com/microsoft/kiota-abstractions-go"
	msgraph "github.com/microsoftgraph/msgraph-beta-sdk-go"
	"github.com/microsoftgraph/msgraph-beta-sdk-go/devicemanagement"
	"github.com/microsoftgraph/msgraph-beta-sdk-go/models"
	"github.com/microsoftgraph/msgraph-beta-sdk-go/models/odataerrors"
	core "github.com/microsoftgraph/msgraph-sdk-go-core"
)

type (
	countConfig  = devicemanagement.DeviceConfigurationsAllManagedDeviceCertificateStatesCountRequestBuilderGetRequestConfiguration
	countOptions = devicemanagement.DeviceConfigurationsAllManagedDeviceCertificateStatesCountRequestBuilderGetQueryParameters
	postConfig   = devicemanagement.DeviceConfigurationsAllManagedDeviceCertificateStatesRequestBuilderPostRequestConfiguration
)

// fleet is a filter for the demo's own records, which no test changes.
const fleet = "endswith(userPrincipalName,'@fleet.example')"

// everything is what answers are compared with: the demo's records, unsorted.
func everything(t *testing.T, all *stateBuilder) []state {
	t.Helper()
	list, err := all.Get(t.Context(), options(listOptions{Filter: pointer(fleet)}))
	if err != nil {
		t.Fatal(err)
	}
	if len(list.GetValue()) < 250 {
		t.Fatalf("the demo has %d records, want at least 250", len(list.GetValue()))
	}
	return list.GetValue()
}

// matching are the records that match, sorted by less, and then by id.
func matching(records []state, match func(state) bool, less func(a, b state) int) []state {
	found := slices.DeleteFunc(slices.Clone(records), func(s state) bool { return !match(s) })
	slices.SortFunc(found, func(a, b state) int {
		return cmp.Or(less(a, b), strings.Compare(*a.GetId(), *b.GetId()))
	})
	return found
}

func byID(state, state) int { return 0 }

func byExpiry(a, b state) int {
	return a.GetCertificateExpirationDateTime().Compare(*b.GetCertificateExpirationDateTime())
}

// sameRecords compares ids and their order.
func sameRecords(t *testing.T, got, want []state) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records came, want %d", len(got), len(want))
	}
	for i := range got {
		if text(got[i].GetId()) != text(want[i].GetId()) {
			t.Fatalf("record %d is %v, want %v", i, values(got[i]), values(want[i]))
		}
	}
}

// allPages follows the nextLinks of a first page.
func allPages(t *testing.T, client *msgraph.GraphServiceClient, first any) (records []state) {
	t.Helper()
	pages, err := core.NewPageIterator[state](first, client.GetAdapter(), models.CreateManagedAllDeviceCertificateStateCollectionResponseFromDiscriminatorValue)
	if err != nil {
		t.Fatal(err)
	}
	err = pages.Iterate(t.Context(), func(s state) bool {
		records = append(records, s)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func TestGraphSDKFilters(t *testing.T) {
	all := states(graphAs(t, reader))
	records := everything(t, all)
	middle := *matching(records, func(state) bool { return true }, byExpiry)[len(records)/2].GetCertificateExpirationDateTime()
	east := middle.In(time.FixedZone("", 2*60*60)).Format(time.RFC3339)

	for _, c := range []struct {
		name, filter, search string
		match                func(state) bool
	}{
		{name: "a date, its + not encoded", filter: fleet + " and certificateExpirationDateTime le " + east,
			match: func(s state) bool { return !s.GetCertificateExpirationDateTime().After(middle) }},
		{name: "texts with quotes and ampersands", filter: fleet + " and userPrincipalName ne 'o''neil & sons@x.com' and not startswith(userPrincipalName,'mei')",
			match: func(s state) bool { return !strings.HasPrefix(*s.GetUserPrincipalName(), "mei") }},
		{name: "a serial number with colons", filter: "certificateSerialNumber eq '" + colons(strings.ToLower(*records[0].GetCertificateSerialNumber())) + "'",
			match: func(s state) bool { return *s.GetId() == *records[0].GetId() }},
		{name: "a list", filter: fleet + " and certificateRevokeStatus in ('pending','revoked')",
			match: func(s state) bool {
				return slices.Contains([]string{"pending", "revoked"}, text(s.GetCertificateRevokeStatus()))
			}},
		{name: "a search", search: `"fleet vpn ca" AND NOT mei.tanaka`,
			match: func(s state) bool {
				return strings.Contains(*s.GetCertificateIssuerName(), "Fleet VPN CA") && !strings.HasPrefix(*s.GetUserPrincipalName(), "mei")
			}},
		{name: "a search and a filter", search: "laptop", filter: "certificateKeyUsages eq 160 and certificateRevokeStatus ne 'none'",
			match: func(s state) bool {
				return strings.HasPrefix(*s.GetManagedDeviceDisplayName(), "LAPTOP") && *s.GetCertificateKeyUsages() == 160 &&
					*s.GetCertificateRevokeStatus() != models.NONE_CERTIFICATEREVOCATIONSTATUS
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := matching(records, c.match, byID)
			if len(want) == 0 || len(want) == len(records) {
				t.Fatalf("%d of %d records match", len(want), len(records))
			}
			o, n := listOptions{Orderby: []string{"id"}}, countOptions{}
			if c.filter != "" {
				o.Filter, n.Filter = &c.filter, &c.filter
			}
			if c.search != "" {
				o.Search, n.Search = &c.search, &c.search
			}
			list, err := all.Get(t.Context(), options(o))
			if err != nil {
				t.Fatal(err)
			}
			sameRecords(t, list.GetValue(), want)
			total, err := all.Count().Get(t.Context(), &countConfig{QueryParameters: &n})
			if err != nil || int(*total) != len(want) {
				t.Errorf("/$count is %s (%v), want %d", text(total), err, len(want))
			}
		})
	}
}

// colons puts a colon between octets.
func colons(hex string) string {
	var octets []string
	for pair := range slices.Chunk([]byte(hex), 2) {
		octets = append(octets, string(pair))
	}
	return strings.Join(octets, ":")
}

func TestGraphSDKEveryOption(t *testing.T) {
	client := graphAs(t, reader)
	want := matching(everything(t, states(client)),
		func(s state) bool {
			return *s.GetCertificateRevokeStatus() != models.FAILED_CERTIFICATEREVOCATIONSTATUS
		},
		func(a, b state) int {
			return cmp.Or(strings.Compare(*a.GetUserPrincipalName(), *b.GetUserPrincipalName()),
				byExpiry(b, a))
		})
	first, err := states(client).Get(t.Context(), options(listOptions{
		Count:   pointer(true),
		Filter:  pointer(fleet + " and certificateRevokeStatus ne microsoft.graph.certificateRevocationStatus'failed'"),
		Orderby: []string{"userPrincipalName", "certificateExpirationDateTime desc"},
		Search:  pointer("fleet"),
		Select:  []string{"id", "userPrincipalName"},
		Skip:    pointer(int32(30)),
		Top:     pointer(int32(40)),
	}))
	if err != nil {
		t.Fatal(err)
	}
	if n := first.GetOdataCount(); n == nil || int(*n) != len(want) || len(first.GetValue()) != 40 {
		t.Errorf("count %s and %d records, want %d and 40", text(n), len(first.GetValue()), len(want))
	}
	got := allPages(t, client, first)
	sameRecords(t, got, want[30:])
	for _, s := range got {
		if s.GetUserPrincipalName() == nil || s.GetCertificateThumbprint() != nil {
			t.Fatalf("record is %v, want id and userPrincipalName alone", values(s))
		}
	}
}

func TestGraphSDKSortedPages(t *testing.T) {
	client := graphAs(t, reader)
	want := matching(everything(t, states(client)), func(state) bool { return true },
		func(a, b state) int {
			return -strings.Compare(*a.GetCertificateIssuerName(), *b.GetCertificateIssuerName())
		})
	first, err := states(client).Get(t.Context(), options(listOptions{
		Filter: pointer(fleet), Orderby: []string{"certificateIssuerName desc", "id"}, Top: pointer(int32(60)),
	}))
	if err != nil {
		t.Fatal(err)
	}
	got := allPages(t, client, first)
	sameRecords(t, got, want)
}

func TestGraphSDKFilterError(t *testing.T) {
	_, err := states(graphAs(t, reader)).Get(t.Context(), options(listOptions{Filter: pointer("managedDeviceDisplayname eq 'x'")}))
	graphError(t, err, 400, "BadRequest")
	var e *odataerrors.ODataError
	if !errors.As(err, &e) || text(e.GetErrorEscaped().GetTarget()) != "$filter" ||
		!strings.Contains(e.Error(), "'managedDeviceDisplayname'") || !strings.Contains(e.Error(), "managedDeviceDisplayName") {
		t.Errorf("error is %v, want one that names $filter, the property and the one that was meant", err)
	}
}

// round reads the delta from link on into records, and returns the next round's
// link. The SDK knows no delta of this collection: the collection's builder is
// sent to the links, and leaves what it does not know in the additional data.
func round(t *testing.T, client *msgraph.GraphServiceClient, link string, records map[string]map[string]string) string {
	t.Helper()
	for {
		page, err := states(client).WithUrl(link).Get(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.GetValue() {
			if _, removed := s.GetAdditionalData()["@removed"]; removed {
				delete(records, *s.GetId())
			} else {
				records[*s.GetId()] = values(s)
			}
		}
		if page.GetOdataNextLink() == nil {
			last, _ := page.GetAdditionalData()["@odata.deltaLink"].(*string)
			if last == nil {
				t.Fatal("the last page has no deltaLink")
			}
			return *last
		}
		link = *page.GetOdataNextLink()
	}
}

func TestGraphSDKDelta(t *testing.T) {
	client := graphAs(t, writer)
	all, copied := states(client), map[string]map[string]string{}
	link := round(t, client, origin+collection+"/delta?$top=100", copied)
	if total, err := all.Count().Get(t.Context(), nil); err != nil || int(*total) != len(copied) {
		t.Fatalf("the first round had %d records of %s (%v)", len(copied), text(total), err)
	}

	_, item := create(t, all, "sdk-delta")
	link = round(t, client, link, copied)
	same(t, copied["sdk-delta"], sentValues("sdk-delta"))

	patch := models.NewManagedAllDeviceCertificateState()
	patch.SetCertificateRevokeStatus(pointer(models.REVOKED_CERTIFICATEREVOCATIONSTATUS))
	if _, err := item.Patch(t.Context(), patch, nil); err != nil {
		t.Fatal(err)
	}
	link = round(t, client, link, copied)
	if got := copied["sdk-delta"]["certificateRevokeStatus"]; got != "revoked" {
		t.Errorf("after the second round the status is %s, want revoked", got)
	}

	if err := item.Delete(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	round(t, client, link, copied)
	if s, there := copied["sdk-delta"]; there {
		t.Errorf("after the third round the record is still there: %v", s)
	}
}

func TestGraphSDKAsOf(t *testing.T) {
	client := graphAs(t, writer)
	reason := &postConfig{Headers: abstractions.NewRequestHeaders()}
	reason.Headers.Add("Certstate-Reason", "enrolled")
	id := fmt.Sprintf("sdk-asof-%d", time.Now().UnixNano()) // what was deleted keeps its history
	if _, err := states(client).Post(t.Context(), pageState(id), reason); err != nil {
		t.Fatal(err)
	}
	item := states(client).ByManagedAllDeviceCertificateStateId(id)
	after := context.WithoutCancel(t.Context())
	t.Cleanup(func() { _ = item.Delete(after, nil) })
	then := time.Now().UTC().Format(time.RFC3339Nano)

	patch := models.NewManagedAllDeviceCertificateState()
	patch.SetManagedDeviceDisplayName(pointer("renamed"))
	if _, err := item.Patch(t.Context(), patch, nil); err != nil {
		t.Fatal(err)
	}
	url := origin + collection + "/" + id
	was, err := item.WithUrl(url+"?certstate.asOf="+then).Get(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, values(was), sentValues(id))
}
