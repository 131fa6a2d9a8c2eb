package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/recoverd/recoverd/recovery"
)

// Limits are what an operator may change while the worker runs.
type Limits struct {
	// Concurrency is the number of blobs in flight, retries included; 1 to 4,096. With
	// Auto it is the present one, and when set, the one to begin with.
	Concurrency int `json:"concurrency"`
	// Auto: the concurrency governs itself, by what it yields (Governor), between
	// ConcurrencyMin and ConcurrencyMax; that is 1 to 4,096. What a kill may cost is
	// bounded by ConcurrencyMax then (I10).
	Auto           bool `json:"auto"`
	ConcurrencyMax int  `json:"concurrency_max"`
	// BytesInFlight bounds their sizes, in bytes; 1 to 2^40. A larger blob goes
	// alone.
	BytesInFlight int64 `json:"bytes_in_flight"`
	// BytesPerSecond bounds what all transfers together fetch; 0 is no limit, and
	// otherwise 1,024 to 2^40.
	BytesPerSecond int64 `json:"bytes_per_second"`
}

// The ranges of Limits.
const (
	MaxConcurrency    = 4_096
	autoLeast         = 4
	minBytesPerSecond = 1 << 10
	maxBytes          = 1 << 40
)

// DefaultConcurrencyMax is the ceiling of Auto where none is given. A blob in flight
// costs two descriptors (a connection, a draft) and about 200 KiB besides its bytes.
const DefaultConcurrencyMax = 1_024

// ConcurrencyMin is the least that Auto goes down to.
func (l Limits) ConcurrencyMin() int { return min(autoLeast, l.ConcurrencyMax) }

// ErrLimits reports limits outside of their ranges.
var ErrLimits = errors.New("worker: bad limits")

// Validate reports, wrapping ErrLimits, the first limit that is outside of its range.
func (l Limits) Validate() error {
	switch {
	case l.Concurrency < 1 || l.Concurrency > MaxConcurrency:
		return fmt.Errorf("%w: concurrency is %d, want 1 to %d", ErrLimits, l.Concurrency, MaxConcurrency)
	case l.ConcurrencyMax < 1 || l.ConcurrencyMax > MaxConcurrency:
		return fmt.Errorf("%w: the ceiling of the concurrency is %d, want 1 to %d", ErrLimits, l.ConcurrencyMax, MaxConcurrency)
	case l.BytesInFlight < 1 || l.BytesInFlight > maxBytes:
		return fmt.Errorf("%w: bytes in flight are %d, want 1 to %d", ErrLimits, l.BytesInFlight, int64(maxBytes))
	case l.BytesPerSecond != 0 && (l.BytesPerSecond < minBytesPerSecond || l.BytesPerSecond > maxBytes):
		return fmt.Errorf("%w: bytes a second are %d, want %d to %d, or 0 for no limit", ErrLimits, l.BytesPerSecond, minBytesPerSecond, int64(maxBytes))
	}
	return nil
}

// check is Validate for what c can put in force.
func (l Limits) check(c *Config) error {
	switch {
	case l.BytesPerSecond != 0 && c.Bandwidth == nil:
		return fmt.Errorf("%w: nothing here can limit the bytes a second", ErrLimits)
	case l.Auto && c.Load == nil:
		return fmt.Errorf("%w: nothing here tells what transfers do, by which the concurrency could govern itself", ErrLimits)
	}
	return l.Validate()
}

// limits keeps the limits in force, and where they come from.
type limits struct {
	changing chan struct{} // holds one while somebody changes them
	present  *atomic.Int64 // the concurrency that has governed itself

	mu       sync.Mutex
	defaults Limits
	set      *Limits // at run time, by this process or an earlier one; nil: none were
}

func newLimits(c Config) limits {
	return limits{changing: make(chan struct{}, 1), defaults: c.limits(), set: c.Limits}
}

// asked returns the limits that are to be in force.
func (l *limits) asked() Limits {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.set != nil {
		return *l.set
	}
	return l.defaults
}

func (l *limits) put(defaults Limits, set *Limits) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.defaults, l.set = defaults, set
}

// Limits returns the limits in force.
func (w *Worker) Limits() Limits {
	l := w.limits.asked()
	if l.Auto {
		l.Concurrency = int(w.limits.present.Load())
	}
	return l
}

// LimitsSet reports whether limits were set at run time, by this process or an earlier
// one; otherwise the default ones are in force.
func (w *Worker) LimitsSet() bool {
	w.limits.mu.Lock()
	defer w.limits.mu.Unlock()
	return w.limits.set != nil
}

// DefaultLimits returns the limits that ResetLimits goes back to.
func (w *Worker) DefaultLimits() Limits {
	w.limits.mu.Lock()
	defer w.limits.mu.Unlock()
	return w.limits.defaults
}

// SetLimits changes the limits, and returns when that survives a restart and is in
// force. What is in flight above a lower limit is waited for, not cancelled. Errors
// wrap ErrLimits where the values make no sense, and nothing is changed then; or they
// are those of keeping them, ErrEnded, or ctx's.
func (w *Worker) SetLimits(ctx context.Context, l Limits) error {
	return w.changeLimits(ctx, func() (Limits, *Limits) { return w.DefaultLimits(), &l })
}

// ResetLimits goes back to the default limits and forgets, durably, that others
// were set. Errors are those of SetLimits.
func (w *Worker) ResetLimits(ctx context.Context) error {
	return w.changeLimits(ctx, func() (Limits, *Limits) { return w.DefaultLimits(), nil })
}

// SetDefaultLimits changes what ResetLimits goes back to. It is in force at once
// unless other limits were set at run time: those stay. Errors are those of
// SetLimits.
func (w *Worker) SetDefaultLimits(ctx context.Context, l Limits) error {
	return w.changeLimits(ctx, func() (Limits, *Limits) {
		w.limits.mu.Lock()
		defer w.limits.mu.Unlock()
		return l, w.limits.set
	})
}

// changeLimits makes a change durable and then puts it in force. One change at a
// time: what is kept and what is in force must not come from two of them.
func (w *Worker) changeLimits(ctx context.Context, change func() (defaults Limits, set *Limits)) error {
	select {
	case w.limits.changing <- struct{}{}:
		defer func() { <-w.limits.changing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	defaults, set := change()
	next := defaults
	if set != nil {
		next = *set
	}
	if err := next.check(&w.cfg); err != nil {
		return err
	}
	if w.cfg.KeepLimits != nil {
		if err := w.cfg.KeepLimits(set); err != nil {
			return fmt.Errorf("keep the limits: %w", err)
		}
	}
	_, err := w.request(ctx, w.desk.flags, func(ticket uint64) recovery.Event {
		// On the loop, so that no sample is judged by one limit and answered by another.
		slots := w.auto.use(next)
		w.limits.put(defaults, set)
		return recovery.LimitsAsked{Ticket: ticket, Slots: slots, BytesInFlight: next.BytesInFlight}
	})
	if err != nil {
		return err
	}
	if w.cfg.Bandwidth != nil {
		w.cfg.Bandwidth.SetBandwidth(next.BytesPerSecond)
	}
	return nil
}
