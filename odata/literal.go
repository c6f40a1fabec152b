package odata

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"certstate/edm"
)

// The forms of literals that begin with a digit or a sign (OData ABNF
// §7, primitive literals). Dates are looked at before numbers, since they begin
// alike.
var (
	dateTimeForm  = regexp.MustCompile(`^-?\d{4,}-\d\d-\d\d[Tt]`)
	dateForm      = regexp.MustCompile(`^-?\d{4,}-\d\d-\d\d$`)
	timeForm      = regexp.MustCompile(`^\d\d:\d\d(:\d\d(\.\d{1,12})?)?$`)
	integerForm   = regexp.MustCompile(`^[+-]?\d+$`)
	numberForm    = regexp.MustCompile(`^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$`)
	guidForm      = regexp.MustCompile(`^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`)
	durationForm  = regexp.MustCompile(`^([+-])?P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,12}))?S)?)?$`)
	oldSuffixForm = regexp.MustCompile(`^[+-]?\d+(\.\d+)?[lLmMdDfF]$`)
)

// maxDigits is how many significant digits of a decimal a double keeps apart.
const maxDigits = 15

// errForm is wrapped by the errors of text that has the form of no literal.
// Other errors are about values out of range.
var errForm = errors.New("is no literal: a number, a date and time such as 2026-01-31T08:00:00Z, or text in single quotes")

// parseNumeric reads a literal that begins with a digit or a sign.
func parseNumeric(text string) (Value, error) {
	switch {
	case guidForm.MatchString(text):
		return Value{Type: GUIDType, S: strings.ToLower(text)}, nil
	case dateTimeForm.MatchString(text):
		// A + that was not percent-encoded arrives as a space.
		t, err := edm.ParseDateTimeOffset(strings.Replace(text, " ", "+", 1))
		return timeValue(t), err
	case dateForm.MatchString(text):
		return parseDate(text)
	case timeForm.MatchString(text):
		t, err := edm.ParseDateTimeOffset("0001-01-01T" + text + "Z")
		if err != nil {
			err = fmt.Errorf("%q is not a time of day", text)
		}
		return tickValue(TimeType, t.Ticks), err
	case integerForm.MatchString(text):
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			err = fmt.Errorf("%s does not fit Edm.Int64", text)
		}
		return intValue(n), err
	case numberForm.MatchString(text):
		return parseDouble(text)
	case oldSuffixForm.MatchString(text):
		return Value{}, fmt.Errorf("%s has a suffix of OData 2: write it without", text)
	}
	return Value{}, fmt.Errorf("%q %w", clip(text), errForm)
}

func parseDate(text string) (Value, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil || t.Year() < 1 {
		return Value{}, fmt.Errorf("%q is not a date of the years 1 to 9999", text)
	}
	return Value{Type: DateType, N: edm.Time(t).Ticks / TicksPerDay}, nil
}

func parseDouble(text string) (Value, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return Value{}, fmt.Errorf("%s does not fit Edm.Double", text)
	}
	mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
	digits := strings.Trim(strings.NewReplacer(".", "", "+", "", "-", "").Replace(mantissa), "0")
	if len(digits) > maxDigits {
		return Value{}, fmt.Errorf("%s has more than %d significant digits, which cannot be compared exactly", text, maxDigits)
	}
	return doubleValue(f), nil
}

// parseDuration reads the dayTimeDuration of XML Schema Part 2 §3.4.27, as the
// OData ABNF has it.
func parseDuration(text string) (Value, error) {
	m := durationForm.FindStringSubmatch(strings.ToUpper(text))
	if m == nil || strings.HasSuffix(strings.ToUpper(text), "T") || len(strings.TrimLeft(text, "+-")) < 3 {
		return Value{}, fmt.Errorf("%q is not a duration such as P30D or PT8H30M", clip(text))
	}
	var ticks int64
	for i, unit := range []int64{TicksPerDay, ticksPerHour, ticksPerMinute, ticksPerSecond} {
		if m[2+i] == "" {
			continue
		}
		n, err := strconv.ParseInt(m[2+i], 10, 64)
		if err != nil || n > (maxTicks-ticks)/unit {
			return Value{}, fmt.Errorf("%s is longer than 9,999 years", clip(text))
		}
		ticks += n * unit
	}
	if frac := m[6]; frac != "" {
		n, _ := strconv.ParseInt((frac + "0000000")[:7], 10, 64)
		ticks += n
	}
	if m[1] == "-" {
		ticks = -ticks
	}
	return tickValue(DurationType, ticks), nil
}

// formatDuration is the duration in the shortest form that is read back.
func formatDuration(ticks int64) string {
	var b strings.Builder
	if ticks < 0 {
		b.WriteByte('-')
		ticks = -ticks
	}
	b.WriteByte('P')
	if days := ticks / TicksPerDay; days > 0 {
		fmt.Fprintf(&b, "%dD", days)
	}
	if rest := ticks % TicksPerDay; rest != 0 || ticks == 0 {
		b.WriteByte('T')
		if h := rest / ticksPerHour; h > 0 {
			fmt.Fprintf(&b, "%dH", h)
		}
		if m := rest / ticksPerMinute % 60; m > 0 {
			fmt.Fprintf(&b, "%dM", m)
		}
		s, frac := rest/ticksPerSecond%60, rest%ticksPerSecond
		switch {
		case frac != 0:
			fmt.Fprintf(&b, "%d.%sS", s, strings.TrimRight(fmt.Sprintf("%07d", frac), "0"))
		case s > 0 || ticks == 0:
			fmt.Fprintf(&b, "%dS", s)
		}
	}
	return b.String()
}

// parseMember reads a value of an enumeration, by name or number.
func parseMember(t Type, text string) (Value, error) {
	n, err := enums[t].Parse(text)
	return tickValue(t, n), err
}
