package clients

import (
	"errors"
	"strings"
	"testing"

	abstractions "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoftgraph/msgraph-beta-sdk-go/models"
	"github.com/microsoftgraph/msgraph-beta-sdk-go/models/odataerrors"
	core "github.com/microsoftgraph/msgraph-sdk-go-core"
)

// steps adds requests to a batch.
type steps interface {
	AddBatchRequestStep(abstractions.RequestInformation) (core.BatchItem, error)
}

// step adds a request that was built with the SDK's builders.
func step(t *testing.T, batch steps, request *abstractions.RequestInformation, err error) core.BatchItem {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	item, err := batch.AddBatchRequestStep(*request)
	if err != nil {
		t.Fatal(err)
	}
	return item
}

// answer is one response of a batch, read as a record.
func answer(t *testing.T, responses core.BatchResponse, to core.BatchItem) state {
	t.Helper()
	s, err := core.GetBatchResponseById[state](responses, *to.GetId(), models.CreateManagedAllDeviceCertificateStateFromDiscriminatorValue)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func status(t *testing.T, responses core.BatchResponse, to core.BatchItem, want int32) {
	t.Helper()
	if got := responses.GetResponseById(*to.GetId()); got == nil || got.GetStatus() == nil || *got.GetStatus() != want {
		t.Errorf("%s %s: response is %v, want status %d", *to.GetMethod(), *to.GetUrl(), got, want)
	}
}

// The dependencies of a step are those of the one before, and it. The SDK can
// read neither a 204 nor the numbers of a record.
func TestGraphSDKBatch(t *testing.T) {
	client := graphAs(t, writer)
	all := states(client)
	const id = "sdk batch/1"
	item := all.ByManagedAllDeviceCertificateStateId(id)
	patch := models.NewManagedAllDeviceCertificateState()
	patch.SetCertificateRevokeStatus(pointer(models.REVOKED_CERTIFICATEREVOCATIONSTATUS))

	batch := core.NewBatchRequest(client.GetAdapter())
	request, err := all.ToPostRequestInformation(t.Context(), pageState(id), nil)
	made := step(t, batch, request, err)
	request, err = item.ToGetRequestInformation(t.Context(), nil)
	got := step(t, batch, request, err)
	request, err = item.ToPatchRequestInformation(t.Context(), patch, nil)
	updated := step(t, batch, request, err)
	request, err = item.ToDeleteRequestInformation(t.Context(), nil)
	deleted := step(t, batch, request, err)
	request, err = item.ToGetRequestInformation(t.Context(), nil)
	gone := step(t, batch, request, err)
	request, err = all.ToGetRequestInformation(t.Context(), options(listOptions{
		Filter: pointer(fleet + " and certificateRevokeStatus eq 'revoked'"), Orderby: []string{"id desc"}, Top: pointer(int32(3)),
	}))
	listed := step(t, batch, request, err)
	got.DependsOnItem(made)
	updated.DependsOnItem(got)
	deleted.DependsOnItem(updated)
	gone.DependsOnItem(deleted)

	responses, err := batch.Send(t.Context(), client.GetAdapter())
	if err != nil {
		t.Fatal(err)
	}
	for to, want := range map[core.BatchItem]int32{made: 201, got: 200, updated: 200, deleted: 204, gone: 404, listed: 200} {
		status(t, responses, to, want)
	}
	want := sentValues(id)
	delete(want, "certificateKeyUsages")
	same(t, values(answer(t, responses, made)), want)
	same(t, values(answer(t, responses, got)), want)
	want["certificateRevokeStatus"] = "revoked"
	same(t, values(answer(t, responses, updated)), want)

	page, err := core.GetBatchResponseById[models.ManagedAllDeviceCertificateStateCollectionResponseable](responses, *listed.GetId(),
		models.CreateManagedAllDeviceCertificateStateCollectionResponseFromDiscriminatorValue)
	if err != nil {
		t.Fatal(err)
	}
	revoked := matching(everything(t, all),
		func(s state) bool {
			return *s.GetCertificateRevokeStatus() == models.REVOKED_CERTIFICATEREVOCATIONSTATUS
		},
		func(a, b state) int { return -strings.Compare(*a.GetId(), *b.GetId()) })
	sameRecords(t, page.GetValue(), revoked[:3])
}

// What comes after a failure is not done.
func TestGraphSDKBatchFailure(t *testing.T) {
	client := graphAs(t, writer)
	all := states(client)
	register := core.RegisterError(core.BatchRequestErrorRegistryKey, abstractions.ErrorMappings{
		"4XX": odataerrors.CreateODataErrorFromDiscriminatorValue,
	})
	if register != nil {
		t.Fatal(register)
	}
	batch := core.NewBatchRequest(client.GetAdapter())
	request, err := all.ByManagedAllDeviceCertificateStateId("sdk-nobody").ToGetRequestInformation(t.Context(), nil)
	first := step(t, batch, request, err)
	request, err = all.ToPostRequestInformation(t.Context(), pageState("sdk-never"), nil)
	second := step(t, batch, request, err)
	second.DependsOnItem(first)
	responses, err := batch.Send(t.Context(), client.GetAdapter())
	if err != nil {
		t.Fatal(err)
	}
	status(t, responses, first, 404)
	status(t, responses, second, 424)

	_, err = core.GetBatchResponseById[state](responses, *first.GetId(), models.CreateManagedAllDeviceCertificateStateFromDiscriminatorValue)
	var e *odataerrors.ODataError
	if !errors.As(err, &e) || text(e.GetErrorEscaped().GetCode()) != "ResourceNotFound" {
		t.Errorf("error is %v, want ResourceNotFound", err)
	}
	_, err = all.ByManagedAllDeviceCertificateStateId("sdk-never").Get(t.Context(), nil)
	graphError(t, err, 404, "ResourceNotFound")
}

// A collection of requests is sent in batches of 19.
func TestGraphSDKBatches(t *testing.T) {
	client := graphAs(t, reader)
	all := states(client)
	records := everything(t, all)[:45]
	batch := core.NewBatchRequestCollection(client.GetAdapter())
	var requests []core.BatchItem
	for _, s := range records {
		request, err := all.ByManagedAllDeviceCertificateStateId(*s.GetId()).ToGetRequestInformation(t.Context(), nil)
		requests = append(requests, step(t, batch, request, err))
	}
	responses, err := batch.Send(t.Context(), client.GetAdapter())
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range records {
		want := values(s)
		delete(want, "certificateKeyUsages")
		same(t, values(answer(t, responses, requests[i])), want)
	}
}
