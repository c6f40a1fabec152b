package der_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"certstate/certificate/der"
)

func octets(t testing.TB, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNext(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"020105", "class 0 tag 2 false 05 DER"},
		{"30 03 020105 ff", "class 0 tag 16 true 020105 DER"},
		{"a0 00", "class 2 tag 0 true  DER"},
		{"04 81 01 aa", "class 0 tag 4 false aa BER"},    // longer than it needs
		{"04 82 00 01 aa", "class 0 tag 4 false aa BER"}, // with a zero
		{"9f 1f 00", "class 2 tag 31 false  DER"},
		{"9f 81 00 00", "class 2 tag 128 false  DER"},
		{"9f 1e 00", "class 2 tag 30 false  BER"}, // a low tag in the high form
		{"30 80 020105 0000 ff", "class 0 tag 16 true 020105 BER"},
		{"30 80 30 80 0000 0000", "class 0 tag 16 true 30800000 BER"},
		{"30 80 04 02 0000 0000", "class 0 tag 16 true 04020000 BER"}, // zeros that end nothing
	} {
		r := der.New(octets(t, tc.in))
		e, err := r.Next()
		form := map[bool]string{true: "BER", false: "DER"}[e.NotDER]
		got := fmt.Sprintf("class %d tag %d %v %x %s", e.Class, e.Tag, e.Constructed, e.Body, form)
		if err != nil || got != tc.want {
			t.Errorf("%s: %s, %v; want %s", tc.in, got, err, tc.want)
		}
	}
}

func TestErrors(t *testing.T) {
	deep := bytes.Repeat([]byte{0x30, 0x80}, der.MaxDepth+1)
	deep = append(deep, make([]byte, 2*(der.MaxDepth+1))...)
	for _, tc := range []struct{ in, want string }{
		{"", "at octet 0: the input ends where an element should begin"},
		{"30", "at octet 0: the input ends within a header"},
		{"3082ff", "at octet 0: the input ends within a length"},
		{"04050102", "at octet 0: OCTET STRING claims 5 octets, 2 are left"},
		{"0488ffffffffffffffff", "at octet 0: a length over 2 GiB"},
		{"9fffffffffff7f00", "at octet 0: a tag number too large or cut off"},
		{"0480", "at octet 0: a primitive element of indefinite length"},
		{"3080020105", "at octet 5: the input ends where an element should begin"},
		{hex.EncodeToString(deep), fmt.Sprintf("at octet %d: indefinite lengths nested deeper than %d", 2*der.MaxDepth, der.MaxDepth)},
	} {
		r := der.New(octets(t, tc.in))
		_, err := r.Next()
		if where := (*der.Error)(nil); !errors.As(err, &where) || err.Error() != tc.want {
			t.Errorf("%.20s: %v; want %s", tc.in, err, tc.want)
		}
	}
	fits := deep[2 : len(deep)-2]
	r := der.New(fits)
	if _, err := r.Next(); err != nil {
		t.Errorf("%d deep: %v", der.MaxDepth, err)
	}
}

// Offsets are those of the whole input, however deep.
func TestOffsets(t *testing.T) {
	r := der.New(octets(t, "0500 3080 3003 020105 0000"))
	if _, err := r.Universal(der.Null); err != nil {
		t.Fatal(err)
	}
	outer, err := r.Universal(der.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	in := outer.Children()
	inner, err := in.Universal(der.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	numbers := inner.Children()
	if _, err = numbers.Universal(der.OID); err == nil || err.Error() != "at octet 6: expected OBJECT IDENTIFIER, found INTEGER" {
		t.Errorf("%v", err)
	}
	if n, err := numbers.Universal(der.Integer); err != nil || n.Offset != 6 || numbers.More() || r.More() {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestOctets(t *testing.T) {
	for in, want := range map[string]string{
		"0402aabb":                          "aabb",
		"2480 0401aa 0401bb 0000":           "aabb",
		"2406 2404 0401aa 0400":             "!", // the inner ends too soon
		"2407 2403 0401aa 0400":             "aa",
		"a080 0401aa 2480 0401bb 0000 0000": "aabb",
	} {
		r := der.New(octets(t, in))
		e, err := r.Next()
		if err != nil {
			t.Fatal(in, err)
		}
		b, err := e.Octets()
		got := hex.EncodeToString(b)
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	deep := []byte{0x04, 0}
	for range der.MaxDepth + 1 {
		deep = append([]byte{0x24, 0x82, byte(len(deep) >> 8), byte(len(deep))}, deep...)
	}
	r := der.New(deep)
	e, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Octets(); err == nil {
		t.Error("pieces of pieces without end")
	}
}

func TestOIDText(t *testing.T) {
	for in, want := range map[string]string{
		"2a03": "1.2.3", "00": "0.0", "27": "0.39", "28": "1.0", "4f": "1.39", "50": "2.0", "8837": "2.999",
		"2a864886f70d010101":                            "1.2.840.113549.1.1.1",
		"69" + "83ffffffffffffffffffffffffffffffffff7f": "2.25.340282366920938463463374607431768211455", // a UUID, X.667
		"83ffffffffffffffffffffffffffffffffff7f":        "2.340282366920938463463374607431768211375",    // the same as the first arc
		"":                                              "", "80": "", "8001": "", "2a80": "", "2a8001": "", strings.Repeat("ff", 40) + "01": "",
	} {
		got, ok := der.OIDText(octets(t, in))
		if got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v; want %q", in, got, ok, want)
		}
	}
}
