package odata

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"certstate"
)

// Page is a page of a list, as another service answers it.
type Page struct {
	Values []jsontext.Value // its records, for DecodeRecord
	Next   string           // the link to the next page; "": it is the last
	Count  int64            // of all records; -1: it is not said
}

// DecodePage reads a page. What it does not know is passed over.
func DecodePage(data []byte) (*Page, error) {
	p := &Page{Count: -1}
	dec := newDecoder(data)
	listed := false
	err := document(dec, func(name string) error {
		switch name {
		case "value":
			listed = true
			return elements(dec, name, func() error {
				v, err := dec.ReadValue()
				p.Values = append(p.Values, bytes.Clone(v))
				return badJSON(err)
			})
		case "@odata.nextLink", "@nextLink":
			return p.control(dec, func(tok jsontext.Token) {
				if tok.Kind() == '"' {
					p.Next = tok.String()
				}
			})
		case "@odata.count", "@count":
			return p.control(dec, func(tok jsontext.Token) {
				if n, err := strconv.ParseInt(tok.String(), 10, 64); err == nil { // a text with IEEE754Compatible
					p.Count = n
				}
			})
		}
		_, err := dec.ReadValue()
		return badJSON(err)
	})
	if err == nil && !listed {
		err = certstate.Errorf(certstate.Invalid, "value", "It is no page of a list: it has no 'value'.")
	}
	return p, err
}

func (p *Page) control(dec *jsontext.Decoder, take func(jsontext.Token)) error {
	tok, err := dec.ReadToken()
	if err != nil {
		return badJSON(err)
	}
	take(tok)
	return skipValue(dec, tok)
}

// DecodeRecord reads a record as another service has it: as DecodeBody, but members
// that are unknown here are passed over.
func DecodeRecord(data []byte) (*Body, error) {
	d := decoder{dec: newDecoder(data), lenient: true}
	if err := document(d.dec, d.member); err != nil {
		return nil, err
	}
	return &d.body, nil
}
