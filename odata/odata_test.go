package odata_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"certstate"
	"certstate/odata"
)

func FuzzDecodeBody(f *testing.F) {
	f.Add([]byte(`{"@odata.type":"#microsoft.graph.managedAllDeviceCertificateState","id":"x","certificateKeyUsages":4,"userPrincipalName":null,"a@b":[{}]}`))
	f.Add([]byte(`{"certificateExpirationDateTime":"2017-01-01T00:02:14.9489247-08:00","certificateRevokeStatus":"revoked"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := odata.DecodeBody(in)
		if err != nil {
			if _, ok := errors.AsType[*certstate.Error](err); !ok {
				t.Errorf("%q: %v is not for the client", in, err)
			}
			return
		}
		if !json.Valid(in) {
			t.Errorf("%q is not JSON", in)
		}
		// What was read is written, and read back the same.
		sh := odata.Shape{Select: b.Sent, Level: odata.Full}
		if b.Sent == 0 {
			return
		}
		text := sh.AppendItem(nil, &b.State)
		again, err := odata.DecodeBody(text)
		if err != nil || again.State != b.State || again.Sent != b.Sent {
			t.Errorf("%q\nwritten as %s\nis read back as %+v, %v", in, text, again, err)
		}
	})
}

func FuzzQuery(f *testing.F) {
	f.Add("$select=id,userPrincipalName&%24TOP=5&count=true&$skiptoken=x")
	f.Add("$filter=id eq @p&@p=%27x%27&$orderby=id desc&$search=a OR b&$skip=3")
	f.Add("$apply=compute(year(certificateExpirationDateTime) as y)/groupby((y),aggregate($count as n))&$orderby=n desc")
	f.Fuzz(func(t *testing.T, in string) {
		q, err := odata.ParseQuery(in, odata.ListOptions)
		if err != nil {
			return
		}
		again, err := odata.ParseQuery(q.String(), odata.ListOptions)
		if err != nil || again.String() != q.String() || again.Select != q.Select && q.Selected != nil {
			t.Errorf("%q: %q is read back as %+v, %v", in, q.String(), again, err)
		}
	})
}

func FuzzPath(f *testing.F) {
	f.Add("/beta/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates('a%20b''c%2Fd')")
	f.Fuzz(func(t *testing.T, in string) {
		p, err := odata.ParsePath(in)
		if err == nil && len(p.Segments) != len(p.Keys) {
			t.Errorf("%q: %+v", in, p)
		}
	})
}

// Whatever the id, the path made for it leads back to it.
func FuzzKeyPath(f *testing.F) {
	f.Add("a b'c/d_e")
	f.Add("')('")
	f.Add("%27%2F?#$count")
	f.Fuzz(func(t *testing.T, id string) {
		if certstate.ValidateID(id) != nil {
			return
		}
		u, err := url.Parse("https://host/beta/" + odata.KeyPath(id))
		if err != nil {
			t.Fatal(err)
		}
		p, err := odata.ParsePath(u.EscapedPath())
		if err != nil || len(p.Segments) != 3 || p.Segments[2] != id || !p.Keys[2] {
			t.Errorf("%q: %s leads to %q, %v", id, u, p.Segments, err)
		}
	})
}

// A query that was read before is read the same again, and for another kind of
// request anew.
func TestParseQueryAgain(t *testing.T) {
	for _, raw := range []string{"$filter=id eq 'a'&$orderby=id desc&$top=7&$count=true", "$search=a OR b", "$apply=groupby((id))"} {
		first, err := odata.ParseQuery(raw, odata.ListOptions)
		if err != nil {
			t.Fatal(err)
		}
		asked := first
		asked.Top, asked.Skip = 1, 1 // as who asks may do with their own
		again, err := odata.ParseQuery(raw, odata.ListOptions)
		if err != nil || !reflect.DeepEqual(first, again) {
			t.Errorf("%s: %+v, then %+v, %v", raw, first, again, err)
		}
		for _, other := range []odata.Options{odata.CountOptions, odata.DeltaOptions, odata.NoOptions} {
			if other.Has(strings.SplitN(raw, "=", 2)[0]) && !strings.Contains(raw, "&") {
				continue
			}
			if _, err := odata.ParseQuery(raw, other); err == nil {
				t.Errorf("%s: taken by a resource that takes %q", raw, other.Names())
			}
		}
	}
}

func TestPageTokens(t *testing.T) {
	now := time.Now()
	key := bytes.Repeat([]byte{7}, 32)
	s, err := odata.NewSealer(key, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	query := func(raw string) *odata.Query {
		q, err := odata.ParseQuery(raw, odata.ListOptions)
		if err != nil {
			t.Fatal(err)
		}
		return &q
	}
	q := query("$select=id&$top=5")
	seal := func() string { return s.Seal(odata.PageToken, "tenant", q, []byte("42")) }
	token := seal()
	if strings.ContainsAny(token, "+/=;&") || token == seal() {
		t.Errorf("token %s", token)
	}
	open := func(s *odata.Sealer, tenant, raw string) (string, error) {
		at, err := s.Open(odata.PageToken, tenant, query(raw), token)
		return string(at), err
	}
	if at, err := open(s, "tenant", "top=5&%24select=id"); at != "42" || err != nil {
		t.Errorf("re-encoded: %q, %v", at, err)
	}
	other, _ := odata.NewSealer(bytes.Repeat([]byte{8}, 32), time.Now)
	for name, f := range map[string]func() (string, error){
		"other tenant": func() (string, error) { return open(s, "tenant2", "$select=id&$top=5") },
		"other query":  func() (string, error) { return open(s, "tenant", "$select=id&$top=6") },
		"other key":    func() (string, error) { return open(other, "tenant", "$select=id&$top=5") },
		"other kind": func() (string, error) {
			at, err := s.Open(odata.DeltaToken, "tenant", q, token)
			return string(at), err
		},
		"expired": func() (string, error) {
			now = now.Add(odata.PageTokenLifetime + time.Second)
			return open(s, "tenant", "$select=id&$top=5")
		},
	} {
		if at, err := f(); certstate.ErrorCode(err) != certstate.Invalid {
			t.Errorf("%s: %q, %v", name, at, err)
		}
	}
}
