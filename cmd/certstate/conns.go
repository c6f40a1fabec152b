package main

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"certstate/api"
)

// connLimit accepts so many connections at once. For one more it closes the one
// that has been idle for the longest. If none is idle, a few more are accepted, on
// which health is told and everything else is refused; the rest wait in the
// system's queue.
type connLimit struct {
	net.Listener
	usual     chan struct{} // an entry for each connection
	extra     chan struct{} // and for each of the few more
	mu        sync.Mutex
	idle      list.List // of *limitedConn, the one that became idle first first
	leastIdle time.Duration
}

// extraConns is how many are accepted for health, and to refuse.
const extraConns = 64

// defaultConns is how many connections there may be, unless the settings say
// otherwise: each takes some 40 KiB.
func defaultConns() int { return max(2048*runtime.GOMAXPROCS(0), 4096) }

func limitConns(l net.Listener, most int) *connLimit {
	return &connLimit{Listener: l, usual: make(chan struct{}, most), extra: make(chan struct{}, extraConns), leastIdle: time.Second}
}

// limitedConn is an accepted connection.
type limitedConn struct {
	net.Conn
	place chan struct{} // usual or extra, where it has an entry
	gone  sync.Once
	idle  *list.Element // nil unless it is idle
	since time.Time     // it is idle
}

// Accept waits for a place, then for a connection.
func (l *connLimit) Accept() (net.Conn, error) {
	var place chan struct{}
	select {
	case l.usual <- struct{}{}:
		place = l.usual
	default:
		select {
		case l.usual <- struct{}{}:
			place = l.usual
		case l.extra <- struct{}{}:
			place = l.extra
		}
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-place
		return nil, err
	}
	if place == l.extra && l.makeRoom() {
		<-l.extra
		place = l.usual
	}
	return &limitedConn{Conn: c, place: place}, nil
}

// makeRoom takes a usual place, if there is one or that of an idle connection can
// be had.
func (l *connLimit) makeRoom() bool {
	for range 2 {
		select {
		case l.usual <- struct{}{}:
			return true
		default:
			l.closeIdle()
		}
	}
	return false
}

// closeIdle closes the connection that has been idle for the longest, if that is
// long enough for its client to have no more to say for now.
func (l *connLimit) closeIdle() {
	l.mu.Lock()
	first := l.idle.Front()
	if first != nil && time.Since(first.Value.(*limitedConn).since) < l.leastIdle {
		first = nil
	}
	if first != nil {
		l.idle.Remove(first).(*limitedConn).idle = nil
	}
	l.mu.Unlock()
	if first != nil {
		_ = first.Value.(*limitedConn).Close() // nobody waits on it
	}
}

// Close closes the connection and gives its place back.
func (c *limitedConn) Close() error {
	c.gone.Do(func() { <-c.place })
	return c.Conn.Close()
}

// limited is the accepted connection below a server's.
func limited(c net.Conn) *limitedConn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return c.(*limitedConn)
}

// track is the server's ConnState.
func (l *connLimit) track(conn net.Conn, state http.ConnState) {
	c := limited(conn)
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.idle != nil {
		l.idle.Remove(c.idle)
		c.idle = nil
	}
	if state == http.StateIdle {
		c.idle, c.since = l.idle.PushBack(c), time.Now()
	}
}

// mark is the server's ConnContext.
func (l *connLimit) mark(ctx context.Context, conn net.Conn) context.Context {
	if limited(conn).place == l.extra {
		return api.OverCapacity(ctx)
	}
	return ctx
}
