package edm_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"certstate/edm"
)

func TestDateTimeOffset(t *testing.T) {
	for in, want := range map[string]string{ // "" means refused
		"2016-12-31T23:59:34.9547208-08:00":  "2016-12-31T23:59:34.9547208-08:00",
		"0001-01-01T00:00:00Z":               "0001-01-01T00:00:00Z",
		"9999-12-31T23:59:59.9999999Z":       "9999-12-31T23:59:59.9999999Z",
		"2026-01-02T03:04:05Z":               "2026-01-02T03:04:05Z",
		"2026-01-02t03:04:05z":               "2026-01-02T03:04:05Z",
		"2026-01-02T03:04Z":                  "2026-01-02T03:04:00Z",
		"2026-01-02T03:04:05.500Z":           "2026-01-02T03:04:05.5Z",
		"2026-01-02T03:04:05.123456789012Z":  "2026-01-02T03:04:05.1234567Z",
		"2024-02-29T00:00:00+14:00":          "2024-02-29T00:00:00+14:00",
		"2026-01-02T03:04:05+00:00":          "2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05-00:30":          "2026-01-02T03:04:05-00:30",
		"2026-02-29T00:00:00Z":               "",
		"2026-01-02T24:00:00Z":               "",
		"2026-01-02T23:59:60Z":               "",
		"2026-01-02":                         "",
		"2026-01-02T03:04:05":                "",
		"2026-01-02T03Z":                     "",
		"2026-1-2T03:04:05Z":                 "",
		"2026-01-02 03:04:05Z":               "",
		"2026-01-02T03:04:05,5Z":             "",
		"2026-01-02T03:04:05.Z":              "",
		"2026-01-02T03:04:05.1234567890123Z": "",
		"2026-01-02T03:04:05+14:01":          "",
		"2026-01-02T03:04:05+1:00":           "",
		"2026-01-02T03:04:05 +01:00":         "",
		"0000-01-01T00:00:00Z":               "",
		"0001-01-01T00:00:00+00:01":          "",
		"9999-12-31T23:59:59-00:01":          "",
		"":                                   "",
		"Z":                                  "",
	} {
		v, err := edm.ParseDateTimeOffset(in)
		if (err != nil) != (want == "") || err == nil && v.Text() != want {
			t.Errorf("%q: %q, %v; want %q", in, v.Text(), err, want)
		}
	}
}

// The hand-written text equals the standard library's, and is read back.
func TestDateTimeOffsetAgainstTime(t *testing.T) {
	for range 100_000 {
		v := edm.DateTimeOffset{Ticks: rand.Int64N(3_155_378_976_000_000_000), Offset: rand.Int64N(1681) - 840}
		local := v.Time()
		if y := local.Year(); y < 1 || y > 9999 {
			continue
		}
		text := v.Text()
		if want := local.Format(time.RFC3339Nano); text != want {
			t.Fatalf("%+v: %s, want %s", v, text, want)
		}
		if back, err := edm.ParseDateTimeOffset(text); err != nil || back != v {
			t.Fatalf("%s: read back as %+v, %v", text, back, err)
		}
		if back := edm.Time(local); back != v {
			t.Fatalf("%s: from time.Time %+v", text, back)
		}
	}
}

func FuzzDateTimeOffset(f *testing.F) {
	f.Add("2016-12-31T23:59:34.9547208-08:00")
	f.Fuzz(func(t *testing.T, in string) {
		v, err := edm.ParseDateTimeOffset(in)
		if err != nil {
			return
		}
		if back, err := edm.ParseDateTimeOffset(v.Text()); err != nil || back != v {
			t.Errorf("%q: %q is read back as %+v, %v", in, v.Text(), back, err)
		}
	})
}

func FuzzJSONString(f *testing.F) {
	f.Add("<script>&\"\\\n\u2028é\x00")
	f.Fuzz(func(t *testing.T, in string) {
		if !utf8.ValidString(in) {
			return
		}
		text := edm.AppendJSONString(nil, in)
		var back string
		if err := json.Unmarshal(text, &back); err != nil || back != in {
			t.Errorf("%q: %s is read back as %q, %v", in, text, back, err)
		}
		if strings.ContainsAny(string(text), "<>\u2028\u2029") {
			t.Errorf("%s holds a character that must be escaped", text)
		}
	})
}
