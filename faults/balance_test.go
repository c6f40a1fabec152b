package faults

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"certstate/store/storetest"
)

var (
	balanceTime  = flag.Duration("balance-time", 5*time.Second, "how long each run of TestBalanced takes")
	balanceEvery = flag.Duration("balance-every", 1500*time.Millisecond, "how often a server is killed in it")
)

// owners is how many clients go through a balancer.
const owners = 4

// Two and three servers are behind each balancer, and one of them is killed again and
// again: clients that repeat requests as SDKs do see no operation fail, and none
// is done twice.
func TestBalanced(t *testing.T) {
	t.Parallel()
	for _, kind := range balancers {
		for _, servers := range []int{2, 3} {
			t.Run(fmt.Sprintf("%s, %d servers", kind.name, servers), func(t *testing.T) {
				t.Parallel()
				r := newRegister(t, storetest.Postgres(t))
				b, running := r.serveBehind(t, kind, servers)
				l := newLoad(newClient(r, front{b.transport(), sdk}), []string{b.url}, 0)
				l.ownDuring(t, func() error {
					kills := 0
					for began := time.Now(); time.Since(began) < *balanceTime; kills++ {
						time.Sleep(*balanceEvery)
						if err := running[kills%servers].restart(); err != nil {
							return err
						}
					}
					t.Logf("%d kills", kills)
					return nil
				})
				l.judge(t, r)
			})
		}
	}
}

// ownDuring has owners work while something happens.
func (l *load) ownDuring(t testing.TB, happens func() error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { l.own(ctx, t, owners) })
	if err := happens(); err != nil {
		t.Error(err)
	}
	stop()
	wg.Wait()
	repeated := 0
	for _, o := range l.history.operations {
		repeated += min(o.repeats, 1)
	}
	t.Logf("%d operations, %d done, %d of them sent more than once", len(l.history.operations), l.history.count(done), repeated)
}
