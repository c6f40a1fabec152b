package certstate

import (
	"errors"
	"fmt"
)

// Code says what kind of failure an [Error] is. The api room has the one table
// that turns codes into HTTP statuses and Graph's error codes.
type Code int

const (
	Internal        Code = iota // a fault of ours; the client learns nothing more
	Invalid                     // the request cannot be understood or carried out as written
	Unauthenticated             // no valid token
	Forbidden                   // a valid token without the right
	NotFound                    // no such record in this tenant
	NotAllowed                  // the resource has no such operation
	NotAcceptable               // no representation the client accepts
	Unimplemented               // the request asks for a way of carrying it out that there is not
	Gone                        // what a link points at is no longer kept
	Expired                     // it was there for a time, which is over
	Conflict                    // the id is taken
	Precondition                // If-Match names another version
	Unsatisfiable               // the range is none that can be had or taken
	TooLarge                    // the request is over a limit
	Unsupported                 // the body's media type or encoding
	TooMany                     // over what the tenant or application may ask for; try again later
	Unavailable                 // try again later
	Full                        // no room to store it
	Dependency                  // a request of the batch that this one depends on has failed
)

// Error is a failure whose message the client may read.
type Error struct {
	Code    Code
	Target  string // the property, option or segment at fault, or ""
	Message string // a sentence that says what is wrong and what would be right
}

func (e *Error) Error() string { return e.Message }

// Errorf makes an Error.
func Errorf(code Code, target, format string, args ...any) error {
	return &Error{code, target, fmt.Sprintf(format, args...)}
}

// ErrorCode is the code of the Error in err's chain, or Internal.
func ErrorCode(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
