package worker

import (
	"context"
	"errors"
)

// Limits are what an operator may change while the worker runs.
type Limits struct {
	// Concurrency is the number of blobs in flight, retries included; 1 to 4,096.
	Concurrency int `json:"concurrency"`
	// BytesInFlight bounds their sizes, in bytes; 1 to 2^40. A larger blob goes
	// alone.
	BytesInFlight int64 `json:"bytes_in_flight"`
	// BytesPerSecond bounds what all transfers together fetch; 0 is no limit.
	BytesPerSecond int64 `json:"bytes_per_second"`
}

// ErrLimits reports limits outside of their ranges.
var ErrLimits = errors.New("worker: bad limits")

// Limits returns the limits in force.
func (w *Worker) Limits() Limits { return Limits{} }

// DefaultLimits returns the limits that ResetLimits goes back to.
func (w *Worker) DefaultLimits() Limits { return Limits{} }

// SetLimits changes the limits, and returns when that survives a restart and is in
// force. What is in flight beyond a lower limit is waited for, not cancelled.
// Errors wrap ErrLimits where the values make no sense, and nothing is changed
// then; or they are those of keeping them, ErrEnded, or ctx's.
func (w *Worker) SetLimits(ctx context.Context, l Limits) error { return errNotBuilt }

// ResetLimits goes back to the default limits and forgets, durably, that others
// were set.
func (w *Worker) ResetLimits(ctx context.Context) error { return errNotBuilt }
