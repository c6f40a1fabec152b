package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// collection is the path of the records.
const collection = "/beta/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates"

// record is what the tests read and write of a record. Both texts are the
// record's value: a record whose two differ is half of one and half of another.
type record struct {
	ID      string `json:"id,omitempty"`
	Name    string `json:"managedDeviceDisplayName"`
	Subject string `json:"certificateSubjectName"`
	ETag    string `json:"@odata.etag,omitempty"`
	Removed *struct {
		Reason string
	} `json:"@removed,omitempty"`
}

// client speaks to one or several servers of a register.
type client struct {
	register *register
	http     *http.Client
}

// requestTime is how long a client waits for an answer.
const requestTime = 20 * time.Second

func newClient(r *register, transport http.RoundTripper) *client {
	return &client{r, &http.Client{Transport: transport, Timeout: requestTime}}
}

// transport keeps as many connections as there may be clients.
func transport() *http.Transport {
	return &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
}

// answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (c *client) send(ctx context.Context, method, url string, body []byte, header http.Header) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header.Clone()
	}
	req.Header.Set("Authorization", "Bearer "+c.register.bearer())
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return &answer{res.StatusCode, res.Header, text}, err
}

// methods are the requests of the operations.
var methods = map[kind]string{create: http.MethodPost, get: http.MethodGet, update: http.MethodPatch, remove: http.MethodDelete}

// perform sends an operation to the server at a URL and fills in what came of it.
func (c *client) perform(ctx context.Context, server string, o *operation) {
	o.judge(c.request(ctx, server, o))
}

// request sends an operation to the server at a URL.
func (c *client) request(ctx context.Context, server string, o *operation) (*answer, error) {
	address := server + collection
	header := http.Header{}
	var body []byte
	if o.kind != create {
		address += "/" + url.PathEscape(o.id)
	}
	if o.match != "" {
		header.Set("If-Match", o.match)
	}
	if o.once != "" {
		header.Set("Repeatability-Request-ID", o.once)
		header.Set("Repeatability-First-Sent", time.Now().UTC().Format(http.TimeFormat))
	}
	if o.kind == create || o.kind == update {
		sent := record{Name: o.value, Subject: o.value}
		if o.kind == create {
			sent.ID = o.id
		}
		body, _ = json.Marshal(sent)
	}
	return c.send(ctx, methods[o.kind], address, body, header)
}

// outcomes are the answers that there may be, by kind and status.
var outcomes = map[kind]map[int]outcome{
	create: {http.StatusCreated: done, http.StatusConflict: conflict},
	get:    {http.StatusOK: done, http.StatusNotFound: absent},
	update: {http.StatusOK: done, http.StatusNotFound: absent, http.StatusPreconditionFailed: mismatch},
	remove: {http.StatusNoContent: done, http.StatusNotFound: absent, http.StatusPreconditionFailed: mismatch},
}

// judge says what an answer means.
func (o *operation) judge(a *answer, err error) {
	if err != nil {
		o.outcome, o.detail = unknown, err.Error()
		if neverSent(err) {
			o.outcome = refused
		}
		return
	}
	o.repeats, _ = strconv.Atoi(a.header.Get(retryAttempt))
	o.outcome, o.detail = outcomes[o.kind][a.status], fmt.Sprint(a.status, " ", string(a.body))
	switch {
	case o.outcome == done && o.kind != remove:
		o.take(a)
	case o.outcome != "":
	case a.status == http.StatusBadGateway || a.status == http.StatusGatewayTimeout: // a proxy's
		o.outcome = unknown
	case a.status == http.StatusServiceUnavailable && (!bytes.Contains(a.body, []byte(`"error"`)) || bytes.Contains(a.body, []byte("unknown"))):
		o.outcome = unknown // a proxy's, or a server's that says so
	case a.status == http.StatusServiceUnavailable || a.status == http.StatusTooManyRequests || a.status == http.StatusInsufficientStorage:
		o.outcome = refused
	default:
		o.outcome = wrong
	}
}

// take reads the record that was answered.
func (o *operation) take(a *answer) {
	var r record
	if err := json.Unmarshal(a.body, &r); err != nil {
		o.outcome, o.detail = wrong, fmt.Sprintf("%v: %s", err, a.body)
		return
	}
	o.etag = r.ETag
	switch {
	case r.ETag == "" || r.ETag != strings.Join(a.header["Etag"], ","), r.Name != r.Subject, // half of one and half of another
		o.id != "" && r.ID != o.id, o.kind != get && r.Name != o.value:
		o.outcome = wrong
	case o.kind == get:
		o.value = r.Name
	case o.kind == create:
		o.id = r.ID
	}
}

// neverSent reports whether a request failed before any of it was sent.
func neverSent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}
