package syncer

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/recoverd/recoverd/recovery"
)

// Retry says how long a cancelled blob waits (I11). The zero value is ready. Its
// method may be called from many goroutines if Random may.
type Retry struct {
	// Random returns numbers in [0, 1); nil means math/rand/v2.
	Random func() float64
}

// retryJitter is the part of a delay that chance adds or takes away.
const retryJitter = 0.25

// Delay returns how long to wait after attempt earlier tries: 1 s after none,
// doubling, 30 s from the fifth on, a quarter more or less by chance. It stays
// within recovery.RetryMin and RetryMax because the jitter is drawn inside of
// them: nothing piles up at the limits, as it would if it were cut off there.
func (r *Retry) Delay(attempt uint32) time.Duration {
	interval := float64(retryInterval(attempt))
	low := max(interval*(1-retryJitter), float64(recovery.RetryMin))
	high := min(interval*(1+retryJitter), float64(recovery.RetryMax))
	random := rand.Float64
	if r.Random != nil {
		random = r.Random
	}
	delay := time.Duration(low + random()*(high-low))
	return min(max(delay, recovery.RetryMin), recovery.RetryMax)
}

// retryInterval is the delay before jitter. backoff counts by being called, caps
// only the interval, draws its own random numbers and by default gives up after
// 15 minutes: so a fresh one without jitter or end is asked attempt times.
func retryInterval(attempt uint32) time.Duration {
	b := backoff.ExponentialBackOff{
		InitialInterval: recovery.RetryMin,
		Multiplier:      2,
		MaxInterval:     recovery.RetryMax,
		MaxElapsedTime:  0,
		Stop:            backoff.Stop,
		Clock:           backoff.SystemClock,
	}
	b.Reset()
	interval := b.NextBackOff()
	for n := uint32(0); n < attempt && interval < recovery.RetryMax; n++ {
		interval = b.NextBackOff()
	}
	return interval
}
