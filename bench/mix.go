package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// mix is the load of a register in use: what is asked, and how often in a
// hundred requests.
var mix = []struct {
	often   int
	request func(*client) []byte
}{
	{30, (*client).get},
	{25, func(c *client) []byte { return c.ask(c.t.list) }},
	{15, func(c *client) []byte {
		return c.ask(c.t.path + "?$filter=certificateRevokeStatus%20eq%20'pending'&$orderby=certificateExpirationDateTime&$top=50")
	}},
	{20, func(c *client) []byte { return c.post }},
	{10, (*client).patch},
}

// mixed is the next request of the mix.
func (c *client) mixed() []byte {
	n := rand.IntN(100)
	for _, m := range mix {
		if n -= m.often; n < 0 {
			return m.request(c)
		}
	}
	panic("the mix is not of a hundred")
}

func (c *client) ask(path string) []byte {
	c.out = append(append(c.out[:0], "GET "...), path...)
	return c.finish()
}

func (c *client) patch() []byte { return c.patchOf(c.ids[rand.IntN(len(c.ids))]) }

func (c *client) patchOf(id string) []byte {
	change := `{"certificateKeyUsages":` + strconv.Itoa(rand.IntN(1<<16)) + `}`
	c.out = fmt.Appendf(c.out[:0], "PATCH %s/%s HTTP/1.1\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		c.t.path, id, c.t.header, len(change), change)
	return c.out
}

// tally is what became of requests.
type tally struct {
	Done, Shed, Failed int
	Unsent             int             // for want of a free connection
	Times              []time.Duration // of those done, from when they were due
	Refused            []time.Duration // of those shed
	FirstFailure       string
	CPU                time.Duration // of the server's, for each done; 0: not measured
}

func (t *tally) add(o *tally) {
	t.Done, t.Shed, t.Failed, t.Unsent = t.Done+o.Done, t.Shed+o.Shed, t.Failed+o.Failed, t.Unsent+o.Unsent
	t.Times, t.Refused = append(t.Times, o.Times...), append(t.Refused, o.Refused...)
	if t.FirstFailure == "" {
		t.FirstFailure = o.FirstFailure
	}
}

// count counts the answer to a request that was due at a time and sent at
// another.
func (t *tally) count(status int, err error, due, sent time.Time) {
	switch now := time.Now(); {
	case err == nil && status < 300:
		t.Done++
		t.Times = append(t.Times, now.Sub(due))
	case err == nil && (status == 429 || status == 503):
		t.Shed++
		t.Refused = append(t.Refused, now.Sub(sent))
	default:
		t.Failed++
		if t.FirstFailure == "" {
			t.FirstFailure = fmt.Sprintf("status %d: %v", status, err)
		}
	}
}
