package clients

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	abstractions "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoft/kiota-abstractions-go/authentication"
	msgraph "github.com/microsoftgraph/msgraph-beta-sdk-go"
	"github.com/microsoftgraph/msgraph-beta-sdk-go/devicemanagement"
	"github.com/microsoftgraph/msgraph-beta-sdk-go/models"
	"github.com/microsoftgraph/msgraph-beta-sdk-go/models/odataerrors"
	core "github.com/microsoftgraph/msgraph-sdk-go-core"
	azure "github.com/microsoftgraph/msgraph-sdk-go-core/authentication"
)

// Short names for the SDK's.
type (
	state        = models.ManagedAllDeviceCertificateStateable
	stateBuilder = devicemanagement.DeviceConfigurationsAllManagedDeviceCertificateStatesRequestBuilder
	stateItem    = devicemanagement.DeviceConfigurationsAllManagedDeviceCertificateStatesManagedAllDeviceCertificateStateItemRequestBuilder
	listConfig   = devicemanagement.DeviceConfigurationsAllManagedDeviceCertificateStatesRequestBuilderGetRequestConfiguration
	listOptions  = devicemanagement.DeviceConfigurationsAllManagedDeviceCertificateStatesRequestBuilderGetQueryParameters
	deleteConfig = devicemanagement.DeviceConfigurationsAllManagedDeviceCertificateStatesManagedAllDeviceCertificateStateItemRequestBuilderDeleteRequestConfiguration
)

// graph is the beta SDK's client, pointed at the demo before anything else is
// made of its adapter.
func graph(t *testing.T, auth authentication.AuthenticationProvider) *msgraph.GraphServiceClient {
	t.Helper()
	adapter, err := msgraph.NewGraphRequestAdapter(auth)
	if err != nil {
		t.Fatal(err)
	}
	adapter.SetBaseUrl(origin + "/beta")
	return msgraph.NewGraphServiceClient(adapter)
}

func graphAs(t *testing.T, a app) *msgraph.GraphServiceClient {
	t.Helper()
	auth, err := azure.NewAzureIdentityAuthenticationProviderWithScopesAndValidHosts(credential(t, a), scopes, []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	return graph(t, auth)
}

func states(c *msgraph.GraphServiceClient) *stateBuilder {
	return c.DeviceManagement().DeviceConfigurationsAllManagedDeviceCertificateStates()
}

func options(o listOptions) *listConfig { return &listConfig{QueryParameters: &o} }

// pageState is the page's example under another id.
func pageState(id string) state {
	value := func(name string) *string { return pointer(pageValues[name]) }
	at := func(name string) *time.Time {
		v, err := time.Parse(time.RFC3339, pageValues[name])
		if err != nil {
			panic(err)
		}
		return &v
	}
	s := models.NewManagedAllDeviceCertificateState()
	s.SetId(&id)
	s.SetCertificateRevokeStatus(pointer(models.PENDING_CERTIFICATEREVOCATIONSTATUS))
	s.SetCertificateRevokeStatusLastChangeDateTime(at("certificateRevokeStatusLastChangeDateTime"))
	s.SetManagedDeviceDisplayName(value("managedDeviceDisplayName"))
	s.SetUserPrincipalName(value("userPrincipalName"))
	s.SetCertificateExpirationDateTime(at("certificateExpirationDateTime"))
	s.SetCertificateIssuerName(value("certificateIssuerName"))
	s.SetCertificateThumbprint(value("certificateThumbprint"))
	s.SetCertificateSerialNumber(value("certificateSerialNumber"))
	s.SetCertificateSubjectName(value("certificateSubjectName"))
	s.SetCertificateKeyUsages(pointer(int32(4)))
	s.SetCertificateExtendedKeyUsages(value("certificateExtendedKeyUsages"))
	s.SetCertificateIssuanceDateTime(at("certificateIssuanceDateTime"))
	return s
}

// sentValues are pageValues as this SDK sends them: it cuts times to seconds.
func sentValues(id string) map[string]string {
	want := maps.Clone(pageValues)
	want["id"] = id
	want["certificateRevokeStatusLastChangeDateTime"] = "2016-12-31T23:59:34-08:00"
	want["certificateExpirationDateTime"] = "2017-01-01T00:02:14-08:00"
	want["certificateIssuanceDateTime"] = "2016-12-31T23:59:41-08:00"
	return want
}

func values(s state) map[string]string {
	return map[string]string{
		"id":                      text(s.GetId()),
		"certificateRevokeStatus": text(s.GetCertificateRevokeStatus()),
		"certificateRevokeStatusLastChangeDateTime": text(s.GetCertificateRevokeStatusLastChangeDateTime()),
		"managedDeviceDisplayName":                  text(s.GetManagedDeviceDisplayName()),
		"userPrincipalName":                         text(s.GetUserPrincipalName()),
		"certificateExpirationDateTime":             text(s.GetCertificateExpirationDateTime()),
		"certificateIssuerName":                     text(s.GetCertificateIssuerName()),
		"certificateThumbprint":                     text(s.GetCertificateThumbprint()),
		"certificateSerialNumber":                   text(s.GetCertificateSerialNumber()),
		"certificateSubjectName":                    text(s.GetCertificateSubjectName()),
		"certificateKeyUsages":                      text(s.GetCertificateKeyUsages()),
		"certificateExtendedKeyUsages":              text(s.GetCertificateExtendedKeyUsages()),
		"certificateIssuanceDateTime":               text(s.GetCertificateIssuanceDateTime()),
	}
}

// create makes the page's record under id, and takes it away after the test.
func create(t *testing.T, all *stateBuilder, id string) (state, *stateItem) {
	t.Helper()
	made, err := all.Post(t.Context(), pageState(id), nil)
	if err != nil {
		t.Fatal(err)
	}
	item := all.ByManagedAllDeviceCertificateStateId(id)
	after := context.WithoutCancel(t.Context())
	t.Cleanup(func() { _ = item.Delete(after, nil) }) // some tests have deleted it
	return made, item
}

// graphError is what the SDK makes of an error response.
func graphError(t *testing.T, err error, status int, code string) {
	t.Helper()
	var e *odataerrors.ODataError
	if !errors.As(err, &e) {
		t.Fatalf("error is %T (%v), want *ODataError", err, err)
	}
	detail := e.GetErrorEscaped()
	if e.ResponseStatusCode != status || text(detail.GetCode()) != code || e.Error() == "" {
		t.Errorf("error is %d %s (%s), want %d %s", e.ResponseStatusCode, text(detail.GetCode()), e, status, code)
	}
	inner := detail.GetInnerError()
	if inner == nil || inner.GetRequestId() == nil || inner.GetClientRequestId() == nil || inner.GetDate() == nil {
		t.Errorf("innerError is %v, want both ids and a date", inner)
	}
}

func TestGraphSDK(t *testing.T) {
	all := states(graphAs(t, writer))
	for _, id := range []string{pageValues["id"], "a b'c/d_e"} {
		t.Run(id, func(t *testing.T) {
			made, item := create(t, all, id)
			same(t, values(made), sentValues(id))

			got, err := item.Get(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			same(t, values(got), sentValues(id))

			patch := models.NewManagedAllDeviceCertificateState()
			patch.SetCertificateRevokeStatus(pointer(models.REVOKED_CERTIFICATEREVOCATIONSTATUS))
			patch.SetCertificateThumbprint(nil)
			updated, err := item.Patch(t.Context(), patch, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := sentValues(id)
			want["certificateRevokeStatus"], want["certificateThumbprint"] = "revoked", "null"
			same(t, values(updated), want)

			if err := item.Delete(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			_, err = item.Get(t.Context(), nil)
			graphError(t, err, 404, "ResourceNotFound")
		})
	}
}

func TestGraphSDKAssignsID(t *testing.T) {
	all := states(graphAs(t, writer))
	blank := models.NewManagedAllDeviceCertificateState()
	blank.SetUserPrincipalName(pointer("nobody@fleet.example"))
	made, err := all.Post(t.Context(), blank, nil)
	if err != nil {
		t.Fatal(err)
	}
	item := all.ByManagedAllDeviceCertificateStateId(text(made.GetId()))
	if err := item.Delete(t.Context(), nil); err != nil {
		t.Error(err)
	}
	same(t, values(made), map[string]string{
		"userPrincipalName":             "nobody@fleet.example",
		"certificateRevokeStatus":       "none",
		"certificateKeyUsages":          "null",
		"certificateExpirationDateTime": "0001-01-01T00:00:00Z",
	})
}

// The SDK forgets what was set on an object it got by id and sends hardly
// anything, and it sends all of an object from a list, the id included. Neither
// may fail or damage the record.
func TestGraphSDKPatchesWhatItGot(t *testing.T) {
	all := states(graphAs(t, writer))
	const id = "sdk-patch"
	sources := map[string]func(*testing.T, *stateItem) state{
		"created": func(t *testing.T, item *stateItem) state {
			_ = item.Delete(t.Context(), nil)
			made, _ := create(t, all, id)
			return made
		},
		"got by id": func(t *testing.T, item *stateItem) state {
			got, err := item.Get(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			return got
		},
		"listed": func(t *testing.T, _ *stateItem) state {
			list, err := all.Get(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range list.GetValue() {
				if text(s.GetId()) == id {
					return s
				}
			}
			t.Fatal("the list lacks the record")
			return nil
		},
	}
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			_, item := create(t, all, id)
			s := source(t, item)
			s.SetCertificateRevokeStatus(pointer(models.REVOKED_CERTIFICATEREVOCATIONSTATUS))
			updated, err := item.Patch(t.Context(), s, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := sentValues(id)
			want["certificateRevokeStatus"] = text(updated.GetCertificateRevokeStatus())
			same(t, values(updated), want)
			if name == "listed" && want["certificateRevokeStatus"] != "revoked" {
				t.Errorf("certificateRevokeStatus is %s, want revoked", want["certificateRevokeStatus"])
			}
		})
	}
}

func TestGraphSDKList(t *testing.T) {
	all := states(graphAs(t, reader))
	list, err := all.Get(t.Context(), options(listOptions{
		Count: pointer(true), Select: []string{"id", "userPrincipalName"}, Top: pointer(int32(5)),
	}))
	if err != nil {
		t.Fatal(err)
	}
	if n := list.GetOdataCount(); n == nil || *n < 250 || len(list.GetValue()) != 5 || list.GetOdataNextLink() == nil {
		t.Errorf("count %s, %d records, next %s", text(n), len(list.GetValue()), text(list.GetOdataNextLink()))
	}
	for _, s := range list.GetValue() {
		if s.GetId() == nil || s.GetUserPrincipalName() == nil || s.GetCertificateThumbprint() != nil || s.GetCertificateRevokeStatus() != nil {
			t.Errorf("record is %v, want id and userPrincipalName alone", values(s))
		}
	}
}

func TestGraphSDKPages(t *testing.T) {
	client := graphAs(t, reader)
	first, err := states(client).Get(t.Context(), options(listOptions{Top: pointer(int32(100))}))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := core.NewPageIterator[state](first, client.GetAdapter(), models.CreateManagedAllDeviceCertificateStateCollectionResponseFromDiscriminatorValue)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	err = pages.Iterate(t.Context(), func(s state) bool {
		seen[text(s.GetId())]++
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	total, err := states(client).Count().Get(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	eachOnce(t, seen, int(*total))
}

func TestGraphSDKTenants(t *testing.T) {
	_, item := create(t, states(graphAs(t, writer)), "sdk-tenants")
	theirs := states(graphAs(t, other))
	total, err := theirs.Count().Get(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	list, err := theirs.Get(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if *total != 0 || len(list.GetValue()) != 0 {
		t.Errorf("the other tenant counts %d records and lists %d, want none", *total, len(list.GetValue()))
	}
	err = theirs.ByManagedAllDeviceCertificateStateId("sdk-tenants").Delete(t.Context(), nil)
	graphError(t, err, 404, "ResourceNotFound")
	if _, err := item.Get(t.Context(), nil); err != nil {
		t.Errorf("the record is gone: %v", err)
	}
}

func TestGraphSDKErrors(t *testing.T) {
	all := states(graphAs(t, writer))
	_, item := create(t, all, "sdk-errors")
	list := func(all *stateBuilder, o listOptions) error {
		_, err := all.Get(t.Context(), options(o))
		return err
	}
	post := func(all *stateBuilder, s state) error {
		_, err := all.Post(t.Context(), s, nil)
		return err
	}
	unknownStatus := models.NewManagedAllDeviceCertificateState()
	unknownStatus.SetAdditionalData(map[string]any{"certificateRevokeStatus": "gone"})
	oldVersion := &deleteConfig{Headers: abstractions.NewRequestHeaders()}
	oldVersion.Headers.Add("If-Match", `W/"0"`)

	another := pageState("sdk-errors") // the very same again would be the first answer again
	another.SetManagedDeviceDisplayName(pointer("another device"))

	for _, c := range []struct {
		name   string
		err    error
		status int
		code   string
	}{
		{"no token", list(states(graph(t, &authentication.AnonymousAuthenticationProvider{})), listOptions{}), 401, "InvalidAuthenticationToken"},
		{"a reader creates", post(states(graphAs(t, reader)), pageState("sdk-forbidden")), 403, "Forbidden"},
		{"id in use", post(all, another), 409, "Conflict"},
		{"no such status", post(all, unknownStatus), 400, "BadRequest"},
		{"no such property", list(all, listOptions{Select: []string{"colour"}}), 400, "BadRequest"},
		{"no such relationship", list(all, listOptions{Expand: []string{"owner"}}), 400, "BadRequest"},
		{"malformed filter", list(all, listOptions{Filter: pointer("id equals 1")}), 400, "BadRequest"},
		{"another version", item.Delete(t.Context(), oldVersion), 412, "ConditionNotMet"},
	} {
		t.Run(c.name, func(t *testing.T) { graphError(t, c.err, c.status, c.code) })
	}
}
