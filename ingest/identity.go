package ingest

import (
	"encoding/binary"
	"strings"

	"github.com/google/uuid"

	"certstate"
)

// idSpace is the name space of the ids made here (RFC 9562 §5.5).
var idSpace = uuid.MustParse("0b1c6b53-6a7c-4f5d-9b8e-2f6a1f0c9d31")

// Identify makes an id for a record whose source gives none, so that the same
// record has the same id each time. named reports that it is made of what names a
// certificate on a device: device, and thumbprint or issuer and serial number; what
// else the record says may then change. Otherwise it is made of all that the record
// says.
func Identify(s *certstate.State) (id string, named bool) {
	device := []string{"id", s.DeviceID.S}
	if device[1] == "" {
		device = []string{"name", s.DeviceName.S}
	}
	certificate := []string{"thumbprint", keyOf("certificateThumbprint", s.Thumbprint.S)}
	if certificate[1] == "" {
		certificate = []string{"serial", certstate.SerialHex(s.Serial.S), s.Issuer.S}
		if s.Serial.S == "" || s.Issuer.S == "" {
			certificate = []string{"", ""}
		}
	}
	if device[1] != "" && certificate[1] != "" {
		return idOf(append(device, certificate...)), true
	}
	all := make([]string, len(certstate.Properties))
	for i := range certstate.Properties {
		all[i] = string(certstate.Properties[i].Field(s).AppendJSON(nil))
	}
	return idOf(all), false
}

func keyOf(property, text string) string {
	i, _ := certstate.Lookup(property)
	keys := certstate.Properties[i].KeysOf(text)
	return strings.Join(keys, " ")
}

// idOf makes an id of texts, each with its length before it, so that no two lists
// of them are the same.
func idOf(texts []string) string {
	var b []byte
	for _, text := range texts {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	return uuid.NewSHA1(idSpace, b).String()
}
