package odata

import (
	"bytes"
	"errors"
	"fmt"
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
	d := decoder{dec: newDecoder(data)}
	if err := document(d.dec, d.member); err != nil {
		return nil, err
	}
	return &d.body, nil
}

// StatesParameter is the parameter of an action that takes records.
const StatesParameter = "states"

// DecodeStates reads the body of an action that takes at most some records: one
// object with an array of them. Errors name the place in it.
func DecodeStates(data []byte, most int) (list []Body, err error) {
	dec := newDecoder(data)
	err = document(dec, func(name string) error {
		if name != StatesParameter {
			if !isAnnotation(name) {
				return certstate.Errorf(certstate.Invalid, clip(name), "The action has no parameter '%s': send an object with '%s', an array of records.", clip(name), StatesParameter)
			}
			tok, err := dec.ReadToken()
			if err != nil {
				return badJSON(err)
			}
			return skipValue(dec, tok)
		}
		return elements(dec, StatesParameter, func() error {
			if len(list) == most {
				return certstate.Errorf(certstate.Invalid, StatesParameter, "'%s' has more than %d records: send them in several requests.", StatesParameter, most)
			}
			d := decoder{dec: dec}
			if err := members(dec, "Each of '"+StatesParameter+"'", d.member); err != nil {
				return AtState(len(list), err)
			}
			list = append(list, d.body)
			return nil
		})
	})
	if err == nil && len(list) == 0 {
		err = certstate.Errorf(certstate.Invalid, StatesParameter, "The action needs '%s', an array of records.", StatesParameter)
	}
	return list, err
}

// AtState adds the place of a record in an action's parameter to an error that
// the client may read.
func AtState(i int, err error) error {
	e, ok := errors.AsType[*certstate.Error](err)
	if !ok {
		return err
	}
	return certstate.Errorf(e.Code, fmt.Sprintf("%s/%d/%s", StatesParameter, i, e.Target), "At %d of '%s': %s", i, StatesParameter, e.Message)
}

func newDecoder(data []byte) *jsontext.Decoder {
	data = bytes.TrimPrefix(data, []byte("\xEF\xBB\xBF")) // RFC 8259 §8.1: .NET clients send it
	return jsontext.NewDecoder(bytes.NewBuffer(data))
}

// document reads a body that is one JSON object and nothing else.
func document(dec *jsontext.Decoder, read func(name string) error) error {
	if err := members(dec, "The text", read); err != nil {
		return err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return certstate.Errorf(certstate.Invalid, "", "The text must be one JSON object; something follows it.")
	}
	return nil
}

// members reads a JSON object and has read take the value of each member.
func members(dec *jsontext.Decoder, what string, read func(name string) error) error {
	kind := dec.PeekKind()
	if _, err := dec.ReadToken(); err != nil {
		return badJSON(err)
	}
	if kind != '{' {
		return certstate.Errorf(certstate.Invalid, "", "%s must be one JSON object.", what)
	}
	for dec.PeekKind() == '"' {
		tok, err := dec.ReadToken()
		if err != nil {
			return badJSON(err)
		}
		if err := read(tok.String()); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return badJSON(err)
	}
	return nil
}

// elements reads a JSON array and has read take each of its values.
func elements(dec *jsontext.Decoder, what string, read func() error) error {
	kind := dec.PeekKind()
	if _, err := dec.ReadToken(); err != nil {
		return badJSON(err)
	}
	if kind != '[' {
		return certstate.Errorf(certstate.Invalid, what, "'%s' must be an array.", what)
	}
	for k := dec.PeekKind(); k != ']' && k != 0; k = dec.PeekKind() {
		if err := read(); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return badJSON(err)
	}
	return nil
}

func isAnnotation(name string) bool { return strings.Contains(name, "@") }

type decoder struct {
	dec     *jsontext.Decoder
	body    Body
	lenient bool // pass over what is unknown
}

func (d *decoder) member(name string) error {
	i, ok := certstate.Lookup(name)
	if !ok && d.lenient {
		_, err := d.dec.ReadValue()
		return badJSON(err)
	}
	if base, term, found := strings.Cut(name, "@"); found {
		return d.annotation(base, term)
	}
	if !ok {
		return d.unknown(name)
	}
	val, err := d.dec.ReadToken()
	if err != nil {
		return badJSON(err)
	}
	p := &certstate.Properties[i]
	if p.Is(certstate.Computed) {
		return skipValue(d.dec, val)
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
		return badJSON(err)
	}
	if base == "" && (term == "odata.type" || term == "type") {
		d.body.TypeDeclared = true
		if tok.Kind() != '"' || strings.TrimPrefix(tok.String(), "#") != certstate.TypeName {
			return certstate.Errorf(certstate.Invalid, "@odata.type",
				"The type '%s' is not '#%s'.", clip(tok.String()), certstate.TypeName)
		}
	}
	return skipValue(d.dec, tok)
}

// skipValue reads to the end of the value that tok began.
func skipValue(dec *jsontext.Decoder, tok jsontext.Token) error {
	if k := tok.Kind(); k != '{' && k != '[' {
		return nil
	}
	for depth := dec.StackDepth(); dec.StackDepth() >= depth; {
		if dec.StackDepth() > MaxDepth {
			return certstate.Errorf(certstate.Invalid, "", "The JSON is nested deeper than %d levels.", MaxDepth)
		}
		if _, err := dec.ReadToken(); err != nil {
			return badJSON(err)
		}
	}
	return nil
}

// badJSON turns a decoder's failure into what the client may read.
func badJSON(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return certstate.Errorf(certstate.Invalid, pointerName(err), "The JSON has the member '%s' more than once.", pointerName(err))
	}
	var se *jsontext.SyntacticError
	if errors.As(err, &se) {
		return certstate.Errorf(certstate.Invalid, pointerName(err), "The text is not valid JSON: %s at byte %d.", se.Err, se.ByteOffset)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return certstate.Errorf(certstate.Invalid, "", "The text is empty or ends too early: send one JSON object.")
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
