// Package der walks ASN.1 in DER, and in the BER that real certificates and
// containers hold in its place: long forms of length, indefinite lengths, and
// strings in pieces (X.690 §8, §10). It never copies and knows no schema.
package der

import (
	"fmt"
	"math/big"
	"strconv"
)

// Class is the class of a tag, X.690 §8.1.2.2.
type Class uint8

const (
	Universal Class = iota
	Application
	Context
	Private
)

// Tags of the universal class, X.680 §8.4.
const (
	Boolean         = 1
	Integer         = 2
	BitString       = 3
	OctetString     = 4
	Null            = 5
	OID             = 6
	Enumerated      = 10
	UTF8String      = 12
	Sequence        = 16
	Set             = 17
	NumericString   = 18
	PrintableString = 19
	T61String       = 20
	IA5String       = 22
	UTCTime         = 23
	GeneralizedTime = 24
	VisibleString   = 26
	UniversalString = 28
	BMPString       = 30
)

// MaxDepth bounds how deep lengths of the indefinite form may nest: only they
// must be followed inwards to find where an element ends.
const MaxDepth = 32

// Element is one tag, length and value. Its slices are those of the input.
type Element struct {
	Class       Class
	Tag         int
	Constructed bool
	Raw         []byte // with header, and end-of-contents if there is one
	Body        []byte // without
	Offset      int    // of Raw in the whole input
	NotDER      bool   // the header is BER's alone
	header      int    // octets before Body
}

// Is reports whether e has the universal tag, in a form that its type has.
func (e Element) Is(tag int) bool { return e.Class == Universal && e.Tag == tag && e.formed() }

// formed reports whether a universal type is written as it must be: single values
// primitive, sequences and sets constructed. Strings may be either (X.690 §8).
func (e Element) formed() bool {
	switch e.Tag {
	case Boolean, Integer, Null, OID, Enumerated:
		return !e.Constructed
	case Sequence, Set:
		return e.Constructed
	}
	return true
}

// IsContext reports whether e has the context-specific tag.
func (e Element) IsContext(tag int) bool { return e.Class == Context && e.Tag == tag }

// Children reads what is within e.
func (e Element) Children() Reader { return Reader{e.Body, e.Offset + e.header} }

// Error says where the input stops being ASN.1.
type Error struct {
	Offset int // in the whole input, from 0
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("at octet %d: %s", e.Offset, e.Reason) }

// Reader reads elements one after another.
type Reader struct {
	rest   []byte
	offset int
}

// New reads data from its first octet.
func New(data []byte) Reader { return Reader{rest: data} }

// More reports whether anything is left.
func (r *Reader) More() bool { return len(r.rest) > 0 }

// Rest is what is left.
func (r *Reader) Rest() []byte { return r.rest }

// Offset is the place of the next element in the whole input.
func (r *Reader) Offset() int { return r.offset }

// Next reads an element. The error is an *[Error].
func (r *Reader) Next() (Element, error) {
	e, err := parse(r.rest, r.offset, 0)
	if err != nil {
		return Element{}, err
	}
	r.pass(e)
	return e, nil
}

func (r *Reader) pass(e Element) {
	r.rest = r.rest[len(e.Raw):]
	r.offset += len(e.Raw)
}

// Universal reads an element that must have the universal tag.
func (r *Reader) Universal(tag int) (Element, error) {
	e, err := parse(r.rest, r.offset, 0)
	if err != nil || !e.Is(tag) {
		return Element{}, &Error{r.offset, "expected " + TagName(tag) + ", found " + r.found()}
	}
	r.pass(e)
	return e, nil
}

// Parts reads a constructed element with the context-specific tag, if it is next:
// what is tagged explicitly, or a sequence or set.
func (r *Reader) Parts(tag int) (Element, bool) { return r.context(tag, true) }

// Value reads a primitive element with the context-specific tag, if it is next.
func (r *Reader) Value(tag int) (Element, bool) { return r.context(tag, false) }

func (r *Reader) context(tag int, constructed bool) (Element, bool) {
	e, ok := r.Peek()
	if !ok || !e.IsContext(tag) || e.Constructed != constructed {
		return Element{}, false
	}
	r.pass(e)
	return e, true
}

// Peek is the next element without reading it.
func (r *Reader) Peek() (Element, bool) {
	e, err := parse(r.rest, r.offset, 0)
	return e, err == nil
}

func (r *Reader) found() string {
	e, err := parse(r.rest, r.offset, 0)
	switch {
	case len(r.rest) == 0:
		return "the end"
	case err != nil:
		return err.(*Error).Reason //nolint:errorlint // parse returns no other
	case e.Class == Universal && !e.formed():
		return TagName(e.Tag) + " in a form that it cannot have"
	case e.Class == Universal:
		return TagName(e.Tag)
	}
	return fmt.Sprintf("a tag [%d]", e.Tag)
}

const indefinite = 0x80

func parse(b []byte, offset, depth int) (e Element, err error) {
	e.Offset = offset
	at, err := e.readTag(b)
	if err != nil {
		return e, err
	}
	if at >= len(b) {
		return e, &Error{offset, "the input ends within a header"}
	}
	if b[at] == indefinite {
		return e, e.findEnd(b, at+1, depth)
	}
	length, at, err := e.readLength(b, at)
	if err != nil {
		return e, err
	}
	if length > len(b)-at {
		return e, &Error{offset, fmt.Sprintf("%s claims %d octets, %d are left", e.name(), length, len(b)-at)}
	}
	e.Raw, e.Body, e.header = b[:at+length], b[at:at+length], at
	return e, nil
}

// readTag reads identifier octets, X.690 §8.1.2, and gives where they end.
func (e *Element) readTag(b []byte) (at int, err error) {
	if len(b) == 0 {
		return 0, &Error{e.Offset, "the input ends where an element should begin"}
	}
	e.Class, e.Constructed, e.Tag = Class(b[0]>>6), b[0]&0x20 != 0, int(b[0]&0x1F)
	if e.Tag != 0x1F {
		return 1, nil
	}
	e.Tag = 0
	for at = 1; at < len(b) && at <= 4; at++ {
		e.Tag = e.Tag<<7 | int(b[at]&0x7F)
		if b[at]&0x80 == 0 {
			e.NotDER = e.Tag < 0x1F
			return at + 1, nil
		}
	}
	return 0, &Error{e.Offset, "a tag number too large or cut off"}
}

// readLength reads a definite length, X.690 §8.1.3.
func (e *Element) readLength(b []byte, at int) (length, end int, err error) {
	first := b[at]
	if first < 0x80 {
		return int(first), at + 1, nil
	}
	n := int(first & 0x7F)
	if n > len(b)-at-1 {
		return 0, 0, &Error{e.Offset, "the input ends within a length"}
	}
	octets := b[at+1 : at+1+n]
	for _, o := range octets {
		if length > 1<<23 {
			return 0, 0, &Error{e.Offset, "a length over 2 GiB"}
		}
		length = length<<8 | int(o)
	}
	e.NotDER = e.NotDER || length < 0x80 || octets[0] == 0
	return length, at + 1 + n, nil
}

// findEnd sets e's value, whose end is marked by end-of-contents octets.
func (e *Element) findEnd(b []byte, at, depth int) error {
	e.NotDER = true
	if !e.Constructed {
		return &Error{e.Offset, "a primitive element of indefinite length"}
	}
	if depth >= MaxDepth {
		return &Error{e.Offset, fmt.Sprintf("indefinite lengths nested deeper than %d", MaxDepth)}
	}
	for end := at; ; {
		child, err := parse(b[end:], e.Offset+end, depth+1)
		if err != nil {
			return err
		}
		if child.Is(0) && len(child.Raw) == 2 {
			e.Raw, e.Body, e.header = b[:end+2], b[at:end], at
			return nil
		}
		end += len(child.Raw)
	}
}

// Octets are the content of a string that BER may have cut into pieces, X.690
// §8.7.3. The result is e.Body itself if it is whole.
func (e Element) Octets() ([]byte, error) { return e.octets(0) }

func (e Element) octets(depth int) ([]byte, error) {
	if !e.Constructed {
		return e.Body, nil
	}
	if depth >= MaxDepth {
		return nil, &Error{e.Offset, "a string in pieces of pieces"}
	}
	var whole []byte
	for pieces := e.Children(); pieces.More(); {
		piece, err := pieces.Next()
		if err != nil {
			return nil, err
		}
		part, err := piece.octets(depth + 1)
		if err != nil {
			return nil, err
		}
		whole = append(whole, part...)
	}
	return whole, nil
}

// maxArc bounds an arc of an object identifier, in octets of 7 bits: UUIDs under
// 2.25 take 19 (X.667).
const maxArc = 24

// OIDText is the dotted form of an object identifier's content, X.690 §8.19. It
// reports false for content that is none.
func OIDText(b []byte) (string, bool) {
	text := make([]byte, 0, 4*len(b))
	for first := true; len(b) > 0; first = false {
		n := 0
		for n < len(b) && b[n]&0x80 != 0 {
			n++
		}
		if n == len(b) || n >= maxArc || b[0] == 0x80 {
			return "", false
		}
		if !first {
			text = append(text, '.')
		}
		text = appendArc(text, b[:n+1], first)
		b = b[n+1:]
	}
	return string(text), len(text) > 0
}

// appendArc writes the arc in base 128; the first holds two, 40·x + y.
func appendArc(text, octets []byte, first bool) []byte {
	if len(octets) > 9 { // more than 63 bits
		return appendLongArc(text, octets, first)
	}
	var arc uint64
	for _, o := range octets {
		arc = arc<<7 | uint64(o&0x7F)
	}
	if first {
		x := min(arc/40, 2)
		text = append(strconv.AppendUint(text, x, 10), '.')
		arc -= 40 * x
	}
	return strconv.AppendUint(text, arc, 10)
}

func appendLongArc(text, octets []byte, first bool) []byte {
	arc := new(big.Int)
	for _, o := range octets {
		arc.Lsh(arc, 7).Or(arc, big.NewInt(int64(o&0x7F)))
	}
	if first {
		text = append(text, "2."...)
		arc.Sub(arc, big.NewInt(80))
	}
	return arc.Append(text, 10)
}

func (e *Element) name() string {
	if e.Class == Universal {
		return TagName(e.Tag)
	}
	return fmt.Sprintf("a tag [%d]", e.Tag)
}

var tagNames = map[int]string{
	Boolean: "BOOLEAN", Integer: "INTEGER", BitString: "BIT STRING", OctetString: "OCTET STRING", Null: "NULL",
	OID: "OBJECT IDENTIFIER", Enumerated: "ENUMERATED", UTF8String: "UTF8String", Sequence: "SEQUENCE", Set: "SET",
	NumericString: "NumericString", PrintableString: "PrintableString", T61String: "T61String", IA5String: "IA5String",
	UTCTime: "UTCTime", GeneralizedTime: "GeneralizedTime", VisibleString: "VisibleString",
	UniversalString: "UniversalString", BMPString: "BMPString",
}

// TagName is the ASN.1 name of a universal tag.
func TagName(tag int) string {
	if name, ok := tagNames[tag]; ok {
		return name
	}
	return fmt.Sprintf("universal tag %d", tag)
}
