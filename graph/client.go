package graph

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client asks a service that has Graph's ways.
type Client struct {
	HTTP *http.Client
	// Token is the bearer token to send; fresh asks for another than the last, which
	// the service has refused.
	Token    func(ctx context.Context, fresh bool) (string, error)
	Patience time.Duration // how long to ask again for an answer; 0: DefaultPatience
	Pause    time.Duration // after the first failure; 0: half a second
	Tell     func(string)  // why it is waiting; may be nil
}

// Bounds on an answer and on the waits for one.
const (
	DefaultPatience = 15 * time.Minute
	maxAnswer       = 128 << 20       // bytes: a page of certificates of 64 KiB each
	answerTime      = 2 * time.Minute // for one answer, with its body
	firstPause      = 500 * time.Millisecond
	longestPause    = 30 * time.Second
	badAnswers      = 3 // that cannot be read, or tokens that cannot be had, before it is given up
)

// StatusError is an answer that asking again does not change.
type StatusError struct {
	Status int
	Text   string // what the service says
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
	if e.Text != "" {
		s += ": " + e.Text
	}
	if cure := cures[e.Status]; cure != "" {
		s += ": " + cure
	}
	return s
}

// cures are what a person can do about a status.
var cures = map[int]string{
	http.StatusUnauthorized: "the token is not accepted: is it for this service (--scope), and of its tenant?",
	http.StatusForbidden:    "the application needs DeviceManagementConfiguration.Read.All, with an administrator's consent",
	http.StatusNotFound:     "give the URL of the service, such as https://graph.microsoft.com, or of the list itself",
}

// passing is a fault that may be gone when it is asked again.
type passing struct {
	error
	after time.Duration // as the service says; 0: it does not
	bad   bool          // it is more likely to last
}

func (p *passing) Unwrap() error { return p.error }

// get reads an answer, and has take read it, whose fault makes it ask again a few
// times. The error is a *StatusError, or says for how long there was no answer.
func (c *Client) get(ctx context.Context, link string, header http.Header, take func([]byte) error) error {
	patience, first := cmp.Or(c.Patience, DefaultPatience), cmp.Or(c.Pause, firstPause)
	fresh, bad := false, 0
	for began, try := time.Now(), 1; ; try++ {
		err := c.try(ctx, link, header, fresh, take)
		refused, isStatus := errors.AsType[*StatusError](err)
		if isStatus && refused.Status == http.StatusUnauthorized && !fresh {
			fresh = true
			continue
		}
		again, ok := errors.AsType[*passing](err)
		if !ok || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if again.bad {
			bad++
		}
		pause := again.pause(first, try)
		if time.Since(began)+pause > patience || bad >= badAnswers {
			return fmt.Errorf("asked %d times in %s: %w", try, time.Since(began).Round(time.Second), err)
		}
		if c.Tell != nil {
			c.Tell(fmt.Sprintf("%v: asking again in %s", err, pause.Round(100*time.Millisecond)))
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// pause is how long to wait after so many tries: what the service says and up to a
// tenth more, else between half and all of ever longer pauses.
func (p *passing) pause(first time.Duration, try int) time.Duration {
	if p.after > 0 {
		return p.after + rand.N(p.after/10+time.Millisecond)
	}
	longest := min(first<<min(try-1, 16), longestPause)
	return longest/2 + rand.N(longest/2)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) try(ctx context.Context, link string, header http.Header, fresh bool, take func([]byte) error) error {
	ctx, stop := context.WithTimeout(ctx, answerTime) // for HTTP may have none
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return err
	}
	token, err := c.Token(ctx, fresh)
	if err != nil {
		return &passing{error: fmt.Errorf("the token: %w", err), bad: true}
	}
	req.Header = header.Clone()
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("User-Agent", "certstate")
	res, err := c.HTTP.Do(req)
	if err != nil {
		return &passing{error: withoutURL(err)}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case res.StatusCode != http.StatusOK:
		return statusError(res, body)
	case err != nil:
		return &passing{error: fmt.Errorf("the answer was cut: %w", err)}
	case len(body) > maxAnswer:
		return fmt.Errorf("the answer is longer than %d bytes: ask for smaller pages (--page-size)", maxAnswer)
	}
	if err := take(body); err != nil {
		return &passing{error: fmt.Errorf("the answer (%s) cannot be read: %w", res.Header.Get("Content-Type"), err), bad: true}
	}
	return nil
}

// withoutURL takes the address from an error of the HTTP client, for it is long and
// has the position in it.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// passes are the statuses that may be others a moment later.
var passes = map[int]bool{
	http.StatusRequestTimeout: true, http.StatusTooManyRequests: true, http.StatusInternalServerError: true,
	http.StatusBadGateway: true, http.StatusServiceUnavailable: true, http.StatusGatewayTimeout: true,
}

func statusError(res *http.Response, body []byte) error {
	err := &StatusError{res.StatusCode, messageOf(body)}
	if !passes[res.StatusCode] {
		return err
	}
	return &passing{error: err, after: retryAfter(res.Header.Get("Retry-After"), time.Now())}
}

// retryAfter is how long a service asks to wait (RFC 9110 §10.2.3): in seconds, of
// which Graph has also sent fractions, or until a date. 0: it says nothing that can
// be read.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil && n > 0 && n < 1e6 {
		return time.Duration(n * float64(time.Second))
	}
	if t, err := http.ParseTime(text); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}

// messageOf is the message of an error in Graph's shape. Intune's own is JSON within
// it, whose Message is for people.
func messageOf(body []byte) string {
	var e struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	var inner struct{ Message string }
	if json.Unmarshal([]byte(e.Error.Message), &inner) == nil && inner.Message != "" {
		e.Error.Message = inner.Message
	}
	if e.Error.Message == "" {
		return e.Error.Code
	}
	return strings.TrimSuffix(e.Error.Message, ".")
}
