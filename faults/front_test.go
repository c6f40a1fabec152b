package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
)

// front stands between a client and its servers and may do something else than
// pass requests on.
type front struct {
	next  http.RoundTripper
	serve func(*request) (*answer, error)
}

func (f front) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	a, err := f.serve(&request{r, body, f.next})
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)), Request: r}, nil
}

// request is one that has been read, and can be sent more than once.
type request struct {
	*http.Request
	body []byte
	next http.RoundTripper
}

// send sends it on with what change makes of it.
func (r *request) send(change func(*http.Request)) (*answer, error) {
	req := r.Clone(context.WithoutCancel(r.Context()))
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(r.body)), int64(len(r.body))
	if change != nil {
		change(req)
	}
	if req.ContentLength == 0 {
		req.Body = http.NoBody
	}
	res, err := r.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return &answer{res.StatusCode, res.Header, text}, err
}

// look reads the record that the request is for.
func (r *request) look() (record, *answer, error) {
	var is record
	a, err := r.send(func(req *http.Request) {
		req.Method, req.Body, req.ContentLength = http.MethodGet, http.NoBody, 0
		req.Header.Del("If-Match")
	})
	if err == nil && a.status == http.StatusOK {
		err = json.Unmarshal(a.body, &is)
	}
	return is, a, err
}

// answering is a response that no server gave.
func answering(status int, is record) *answer {
	body, _ := json.Marshal(is)
	return &answer{status, http.Header{"Etag": {is.ETag}}, body}
}
