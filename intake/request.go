package intake

import (
	"slices"
	"strings"

	"certstate"
	"certstate/ingest"
)

// Request is what an import job was asked to do.
type Request struct {
	FileName    string   `json:"fileName"` // by which a certificate's device may be named
	Format      string   `json:"format"`   // of [Formats]
	Columns     []string `json:"columns"`  // see [ParseColumns]
	Update      bool     `json:"update"`
	DryRun      bool     `json:"dryRun"`
	Device      string   `json:"device"`
	DeviceFrom  string   `json:"deviceFrom"` // of [DeviceSources]
	UPNFrom     string   `json:"upnFrom"`    // of [UPNSources]
	Authorities bool     `json:"authorities"`
	Reason      string   `json:"reason"`
	Password    string   `json:"-"` // of PKCS#12 files; it is the job's secret, and no part of what is told of it
}

// NewRequest is one that says nothing yet.
func NewRequest() *Request {
	return &Request{FileName: "upload", Format: Auto, Columns: []string{}, DeviceFrom: ingest.FromFile, UPNFrom: UPNSources[0]}
}

// Where a certificate's device and user principal name may be named.
var (
	DeviceSources = []string{ingest.FromFile, ingest.FromCN, ingest.FromSAN}
	UPNSources    = []string{"san", "none"}
)

// Bounds of a request's texts, in bytes.
const (
	maxFileName = 255
	maxColumns  = 100
	maxPassword = 1024
)

// Check finds what is wrong, with the member at fault as the error's target.
func (r *Request) Check() error {
	for _, choice := range []struct {
		member, given string
		of            []string
	}{{"format", r.Format, Formats()}, {"deviceFrom", r.DeviceFrom, DeviceSources}, {"upnFrom", r.UPNFrom, UPNSources}} {
		if !slices.Contains(choice.of, choice.given) {
			return certstate.Errorf(certstate.Invalid, choice.member, "The %s '%s' is not one of %s.", choice.member, choice.given, strings.Join(choice.of, ", "))
		}
	}
	if r.FileName == "" || len(r.FileName) > maxFileName || strings.ContainsAny(r.FileName, "/\\\x00") {
		return certstate.Errorf(certstate.Invalid, "fileName", "fileName must be a file's name of 1 to %d bytes, without folders.", maxFileName)
	}
	if len(r.Columns) > maxColumns {
		return certstate.Errorf(certstate.Invalid, "columns", "There are more than %d columns.", maxColumns)
	}
	if len(r.Password) > maxPassword {
		return certstate.Errorf(certstate.Invalid, "password", "The password has more than %d bytes: give the one of the PKCS#12 files.", maxPassword)
	}
	if _, err := ParseColumns("columns", r.Columns); err != nil {
		return certstate.Errorf(certstate.Invalid, "columns", "%s.", strings.TrimRight(err.Error(), "?."))
	}
	return nil
}

// settings are the request's for an intake on behalf of somebody.
func (r *Request) settings(actor string) (Settings, error) {
	columns, err := ParseColumns("columns", r.Columns)
	return Settings{
		Format: r.Format, Columns: columns, Update: r.Update, Dry: r.DryRun,
		Naming:     ingest.Naming{Device: r.Device, From: r.DeviceFrom, UPN: r.UPNFrom == UPNSources[0], Authorities: r.Authorities, Password: r.Password},
		By:         certstate.Cause{Actor: actor, Reason: r.Reason},
		UpdateCure: "a job with update has it take what the file says",
	}, err
}
