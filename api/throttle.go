package api

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"certstate"
)

// Limit is how many requests may come in a [ThrottleWindow]; 0 is any number.
type Limit struct{ Any, Writes int }

// Throttle is how many requests of one tenant, and of one application of one
// tenant, are answered.
type Throttle struct{ Tenant, App Limit }

// ThrottleWindow is the time that limits are counted over, as Graph does.
const ThrottleWindow = 20 * time.Second

// GraphThrottle is what Graph publishes for this resource (Intune's device
// configuration group).
var GraphThrottle = Throttle{Tenant: Limit{2000, 200}, App: Limit{1000, 100}}

// ParseThrottle reads "off", "graph", or "tenant=ANY/WRITES,app=ANY/WRITES".
func ParseThrottle(text string) (t Throttle, err error) {
	switch text {
	case "", "off":
		return t, nil
	case "graph":
		return GraphThrottle, nil
	}
	for item := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(item, "=")
		to := map[string]*Limit{"tenant": &t.Tenant, "app": &t.App}[name]
		all, writes, ok := strings.Cut(value, "/")
		n, err1 := strconv.Atoi(all)
		m, err2 := strconv.Atoi(writes)
		if to == nil || !ok || err1 != nil || err2 != nil || n < 0 || m < 0 {
			return t, fmt.Errorf("%q is not off, graph, or tenant=ANY/WRITES,app=ANY/WRITES in %s", text, ThrottleWindow)
		}
		*to = Limit{n, m}
	}
	return t, nil
}

// throttle counts requests in windows that begin together for all.
type throttle struct {
	Throttle
	mu     sync.Mutex
	begin  time.Time
	counts map[string]*Limit // by tenant, and by tenant and application
}

// admit counts a request, or reports how long to wait before the next may come.
func (t *throttle) admit(tenant, app string, write bool, now time.Time) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.begin) >= ThrottleWindow || now.Before(t.begin) {
		t.begin, t.counts = now.Truncate(ThrottleWindow), map[string]*Limit{}
	}
	ofTenant, ofApp := t.count(tenant), t.count(tenant+" "+app)
	if t.Tenant.reached(ofTenant, write) || t.App.reached(ofApp, write) {
		return t.begin.Add(ThrottleWindow).Sub(now)
	}
	for _, c := range []*Limit{ofTenant, ofApp} {
		c.Any++
		if write {
			c.Writes++
		}
	}
	return 0
}

func (t *throttle) count(key string) *Limit {
	c := t.counts[key]
	if c == nil {
		c = &Limit{}
		t.counts[key] = c
	}
	return c
}

func (l Limit) reached(c *Limit, write bool) bool {
	return l.Any > 0 && c.Any >= l.Any || write && l.Writes > 0 && c.Writes >= l.Writes
}

// throttled refuses the request if its tenant or application has sent too many.
// A batch is not counted: its requests are, one by one.
func (x *exchange) throttled() error {
	if x.principal == nil || x.route.pattern == batch || x.s.throttle.Throttle == (Throttle{}) {
		return nil
	}
	write := x.route.method != http.MethodGet
	wait := x.s.throttle.admit(x.principal.Tenant, x.principal.App, write, x.s.now())
	if wait <= 0 {
		return nil
	}
	x.w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	return certstate.Errorf(certstate.TooMany, "", "Too many requests. Try again when Retry-After says.")
}
