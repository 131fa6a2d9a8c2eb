package peer

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// throttle bounds the bytes a second of all transfers together. Each pays for a
// chunk after it was read, in the order of asking: that is fair among transfers
// that are equally fast, and what the kernel reads ahead meanwhile is bounded by its
// socket buffers. The zero value bounds nothing.
type throttle struct {
	mu      sync.Mutex
	limiter *rate.Limiter // nil: no bound
	changed chan struct{} // closed when the limiter is replaced
}

const (
	// burstPerSecond is the part of a second's bytes that may come at once, so that
	// a timer that is late costs nothing; at least minBurst bytes.
	burstPerSecond = 8
	minBurst       = 512
)

// set replaces the bound. Who waits by the old one is woken.
func (t *throttle) set(bytesPerSecond int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
	if t.limiter = nil; bytesPerSecond > 0 {
		burst := min(max(bytesPerSecond/burstPerSecond, minBurst), 1<<30)
		t.limiter = rate.NewLimiter(rate.Limit(bytesPerSecond), int(burst))
		t.changed = make(chan struct{})
	}
}

func (t *throttle) present() (*rate.Limiter, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.limiter, t.changed
}

// chunk is how much of n bytes to read at once: all that may come at once.
func (t *throttle) chunk(n int) int {
	limiter, _ := t.present()
	if limiter == nil {
		return n
	}
	return min(n, limiter.Burst())
}

// free takes n bytes if nothing has to be waited for.
func (t *throttle) free(n int) bool {
	limiter, _ := t.present()
	return limiter == nil || limiter.AllowN(time.Now(), n)
}

// wait returns when n bytes are paid for, or with the error of ctx.
func (t *throttle) wait(ctx context.Context, n int) error {
	for n > 0 {
		limiter, changed := t.present()
		if limiter == nil {
			return nil
		}
		part := min(n, limiter.Burst()) // it may be smaller than when they were read
		paid, err := pay(ctx, limiter.ReserveN(time.Now(), part), changed)
		if err != nil {
			return err
		}
		if paid {
			n -= part
		}
	}
	return nil
}

// pay waits for a reservation. It is given back when the limit changes, or ctx ends.
func pay(ctx context.Context, r *rate.Reservation, changed <-chan struct{}) (paid bool, err error) {
	timer := time.NewTimer(r.Delay())
	defer timer.Stop()
	select {
	case <-timer.C:
		return true, nil
	case <-changed:
		r.Cancel()
		return false, nil
	case <-ctx.Done():
		r.Cancel()
		return false, ended(ctx)
	}
}
