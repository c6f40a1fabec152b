package certificate

import (
	"fmt"

	"certstate"
)

// Limit is a bound on what Parse accepts.
type Limit struct {
	Name   string // for people
	Max    int
	Unit   string
	Reason string
}

// The limits. A certificate beyond one of the first five is refused; lists beyond
// the last two are cut, with [ListCut] noted.
var (
	LimitSize       = Limit{"certificate", 64 << 10, "octets", "the largest in use, with post-quantum signatures, are near 32 KiB"}
	LimitSerial     = Limit{"serial number", 64, "octets", "RFC 5280 §4.1.2.2 allows 20; longer ones exist, none three times as long"}
	LimitName       = Limit{"name", 4 << 10, "octets", "so that its text, at most four characters an octet, stays a name"}
	LimitExtensions = Limit{"list of extensions", 64, "extensions", "public ones have 10; each is looked at"}
	LimitRSA        = Limit{"RSA modulus", 16_384, "bits", "no device makes or verifies longer ones (CVE-2023-29409)"}
	LimitNames      = Limit{"list of alternative names", 1_000, "names", "as many as public authorities sign"}
	LimitText       = Limit{"text of a list", certstate.MaxStringLength, "characters", "what one property of a record holds"}
)

// Limits lists them.
var Limits = []*Limit{&LimitSize, &LimitSerial, &LimitName, &LimitExtensions, &LimitRSA, &LimitNames, &LimitText}

// LimitError says which limit a certificate is beyond.
type LimitError struct {
	*Limit
	Got int // in the limit's unit
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the %s is beyond the limit: %d %s, at most %d are read", e.Name, e.Got, e.Unit, e.Max)
}

func (l *Limit) check(got int) error {
	if got > l.Max {
		return &LimitError{l, got}
	}
	return nil
}
