package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// workload is a row of the table of what is measured.
type workload struct {
	name    string
	clients int
	// do sends one request and checks its answer.
	do func(*client) error
}

var workloads = []workload{
	{"durable creates, 1 client", 1, (*client).create},
	{"durable creates, 32 clients", 32, (*client).create},
	{"gets, 32 clients", 32, (*client).read},
	{"pages of 100, 8 clients", 8, (*client).turn},
}

// measurement is one turn of one server at one workload.
type measurement struct {
	rate     float64 // requests a second
	p50, p99 time.Duration
	cpu      time.Duration // of the server's, a request
}

// client is one keep-alive connection. It writes requests made beforehand and
// looks at no more of an answer than it must, so as to leave the processor to
// the server.
type client struct {
	t    *target
	ids  []string
	conn net.Conn
	post []byte // the create request, whole
	page []byte // path of the next page, nil for the first
	out  []byte // request, reused
	in   []byte // answer, reused
	// closed: the server closes the connection after the last answer.
	closed bool
}

// dial connects a client that has until the time is up.
func dial(t *target, ids []string, limit time.Duration) (*client, error) {
	conn, err := net.Dial("tcp", t.addr)
	if err != nil {
		return nil, err
	}
	b := body()
	post := append([]byte("POST "+t.path+" HTTP/1.1\r\n"+t.header+"Content-Type: application/json\r\nContent-Length: "+
		strconv.Itoa(len(b))+"\r\n\r\n"), b...)
	return &client{t: t, ids: ids, conn: conn, post: post, in: make([]byte, 0, 32<<10)}, conn.SetDeadline(time.Now().Add(limit))
}

func (c *client) create() error {
	_, err := c.do(c.post, http.StatusCreated)
	return err
}

func (c *client) read() error {
	_, err := c.do(c.get(), http.StatusOK)
	return err
}

// turn reads the next page, or the first after the last.
func (c *client) turn() error {
	if c.page == nil {
		c.page = []byte(c.t.list)
	}
	c.out = append(append(c.out[:0], "GET "...), c.page...)
	answer, err := c.do(c.finish(), http.StatusOK)
	if err == nil {
		c.page = c.t.next(answer)
	}
	return err
}

// get is the request for a record at random.
func (c *client) get() []byte {
	c.out = append(append(append(c.out[:0], "GET "...), c.t.path...), '/')
	c.out = append(c.out, c.ids[rand.IntN(len(c.ids))]...)
	return c.finish()
}

func (c *client) finish() []byte {
	c.out = append(append(c.out, " HTTP/1.1\r\n"...), c.t.header...)
	c.out = append(c.out, "\r\n"...)
	return c.out
}

// do sends a request and returns the body of the answer, which is reused. Any
// status but want is an error.
func (c *client) do(request []byte, want int) ([]byte, error) {
	status, answer, err := c.exchange(request)
	if err == nil && status != want {
		err = fmt.Errorf("answered %d instead of %d: %.500s", status, want, answer)
	}
	return answer, err
}

// exchange sends a request and returns the answer's status and its body, which is
// reused.
func (c *client) exchange(request []byte) (status int, answer []byte, err error) {
	if _, err := c.conn.Write(request); err != nil {
		return 0, nil, err
	}
	c.in = c.in[:0]
	head, total := -1, 0
	for head < 0 || len(c.in) < total {
		if len(c.in) == cap(c.in) {
			c.in = slices.Grow(c.in, 1)
		}
		n, err := c.conn.Read(c.in[len(c.in):cap(c.in)])
		if err != nil {
			return 0, nil, err
		}
		c.in = c.in[:len(c.in)+n]
		if head >= 0 {
			continue
		}
		if head = bytes.Index(c.in, []byte("\r\n\r\n")); head >= 0 {
			length, err := contentLength(c.in[:head+2])
			if err != nil {
				return 0, nil, err
			}
			total = head + 4 + length
			c.closed = bytes.Contains(c.in[:head+2], []byte("\r\nConnection: close\r\n"))
		}
	}
	status, err = strconv.Atoi(string(c.in[len("HTTP/1.1 "):min(12, len(c.in))]))
	return status, c.in[head+4 : total], err
}

// contentLength reads the one field of a header that the client needs, in the
// spelling of net/http.
func contentLength(header []byte) (int, error) {
	_, rest, ok := bytes.Cut(header, []byte("\r\nContent-Length: "))
	if !ok {
		return 0, fmt.Errorf("an answer without Content-Length: %.500s", header)
	}
	digits, _, _ := bytes.Cut(rest, []byte("\r\n"))
	return strconv.Atoi(string(digits))
}

// measure has the workload's clients ask for a while, after a tenth of that
// time which does not count.
func measure(ctx context.Context, t *target, w *workload, ids []string, length time.Duration) (m measurement, err error) {
	clients := make([]*client, w.clients)
	for i := range clients {
		if clients[i], err = dial(t, ids, 2*length+30*time.Second); err != nil {
			return m, err
		}
		defer clients[i].conn.Close() // it has its answers
	}
	if _, _, err := ask(ctx, w, clients, length/10); err != nil {
		return m, err
	}
	before := t.cpu()
	times, took, err := ask(ctx, w, clients, length)
	if err != nil {
		return m, err
	}
	if len(times) == 0 {
		return m, errors.New("no request was answered in time")
	}
	slices.Sort(times)
	n := len(times)
	return measurement{
		rate: float64(n) / took.Seconds(),
		p50:  times[n/2],
		p99:  times[n*99/100],
		cpu:  (t.cpu() - before) / time.Duration(n),
	}, nil
}

// ask has every client ask for the time given, and returns how long each
// request took and all of them together.
func ask(ctx context.Context, w *workload, clients []*client, length time.Duration) (times []time.Duration, took time.Duration, err error) {
	type share struct {
		times []time.Duration
		err   error
	}
	shares := make(chan share, len(clients))
	started := time.Now()
	for _, c := range clients {
		go func() {
			s := share{times: make([]time.Duration, 0, 1<<16)}
			for now := started; now.Sub(started) < length && s.err == nil; {
				s.err = errors.Join(ctx.Err(), w.do(c))
				end := time.Now()
				s.times = append(s.times, end.Sub(now))
				now = end
			}
			shares <- s
		}()
	}
	for range clients {
		s := <-shares
		times = append(times, s.times...)
		err = errors.Join(err, s.err)
	}
	return times, time.Since(started), err
}
