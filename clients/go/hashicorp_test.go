package clients

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/hashicorp/go-azure-sdk/microsoft-graph/common-types/beta"
	sdk "github.com/hashicorp/go-azure-sdk/microsoft-graph/devicemanagement/beta/deviceconfigurationsallmanageddevicecertificatestate"
	"github.com/hashicorp/go-azure-sdk/sdk/environments"
	"github.com/hashicorp/go-azure-sdk/sdk/nullable"
	"github.com/hashicorp/go-azure-sdk/sdk/odata"
	"golang.org/x/oauth2"
)

// Short names for the SDK's.
type (
	terraState    = beta.ManagedAllDeviceCertificateState
	terraClient   = sdk.DeviceConfigurationsAllManagedDeviceCertificateStateClient
	createOptions = sdk.CreateDeviceConfigurationsAllManagedDeviceCertificateStateOperationOptions
	getOptions    = sdk.GetDeviceConfigurationsAllManagedDeviceCertificateStateOperationOptions
	updateOptions = sdk.UpdateDeviceConfigurationsAllManagedDeviceCertificateStateOperationOptions
	deleteOptions = sdk.DeleteDeviceConfigurationsAllManagedDeviceCertificateStateOperationOptions
	pagesOptions  = sdk.ListDeviceConfigurationsAllManagedDeviceCertificateStatesOperationOptions
)

var terraID = beta.NewDeviceManagementDeviceConfigurationsAllManagedDeviceCertificateStateID

// msalAuthorizer hands the SDK tokens of MSAL.
type msalAuthorizer struct{ client confidential.Client }

func (a msalAuthorizer) Token(ctx context.Context, _ *http.Request) (*oauth2.Token, error) {
	token, err := a.client.AcquireTokenByCredential(ctx, scopes)
	return &oauth2.Token{AccessToken: token.AccessToken, TokenType: "Bearer", Expiry: token.ExpiresOn}, err
}

func (a msalAuthorizer) AuxiliaryTokens(context.Context, *http.Request) ([]*oauth2.Token, error) {
	return nil, nil
}

func terra(t *testing.T, a app) *terraClient {
	t.Helper()
	client, err := sdk.NewDeviceConfigurationsAllManagedDeviceCertificateStateClientWithBaseURI(environments.MicrosoftGraphAPI(origin))
	if err != nil {
		t.Fatal(err)
	}
	client.Client.SetAuthorizer(msalAuthorizer{confidentialClient(t, a)})
	return client
}

// soon is a context with the deadline the SDK insists on.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// terraPageState is the page's example under another id.
func terraPageState(id string) terraState {
	value := func(name string) nullable.Type[string] { return nullable.Value(pageValues[name]) }
	at := func(name string) *string { return pointer(pageValues[name]) }
	return terraState{
		Id:                      &id,
		CertificateRevokeStatus: pointer(beta.CertificateRevocationStatus_Pending),
		CertificateRevokeStatusLastChangeDateTime: at("certificateRevokeStatusLastChangeDateTime"),
		ManagedDeviceDisplayName:                  value("managedDeviceDisplayName"),
		UserPrincipalName:                         value("userPrincipalName"),
		CertificateExpirationDateTime:             at("certificateExpirationDateTime"),
		CertificateIssuerName:                     value("certificateIssuerName"),
		CertificateThumbprint:                     value("certificateThumbprint"),
		CertificateSerialNumber:                   value("certificateSerialNumber"),
		CertificateSubjectName:                    value("certificateSubjectName"),
		CertificateKeyUsages:                      nullable.Value(int64(4)),
		CertificateExtendedKeyUsages:              value("certificateExtendedKeyUsages"),
		CertificateIssuanceDateTime:               at("certificateIssuanceDateTime"),
	}
}

func terraValues(s *terraState) map[string]string {
	return map[string]string{
		"id":                      text(s.Id),
		"certificateRevokeStatus": text(s.CertificateRevokeStatus),
		"certificateRevokeStatusLastChangeDateTime": text(s.CertificateRevokeStatusLastChangeDateTime),
		"managedDeviceDisplayName":                  text(s.ManagedDeviceDisplayName.Get()),
		"userPrincipalName":                         text(s.UserPrincipalName.Get()),
		"certificateExpirationDateTime":             text(s.CertificateExpirationDateTime),
		"certificateIssuerName":                     text(s.CertificateIssuerName.Get()),
		"certificateThumbprint":                     text(s.CertificateThumbprint.Get()),
		"certificateSerialNumber":                   text(s.CertificateSerialNumber.Get()),
		"certificateSubjectName":                    text(s.CertificateSubjectName.Get()),
		"certificateKeyUsages":                      text(s.CertificateKeyUsages.Get()),
		"certificateExtendedKeyUsages":              text(s.CertificateExtendedKeyUsages.Get()),
		"certificateIssuanceDateTime":               text(s.CertificateIssuanceDateTime),
	}
}

// terraCreate makes the page's record under id, and takes it away after the test.
func terraCreate(t *testing.T, client *terraClient, id string) *terraState {
	t.Helper()
	made, err := client.CreateDeviceConfigurationsAllManagedDeviceCertificateState(soon(t), terraPageState(id), createOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = client.DeleteDeviceConfigurationsAllManagedDeviceCertificateState(soon(t), terraID(id), deleteOptions{})
	})
	return made.Model
}

// terraError is what the SDK makes of an error response.
func terraError(t *testing.T, resp *http.Response, data *odata.OData, err error, status int, code string) {
	t.Helper()
	switch {
	case err == nil || resp == nil || data == nil || data.Error == nil:
		t.Errorf("error is %v, want %d %s", err, status, code)
	case resp.StatusCode != status || text(data.Error.Code) != code || !strings.Contains(err.Error(), code):
		t.Errorf("error is %d %s (%v), want %d %s", resp.StatusCode, text(data.Error.Code), err, status, code)
	}
}

func TestHashicorp(t *testing.T) {
	client := terra(t, writer)
	id := terraID(pageValues["id"])
	same(t, terraValues(terraCreate(t, client, pageValues["id"])), pageValues)

	got, err := client.GetDeviceConfigurationsAllManagedDeviceCertificateState(soon(t), id, getOptions{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, terraValues(got.Model), pageValues)

	patch := terraState{CertificateRevokeStatus: pointer(beta.CertificateRevocationStatus_Revoked)}
	if _, err := client.UpdateDeviceConfigurationsAllManagedDeviceCertificateState(soon(t), id, patch, updateOptions{}); err != nil {
		t.Fatal(err)
	}
	got, err = client.GetDeviceConfigurationsAllManagedDeviceCertificateState(soon(t), id, getOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := maps.Clone(pageValues)
	want["certificateRevokeStatus"] = "revoked"
	same(t, terraValues(got.Model), want)

	if _, err := client.DeleteDeviceConfigurationsAllManagedDeviceCertificateState(soon(t), id, deleteOptions{IfMatch: pointer("*")}); err != nil {
		t.Fatal(err)
	}
	got, err = client.GetDeviceConfigurationsAllManagedDeviceCertificateState(soon(t), id, getOptions{})
	terraError(t, got.HttpResponse, got.OData, err, 404, "ResourceNotFound")
}

// The SDK cannot read $count itself: it has no reader for text/plain.
func TestHashicorpPages(t *testing.T) {
	list, err := terra(t, reader).ListDeviceConfigurationsAllManagedDeviceCertificateStates(soon(t),
		pagesOptions{Top: pointer(int64(100)), Count: pointer(true)})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for i := range *list.Model {
		seen[text((*list.Model)[i].Id)]++
	}
	if list.OData.Count == nil {
		t.Fatal("the list has no count")
	}
	eachOnce(t, seen, *list.OData.Count)
}

func TestHashicorpTenants(t *testing.T) {
	list, err := terra(t, other).ListDeviceConfigurationsAllManagedDeviceCertificateStatesComplete(soon(t), pagesOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 0 {
		t.Errorf("the other tenant lists %d records, want none", len(list.Items))
	}
}

func TestHashicorpErrors(t *testing.T) {
	client := terra(t, writer)
	terraCreate(t, client, "terra-errors")
	post := func(c *terraClient, s terraState) (*http.Response, *odata.OData, error) {
		r, err := c.CreateDeviceConfigurationsAllManagedDeviceCertificateState(soon(t), s, createOptions{})
		return r.HttpResponse, r.OData, err
	}
	for _, c := range []struct {
		name   string
		do     func() (*http.Response, *odata.OData, error)
		status int
		code   string
	}{
		{"a reader creates", func() (*http.Response, *odata.OData, error) {
			return post(terra(t, reader), terraPageState("terra-forbidden"))
		}, 403, "Forbidden"},
		{"id in use", func() (*http.Response, *odata.OData, error) {
			another := terraPageState("terra-errors") // the very same again would be the first answer again
			another.ManagedDeviceDisplayName = nullable.Value("another device")
			return post(client, another)
		}, 409, "Conflict"},
		{"no such status", func() (*http.Response, *odata.OData, error) {
			return post(client, terraState{CertificateRevokeStatus: pointer(beta.CertificateRevocationStatus("gone"))})
		}, 400, "BadRequest"},
		{"no such property", func() (*http.Response, *odata.OData, error) {
			r, err := client.ListDeviceConfigurationsAllManagedDeviceCertificateStates(soon(t), pagesOptions{Select: &[]string{"colour"}})
			return r.HttpResponse, r.OData, err
		}, 400, "BadRequest"},
		{"another version", func() (*http.Response, *odata.OData, error) {
			r, err := client.DeleteDeviceConfigurationsAllManagedDeviceCertificateState(soon(t), terraID("terra-errors"), deleteOptions{IfMatch: pointer(`W/"0"`)})
			return r.HttpResponse, r.OData, err
		}, 412, "ConditionNotMet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, data, err := c.do()
			terraError(t, resp, data, err, c.status, c.code)
		})
	}
}
