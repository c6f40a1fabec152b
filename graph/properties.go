package graph

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
)

// recordType and keyType are the entity types of CSDL whose properties a record has.
const (
	recordType = "managedAllDeviceCertificateState"
	keyType    = "entity"
)

// properties are those that a record has at the service, by its metadata.
func (s *Source) properties(ctx context.Context) (has map[string]bool, err error) {
	err = s.get(ctx, s.Root()+"/beta/$metadata", http.Header{"Accept": {"application/xml"}}, func(body []byte) error {
		has, err = propertiesIn(body)
		return err
	})
	return has, err
}

// propertiesIn reads CSDL (OData CSDL XML §6, §7): Graph's whole has eight million
// characters.
func propertiesIn(csdl []byte) (map[string]bool, error) {
	has := map[string]bool{}
	within := false
	for dec := xml.NewDecoder(bytes.NewReader(csdl)); ; {
		tok, err := dec.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch e := tok.(type) {
		case xml.StartElement:
			switch name := attribute(e, "Name"); e.Name.Local {
			case "EntityType":
				within = name == recordType || name == keyType
			case "Property":
				has[name] = has[name] || within
			}
		case xml.EndElement:
			within = within && e.Name.Local != "EntityType"
		}
	}
	if !has["id"] {
		return nil, errors.New("its metadata does not have the type " + recordType)
	}
	return has, nil
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}
