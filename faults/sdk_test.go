package faults

import (
	"net/http"
	"strconv"
	"time"
)

// sdk sends requests as the retry handler of Microsoft's SDKs does
// (kiota-http-go's retry_handler.go, and alike in other languages): after 429,
// 503 and 504 it asks again, at most three times, when Retry-After says. After a
// broken connection it does not.
func sdk(r *request) (*answer, error) {
	a, err := r.send(nil)
	for try := 1; err == nil && try <= sdkRetries && sdkRepeats[a.status]; try++ {
		time.Sleep(sdkDelay(a.header.Get("Retry-After"), try))
		a, err = r.send(func(req *http.Request) { req.Header.Set(retryAttempt, strconv.Itoa(try)) })
		if err == nil {
			a.header.Set(retryAttempt, strconv.Itoa(try)) // for the test alone
		}
	}
	return a, err
}

const (
	sdkRetries   = 3
	retryAttempt = "Retry-Attempt"
)

var sdkRepeats = map[int]bool{http.StatusTooManyRequests: true, http.StatusServiceUnavailable: true, http.StatusGatewayTimeout: true}

// sdkDelay is how long the SDK waits: what it is told, or three seconds, twice as
// long each time.
func sdkDelay(retryAfter string, try int) time.Duration {
	if seconds, err := strconv.Atoi(retryAfter); err == nil {
		return time.Duration(seconds) * time.Second
	}
	return 3 * time.Second << (try - 1)
}
