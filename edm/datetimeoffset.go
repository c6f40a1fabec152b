package edm

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// DateTimeOffset is a non-nullable Edm.DateTimeOffset: the instant to 100 ns
// and the offset it was written with, so that a client reads back the text it
// sent. The zero value is 0001-01-01T00:00:00Z.
type DateTimeOffset struct {
	Ticks  int64 // 100 ns units since 0001-01-01T00:00:00Z (.NET's DateTime.Ticks)
	Offset int64 // minutes east of UTC, -840 to 840
}

// Precision is how many digits after the second a DateTimeOffset has.
const Precision = 7

const (
	ticksPerSecond = 10_000_000
	unixEpoch      = 62_135_596_800 // seconds from year 1 to 1970
	maxTicks       = 3_155_378_975_999_999_999
)

// Time is the DateTimeOffset of t, cut to 100 ns. Times outside the years 1 to
// 9999 become the nearest end.
func Time(t time.Time) DateTimeOffset {
	_, off := t.Zone()
	s := t.Unix() + unixEpoch
	switch {
	case s < 0:
		return DateTimeOffset{}
	case s > maxTicks/ticksPerSecond:
		return DateTimeOffset{Ticks: maxTicks}
	}
	return DateTimeOffset{s*ticksPerSecond + int64(t.Nanosecond()/100), int64(off / 60)}
}

// Time is the instant as a time.Time in the zone of its offset.
func (v DateTimeOffset) Time() time.Time {
	t := time.Unix(v.Ticks/ticksPerSecond-unixEpoch, v.Ticks%ticksPerSecond*100)
	if v.Offset == 0 {
		return t.UTC()
	}
	return t.In(time.FixedZone("", int(v.Offset)*60))
}

func (v *DateTimeOffset) TypeName() string       { return "Edm.DateTimeOffset" }
func (v *DateTimeOffset) ControlType() string    { return "#DateTimeOffset" }
func (v *DateTimeOffset) IsNull() bool           { return false }
func (v *DateTimeOffset) SetNull()               { *v = DateTimeOffset{} }
func (v *DateTimeOffset) Assign(from Value) bool { return Replace(v, from) }
func (v *DateTimeOffset) Text() string           { return string(v.Append(nil)) }

var timeColumns = []string{"", "_offset"}

func (v *DateTimeOffset) Suffixes() []string { return timeColumns }

// AppendJSON appends the value in RFC 3339 form with as many fraction digits
// as it needs, at most seven.
func (v *DateTimeOffset) AppendJSON(b []byte) []byte {
	return append(v.Append(append(b, '"')), '"')
}

// Append appends the value's text. It is written out by hand because a page of
// a hundred records formats three hundred of them.
func (v *DateTimeOffset) Append(b []byte) []byte {
	local := v.Ticks + v.Offset*60*ticksPerSecond
	days, rest := local/(86400*ticksPerSecond), local%(86400*ticksPerSecond)
	if rest < 0 {
		days, rest = days-1, rest+86400*ticksPerSecond
	}
	year, month, day := Civil(days)
	b = append4(b, year)
	b = append2(append(b, '-'), month)
	b = append2(append(b, '-'), day)
	sec := int(rest / ticksPerSecond)
	b = append2(append(b, 'T'), sec/3600)
	b = append2(append(b, ':'), sec/60%60)
	b = append2(append(b, ':'), sec%60)
	if frac := rest % ticksPerSecond; frac != 0 {
		b = append(b, '.')
		for unit := int64(ticksPerSecond / 10); frac != 0; unit /= 10 {
			b = append(b, byte('0'+frac/unit))
			frac %= unit
		}
	}
	return appendOffset(b, int(v.Offset))
}

func appendOffset(b []byte, min int) []byte {
	if min == 0 {
		return append(b, 'Z')
	}
	sign := byte('+')
	if min < 0 {
		sign, min = '-', -min
	}
	b = append2(append(b, sign), min/60)
	return append2(append(b, ':'), min%60)
}

func append2(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }
func append4(b []byte, n int) []byte { return append2(append2(b, n/100), n%100) }

// Civil is the proleptic Gregorian date of a day count from 0001-01-01, by
// Howard Hinnant's days-to-civil algorithm.
func Civil(days int64) (year, month, day int) {
	z := days + 306 // from 0000-03-01
	era := z / 146097
	doe := z % 146097
	if doe < 0 {
		era, doe = era-1, doe+146097
	}
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = int(doy - (153*mp+2)/5 + 1)
	month = int(mp + 3)
	year = int(yoe + era*400)
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}

func (v *DateTimeOffset) SetJSON(s Scalar) error {
	if s.Kind != '"' {
		return wrongType(`a date and time such as "2026-01-31T08:00:00Z"`, s)
	}
	t, err := ParseDateTimeOffset(s.Text)
	if err == nil {
		*v = t
	}
	return err
}

// ParseDateTimeOffset reads the dateTimeOffsetValue of the OData ABNF: date,
// T, hours and minutes, optional seconds with up to 12 fraction digits (those
// past the seventh are dropped), and Z or an offset of at most 14 hours.
func ParseDateTimeOffset(s string) (DateTimeOffset, error) {
	clock, zone, ok := splitZone(s)
	if !ok {
		return DateTimeOffset{}, badTime(s, "it must end in Z or an offset such as -08:00")
	}
	whole, frac, hasFrac := strings.Cut(clock, ".")
	layout := "2006-01-02T15:04:05"
	if len(whole) == len("2006-01-02T15:04") && !hasFrac {
		layout = "2006-01-02T15:04"
	}
	// time.Parse is lenient in lengths and would take a comma for the dot.
	if len(whole) != len(layout) {
		return DateTimeOffset{}, badTime(s, "write it as 2026-01-31T08:00:00Z")
	}
	t, err := time.Parse(layout, strings.ToUpper(whole))
	if err != nil || t.Year() < 1 {
		return DateTimeOffset{}, badTime(s, reason(err))
	}
	ticks, ok := fraction(frac)
	if hasFrac && !ok {
		return DateTimeOffset{}, badTime(s, "a fraction of a second has 1 to 12 digits")
	}
	offset, err := parseOffset(zone)
	if err != nil {
		return DateTimeOffset{}, badTime(s, err.Error())
	}
	ticks += (t.Unix()+unixEpoch)*ticksPerSecond - offset*60*ticksPerSecond
	if ticks < 0 || ticks > maxTicks {
		return DateTimeOffset{}, badTime(s, "in UTC it is outside the years 1 to 9999")
	}
	return DateTimeOffset{ticks, offset}, nil
}

func badTime(s, why string) error {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return fmt.Errorf("%q is not a date and time with offset: %s", s, why)
}

func reason(err error) string {
	var pe *time.ParseError
	if errors.As(err, &pe) && strings.Contains(pe.Message, "out of range") {
		return strings.TrimPrefix(pe.Message, ": ")
	}
	return "write it as 2026-01-31T08:00:00Z"
}

// splitZone cuts the zone designator off: "Z", "z", or the six characters of an offset.
func splitZone(s string) (clock, zone string, ok bool) {
	if n := len(s); n > 0 && (s[n-1] == 'Z' || s[n-1] == 'z') {
		return s[:n-1], "", true
	}
	if n := len(s) - 6; n > 0 && (s[n] == '+' || s[n] == '-') {
		return s[:n], s[n:], true
	}
	return s, "", false
}

func parseOffset(zone string) (minutes int64, err error) {
	if zone == "" {
		return 0, nil
	}
	t, err := time.Parse("15:04", zone[1:])
	minutes = int64(t.Hour()*60 + t.Minute())
	if err != nil || len(zone) != 6 || minutes > 14*60 {
		return 0, errors.New("the offset must be between -14:00 and +14:00")
	}
	if zone[0] == '-' {
		minutes = -minutes
	}
	return minutes, nil
}

func fraction(s string) (ticks int64, ok bool) {
	if len(s) < 1 || len(s) > 12 {
		return 0, false
	}
	unit := int64(ticksPerSecond / 10)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		ticks += int64(s[i]-'0') * unit
		unit /= 10
	}
	return ticks, true
}

func (v *DateTimeOffset) AppendSQL(args []any) []any { return append(args, v.Ticks, v.Offset) }
func (v *DateTimeOffset) AppendScan(ts []any) []any {
	return append(ts, int64Column{&v.Ticks}, int64Column{&v.Offset})
}
func (v *DateTimeOffset) Scanned(bool) {}
