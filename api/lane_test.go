package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// waits starts a request that wants a turn and returns once it waits.
func waits(t *testing.T, l *lane, tenant string, got func(error)) {
	t.Helper()
	before := l.len()
	go func() { got(l.take(t.Context(), tenant)) }()
	until(t, func() bool { return l.len() > before })
}

func until(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}

// Turns go to the tenants one after another, and to a tenant's requests in their
// order.
func TestLaneTakesTenantsInTurn(t *testing.T) {
	l := newLane(1, 10)
	if err := l.take(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	turns := make(chan string)
	for _, who := range []string{"a1", "a2", "a3", "b1", "c1", "b2"} {
		waits(t, l, who[:1], func(err error) { turns <- fmt.Sprint(who, err) })
	}
	var order []string
	for range 6 {
		l.give()
		order = append(order, <-turns)
	}
	if want := []string{"a1<nil>", "b1<nil>", "c1<nil>", "a2<nil>", "b2<nil>", "a3<nil>"}; !slices.Equal(order, want) {
		t.Errorf("turns went to %q, want %q", order, want)
	}
	l.give()
	if l.free != 1 || len(l.queues) != 0 || l.round.Len() != 0 {
		t.Errorf("left: %+v", l)
	}
}

// A tenant that fills the room gives way to one that has less, down to an equal
// share, and is shed itself.
func TestLaneSheds(t *testing.T) {
	l := newLane(1, 4)
	if err := l.take(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	shed := make(chan string, 10)
	for _, who := range []string{"a1", "a2", "a3", "a4"} {
		waits(t, l, "a", func(err error) {
			if errors.Is(err, errShed) {
				shed <- who
			}
		})
	}
	if err := l.take(t.Context(), "a"); !errors.Is(err, errShed) || !l.full("a") {
		t.Errorf("a fifth of the same tenant: %v", err)
	}
	for i, want := range []string{"a4", "a3"} {
		if l.full("b") {
			t.Errorf("no room for request %d of another tenant", i+1)
		}
		go func() { _ = l.take(t.Context(), "b") }()
		if got := <-shed; got != want {
			t.Errorf("%s was shed, want %s", got, want)
		}
	}
	if err := l.take(t.Context(), "b"); !errors.Is(err, errShed) {
		t.Errorf("more than an equal share: %v", err)
	}
	for range 5 {
		l.give()
	}
	until(t, func() bool { return l.len() == 0 })
}

// A request whose client goes away while it waits leaves neither a place nor a
// turn behind.
func TestLaneLosesNoTurn(t *testing.T) {
	l := newLane(2, 100)
	var wg sync.WaitGroup
	for i := range 2000 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%7)*100*time.Microsecond)
			defer cancel()
			if l.take(ctx, fmt.Sprint(i%5)) == nil {
				time.Sleep(time.Duration(i%3) * 50 * time.Microsecond)
				l.give()
			}
		})
	}
	wg.Wait()
	if l.free != 2 || l.waiting != 0 || len(l.queues) != 0 || l.round.Len() != 0 {
		t.Errorf("left: %+v", l)
	}
}
