package store

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
func waits(t *testing.T, l *Lane, tenant string, got func(error)) {
	t.Helper()
	before := l.Len()
	go func() { got(l.Take(t.Context(), tenant)) }()
	until(t, func() bool { return l.Len() > before })
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
	l := NewLane(1, 10)
	if err := l.Take(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	turns := make(chan string)
	for _, who := range []string{"a1", "a2", "a3", "b1", "c1", "b2"} {
		waits(t, l, who[:1], func(err error) { turns <- fmt.Sprint(who, err) })
	}
	var order []string
	for range 6 {
		l.Give()
		order = append(order, <-turns)
	}
	if want := []string{"a1<nil>", "b1<nil>", "c1<nil>", "a2<nil>", "b2<nil>", "a3<nil>"}; !slices.Equal(order, want) {
		t.Errorf("turns went to %q, want %q", order, want)
	}
	l.Give()
	if l.free != 1 || len(l.queues) != 0 || l.round.Len() != 0 {
		t.Errorf("left: %+v", l)
	}
}

// A tenant that fills the room gives way to one that has less, down to an equal
// share, and is shed itself.
func TestLaneSheds(t *testing.T) {
	l := NewLane(1, 4)
	if err := l.Take(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	shed := make(chan string, 10)
	for _, who := range []string{"a1", "a2", "a3", "a4"} {
		waits(t, l, "a", func(err error) {
			if errors.Is(err, ErrShed) {
				shed <- who
			}
		})
	}
	if err := l.Take(t.Context(), "a"); !errors.Is(err, ErrShed) || !l.Full("a") {
		t.Errorf("a fifth of the same tenant: %v", err)
	}
	for i, want := range []string{"a4", "a3"} {
		if l.Full("b") {
			t.Errorf("no room for request %d of another tenant", i+1)
		}
		go func() { _ = l.Take(t.Context(), "b") }()
		if got := <-shed; got != want {
			t.Errorf("%s was shed, want %s", got, want)
		}
	}
	if err := l.Take(t.Context(), "b"); !errors.Is(err, ErrShed) {
		t.Errorf("more than an equal share: %v", err)
	}
	for range 5 {
		l.Give()
	}
	until(t, func() bool { return l.Len() == 0 })
}

// A request whose client goes away while it waits leaves neither a place nor a
// turn behind.
func TestLaneLosesNoTurn(t *testing.T) {
	l := NewLane(2, 100)
	var wg sync.WaitGroup
	for i := range 2000 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%7)*100*time.Microsecond)
			defer cancel()
			if l.Take(ctx, fmt.Sprint(i%5)) == nil {
				time.Sleep(time.Duration(i%3) * 50 * time.Microsecond)
				l.Give()
			}
		})
	}
	wg.Wait()
	if l.free != 2 || l.waiting != 0 || len(l.queues) != 0 || l.round.Len() != 0 {
		t.Errorf("left: %+v", l)
	}
}
