package certstate_test

import (
	"slices"
	"strings"
	"testing"

	"certstate"
)

// All spellings of a number share a key; another number shares none.
func TestKeys(t *testing.T) {
	keys := func(property, text string) []string {
		i, _ := certstate.Lookup(property)
		return certstate.Properties[i].KeysOf(text)
	}
	share := func(property, a, b string) bool {
		return slices.ContainsFunc(keys(property, a), func(k string) bool { return slices.Contains(keys(property, b), k) })
	}
	for _, tc := range []struct {
		property, a, b string
		want           bool
	}{
		{"certificateSerialNumber", "01:AB:CD", "1abcd", true},
		{"certificateSerialNumber", "0x1ABCD", "01 ab cd", true},
		{"certificateSerialNumber", "1ABCD", "109517", true}, // decimal
		{"certificateSerialNumber", "109517", "0001abcd", true},
		{"certificateSerialNumber", "0", "00", true},
		{"certificateSerialNumber", "1ABCD", "1ABCE", false},
		{"certificateSerialNumber", "-1A", "1A", false},
		{"certificateSerialNumber", "not a number", "not a number", true},
		{"certificateSerialNumber", "not a number", "Not a number", false},
		{"certificateSerialNumber", "723458976234589762345897623458976234589", "022045216E1F7A402C7047546C7159FC5D", true},
		{"certificateThumbprint", "\u200eAB CD 00", "ab:cd:00", true},
		{"certificateThumbprint", "00ab", "ab", false}, // a digest has its length
	} {
		if got := share(tc.property, tc.a, tc.b); got != tc.want {
			t.Errorf("%s: %q %v and %q %v share a key: %v", tc.property, tc.a, keys(tc.property, tc.a), tc.b, keys(tc.property, tc.b), got)
		}
	}
	if k := keys("certificateSerialNumber", strings.Repeat("9", 200)); len(k) != 1 {
		t.Errorf("a serial without bounds has keys %v", k)
	}
}

func TestPhrase(t *testing.T) {
	for in, want := range map[string]string{
		"CN=LAPTOP-0042, OU = Managed Devices": " laptop 0042 managed devices",
		"jonas.lindqvist@fleet.example":        " jonas lindqvist fleet example",
		"ÅSA Müller":                           " åsa müller",
		"--":                                   "",
		"日本 语":                                 " 日本 语",
	} {
		if got := certstate.Phrase(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
