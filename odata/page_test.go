package odata_test

import (
	"encoding/json"
	"errors"
	"testing"

	"certstate"
	"certstate/odata"
)

// A page of another service is JSON or refused; what DecodeBody takes, DecodeRecord
// takes for the same.
func FuzzDecodePage(f *testing.F) {
	f.Add([]byte(`{"@odata.context":"x","@odata.count":2,"@odata.nextLink":"https://h/2","value":[{"id":"a","new":{"b":[1]}},{"id":"b","certificateRevokeStatus":"revoked"}],"new":[{}]}`))
	f.Add([]byte(`{"value":[1,null,{"@odata.type":"#other"}],"@odata.nextLink":null,"@odata.count":"3"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := odata.DecodePage(in)
		if err != nil {
			if _, ok := errors.AsType[*certstate.Error](err); !ok {
				t.Errorf("%q: %v is not for people", in, err)
			}
			return
		}
		if !json.Valid(in) {
			t.Errorf("%q is not JSON", in)
		}
		for _, v := range p.Values {
			strict, refused := odata.DecodeBody(v)
			lenient, err := odata.DecodeRecord(v)
			if refused == nil && (err != nil || lenient.State != strict.State || lenient.Sent != strict.Sent) {
				t.Errorf("%s: %+v, %v, want %+v", v, lenient, err, strict)
			}
		}
	})
}

func TestDecodePage(t *testing.T) {
	p, err := odata.DecodePage([]byte(`{"@odata.count":"3","@odata.nextLink":"n","value":[{"id":"a","new":{"b":[1]},"certificateKeyUsages":4},{"id":7}]}`))
	if err != nil || p.Count != 3 || p.Next != "n" || len(p.Values) != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	b, err := odata.DecodeRecord(p.Values[0])
	if err != nil || b.State.ID.S != "a" || b.State.KeyUsages.N != 4 {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := odata.DecodeRecord(p.Values[1]); err == nil {
		t.Error("a number was taken for an id")
	}
	if p, err := odata.DecodePage([]byte(`{"value":[]}`)); err != nil || p.Count != -1 || p.Next != "" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := odata.DecodePage([]byte(`{"@odata.count":1}`)); err == nil {
		t.Error("what has no list was taken for a page")
	}
}
