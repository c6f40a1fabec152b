package clients

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/microsoftgraph/msgraph-beta-sdk-go/models"
)

// An export job is made, asked for until it is done, and downloaded, as scripts do
// with Intune's.
func TestExportJob(t *testing.T) {
	jobs := graphAs(t, reader).DeviceManagement().Reports().ExportJobs()
	ask := models.NewDeviceManagementExportJob()
	ask.SetReportName(pointer("AllDeviceCertificates"))
	ask.SetFilter(pointer("endswith(UPN,'@fleet.example')"))
	ask.SetSelectEscaped([]string{"DeviceName", "UPN", "ValidTo"})
	ask.SetFormat(pointer(models.CSV_DEVICEMANAGEMENTREPORTFILEFORMAT))
	job, err := jobs.Post(t.Context(), ask, nil)
	if err != nil {
		t.Fatal(err)
	}
	if *job.GetStatus() != models.NOTSTARTED_DEVICEMANAGEMENTREPORTSTATUS || job.GetUrl() != nil || !strings.HasPrefix(*job.GetId(), "AllDeviceCertificates_") {
		t.Errorf("created: %v %v %v", job.GetStatus(), job.GetUrl(), *job.GetId())
	}
	item := jobs.ByDeviceManagementExportJobId(*job.GetId())
	for deadline := time.Now().Add(30 * time.Second); *job.GetStatus() != models.COMPLETED_DEVICEMANAGEMENTREPORTSTATUS; {
		if job, err = item.Get(t.Context(), nil); err != nil || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if !job.GetExpirationDateTime().After(time.Now()) {
		t.Errorf("it expired at %s", job.GetExpirationDateTime())
	}
	rows := report(t, *job.GetUrl())
	want := len(everything(t, states(graphAs(t, reader))))
	if strings.Join(rows[0], ",") != "DeviceName,UPN,ValidTo" || len(rows) != want+1 {
		t.Errorf("%v, and %d rows, want %d", rows[0], len(rows)-1, want)
	}
	if err := item.Delete(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// report downloads a report, without a token.
func report(t *testing.T, url string) [][]string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res.Status, err)
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil || len(z.File) != 1 {
		t.Fatal(err)
	}
	f, err := z.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
