package faults

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// link is a network between a server and its database, on which things go wrong. It is
// written here since github.com/Shopify/toxiproxy speaks to no socket of a file system's,
// and would bring fourteen modules.
type link struct {
	database string // the URL of the database through it
	network  string
	address  string

	cutting atomic.Bool // the client's end of the next connection on which a commit passes goes

	mu      sync.Mutex
	ends    map[net.Conn]bool
	weather weather
	change  chan struct{} // closed when the weather changes
}

// weather is how a link carries bytes.
type weather struct {
	delay  time.Duration // each way
	slice  int           // at most so many bytes at once, 0 for any number
	silent bool          // nothing arrives any more; connections stay
}

func newLink(t testing.TB, database string) *link {
	t.Helper()
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: listener.Addr().String(), Path: config.Database, RawQuery: "sslmode=disable"}
	l := &link{database: u.String(), network: "tcp", address: net.JoinHostPort(config.Host, fmt.Sprint(config.Port)), ends: map[net.Conn]bool{}, change: make(chan struct{})}
	if strings.HasPrefix(config.Host, "/") {
		l.network, l.address = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", config.Host, config.Port)
	}
	t.Cleanup(func() {
		_ = listener.Close()
		l.reset()
	})
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go l.join(client)
		}
	}()
	return l
}

// join carries what a connection's two ends say.
func (l *link) join(client net.Conn) {
	server, err := net.Dial(l.network, l.address)
	if err != nil {
		_ = client.Close()
		return
	}
	l.mu.Lock()
	l.ends[client], l.ends[server] = true, true
	l.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { l.carry(client, server) })
	wg.Go(func() { l.carry(server, client) })
	wg.Wait()
	l.mu.Lock()
	delete(l.ends, client)
	delete(l.ends, server)
	l.mu.Unlock()
}

func (l *link) carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		for rest := buffer[:n]; len(rest) > 0; {
			some := rest[:l.wait(len(rest))]
			if bytes.Contains(some, []byte("COMMIT\x00")) && l.cutting.CompareAndSwap(true, false) {
				_ = from.Close()
			}
			if _, err := to.Write(some); err != nil {
				return
			}
			rest = rest[len(some):]
		}
	}
}

// wait returns when bytes may go on, and how many.
func (l *link) wait(n int) int {
	for {
		l.mu.Lock()
		w, change := l.weather, l.change
		l.mu.Unlock()
		if w.silent {
			<-change
			continue
		}
		time.Sleep(w.delay)
		if w.slice > 0 {
			n = min(n, w.slice)
		}
		return n
	}
}

// turn changes the weather.
func (l *link) turn(w weather) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.weather = w
	close(l.change)
	l.change = make(chan struct{})
}

// reset breaks all connections, as a machine does that knows nothing of them.
func (l *link) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for end := range l.ends {
		if tcp, ok := end.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = end.Close()
	}
	if l.weather.silent {
		l.weather = weather{}
		close(l.change)
		l.change = make(chan struct{})
	}
}
