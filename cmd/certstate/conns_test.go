package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// overKey marks the requests of a test on connections that are one too many.
type overKey struct{}

// Idle connections make room for new ones. If there are none, one more connection
// is marked, until a usual one ends.
func TestConnectionsAreLimited(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	limit := limitConns(l, 2)
	limit.leastIdle = 0
	held := make(chan struct{})
	idle := make(chan net.Conn, 100)
	srv := &http.Server{
		ReadHeaderTimeout: time.Minute,
		ConnState: func(c net.Conn, state http.ConnState) {
			limit.track(c, state)
			if state == http.StateIdle {
				idle <- c
			}
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, overKey{}, limit.mark(ctx, c) != ctx)
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if over, _ := r.Context().Value(overKey{}).(bool); over {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			if r.URL.Path == "/hold" {
				_, _ = io.WriteString(w, "held")
				_ = http.NewResponseController(w).Flush()
				<-held
			}
		}),
	}
	go srv.Serve(limit) // ends with Close
	defer srv.Close()

	first, second := connect(t, l), connect(t, l)
	for _, c := range []*testConn{first, second} {
		c.get(t, "/", http.StatusOK)
		<-idle // the server has noticed
	}
	third := connect(t, l) // the first, idle for the longest, makes room
	third.get(t, "/", http.StatusOK)
	first.gone(t)
	second.get(t, "/hold", http.StatusOK)
	third.get(t, "/hold", http.StatusOK)
	fourth := connect(t, l) // nobody is idle
	fourth.get(t, "/", http.StatusServiceUnavailable)
	close(held)
	second.end(t)
	third.end(t)
	for deadline := time.Now().Add(20 * time.Second); connect(t, l).status(t, "/") != http.StatusOK; { // once the server has noticed
		if time.Now().After(deadline) {
			t.Fatal("no place became free")
		}
	}
}

// testConn is a connection of a client.
type testConn struct {
	net.Conn
	in *bufio.Reader
}

func connect(t *testing.T, l net.Listener) *testConn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err == nil {
		err = c.SetDeadline(time.Now().Add(20 * time.Second))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &testConn{c, bufio.NewReader(c)}
}

// get sends a request, and checks its answer's status.
func (c *testConn) get(t *testing.T, path string, want int) {
	t.Helper()
	if got := c.status(t, path); got != want {
		t.Fatalf("%s: %d, want %d", path, got, want)
	}
}

// status sends a request, and reads the answer up to the body of one that is held.
func (c *testConn) status(t *testing.T, path string) int {
	t.Helper()
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode
}

// gone waits until the server has closed the connection.
func (c *testConn) gone(t *testing.T) {
	t.Helper()
	if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 {
		t.Fatalf("not closed: %q, %v", rest, err)
	}
}

// end reads to the end of an answer that was held, and closes.
func (c *testConn) end(t *testing.T) {
	t.Helper()
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "0\r\n" { // the last chunk
			break
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}
