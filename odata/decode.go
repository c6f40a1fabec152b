package odata

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"certstate"
	"certstate/edm"
)

// MaxDepth bounds the nesting of a body. The record is flat; annotations may
// hold structures.
const MaxDepth = 32

// Body is a decoded request body.
type Body struct {
	State        certstate.State
	Sent         certstate.Set // which properties the body had, null ones included
	TypeDeclared bool          // the body had @odata.type
}

// DecodeBody reads one JSON object. Annotations (names with @) are ignored but
// for @odata.type, which must name the entity. Computed properties are ignored
// (OData Protocol §11.4.2). Everything else is refused with the member at
// fault: unknown and repeated members, values of another type, null where the
// property has none, text that is not valid UTF-8.
func DecodeBody(data []byte) (*Body, error) {
	data = bytes.TrimPrefix(data, []byte("\xEF\xBB\xBF")) // RFC 8259 §8.1: .NET clients send it
	d := decoder{dec: jsontext.NewDecoder(bytes.NewBuffer(data))}
	if d.dec.PeekKind() != '{' {
		if _, err := d.dec.ReadToken(); err != nil {
			return nil, d.syntax(err)
		}
		return nil, certstate.Errorf(certstate.Invalid, "", "The request body must be one JSON object.")
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return nil, d.syntax(err)
	}
	for d.dec.PeekKind() == '"' {
		if err := d.member(); err != nil {
			return nil, err
		}
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return nil, d.syntax(err)
	}
	if _, err := d.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, certstate.Errorf(certstate.Invalid, "", "The request body must be one JSON object; something follows it.")
	}
	return &d.body, nil
}

type decoder struct {
	dec  *jsontext.Decoder
	body Body
}

func (d *decoder) member() error {
	tok, err := d.dec.ReadToken()
	if err != nil {
		return d.syntax(err)
	}
	name := tok.String()
	if base, term, found := strings.Cut(name, "@"); found {
		return d.annotation(base, term)
	}
	i, ok := certstate.Lookup(name)
	if !ok {
		return d.unknown(name)
	}
	val, err := d.dec.ReadToken()
	if err != nil {
		return d.syntax(err)
	}
	p := &certstate.Properties[i]
	if p.Is(certstate.Computed) {
		return d.skip(val)
	}
	d.body.Sent |= 1 << i
	field := p.Field(&d.body.State)
	if val.Kind() == 'n' {
		if !p.Is(certstate.Nullable) {
			return certstate.Errorf(certstate.Invalid, name,
				"A null value was found for the property named '%s', which has the expected type '%s[Nullable=False]'.", name, field.TypeName())
		}
		field.SetNull()
		return nil
	}
	if err := field.SetJSON(edm.Scalar{Kind: byte(val.Kind()), Text: val.String()}); err != nil {
		return certstate.Errorf(certstate.Invalid, name, "Invalid value for property '%s' of type '%s': %s.", name, field.TypeName(), err)
	}
	return nil
}

func (d *decoder) unknown(name string) error {
	return certstate.Errorf(certstate.Invalid, clip(name),
		"The property '%s' does not exist on type '%s'%s", clip(name), certstate.TypeName, didYouMean(name, "."))
}

// annotation handles base@term. Only the type is looked at.
func (d *decoder) annotation(base, term string) error {
	tok, err := d.dec.ReadToken()
	if err != nil {
		return d.syntax(err)
	}
	if base == "" && (term == "odata.type" || term == "type") {
		d.body.TypeDeclared = true
		if tok.Kind() != '"' || strings.TrimPrefix(tok.String(), "#") != certstate.TypeName {
			return certstate.Errorf(certstate.Invalid, "@odata.type",
				"The type '%s' is not '#%s'.", clip(tok.String()), certstate.TypeName)
		}
	}
	return d.skip(tok)
}

// skip reads to the end of the value that tok began.
func (d *decoder) skip(tok jsontext.Token) error {
	if k := tok.Kind(); k != '{' && k != '[' {
		return nil
	}
	for depth := d.dec.StackDepth(); d.dec.StackDepth() >= depth; {
		if d.dec.StackDepth() > MaxDepth {
			return certstate.Errorf(certstate.Invalid, "", "The request body is nested deeper than %d levels.", MaxDepth)
		}
		if _, err := d.dec.ReadToken(); err != nil {
			return d.syntax(err)
		}
	}
	return nil
}

func (d *decoder) syntax(err error) error {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return certstate.Errorf(certstate.Invalid, pointerName(err), "The request body has the member '%s' more than once.", pointerName(err))
	}
	var se *jsontext.SyntacticError
	if errors.As(err, &se) {
		return certstate.Errorf(certstate.Invalid, pointerName(err), "The request body is not valid JSON: %s at byte %d.", se.Err, se.ByteOffset)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return certstate.Errorf(certstate.Invalid, "", "The request body is empty or ends too early: send one JSON object.")
	}
	return err
}

func pointerName(err error) string {
	var se *jsontext.SyntacticError
	if errors.As(err, &se) {
		return clip(se.JSONPointer.LastToken())
	}
	return ""
}
