package syncer

import (
	"context"
	"sync"
	"time"
)

// deadline cancels a context after a time that does not pass while it is held, with the
// cause context.DeadlineExceeded.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer // nil: stopped
	left  time.Duration
	since time.Time // when left was that much; zero while it is held
	holds int
}

// start begins to count. The caller calls stop, after which nothing is cancelled.
func (d *deadline) start(limit time.Duration, cancel context.CancelCauseFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.since = limit, time.Now()
	d.timer = time.AfterFunc(limit, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.timer != nil {
			cancel(context.DeadlineExceeded)
		}
	})
}

// hold stops the time, until there was a release for each hold.
func (d *deadline) hold() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holds++; d.holds > 1 || d.timer == nil || !d.timer.Stop() {
		return // held already, or it has come
	}
	d.left -= time.Since(d.since)
	d.since = time.Time{}
}

// release takes one hold back, and lets the time go on after the last of them. Without
// a hold it does nothing.
func (d *deadline) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holds = max(d.holds-1, 0)
	if d.holds > 0 || d.timer == nil || !d.since.IsZero() {
		return
	}
	d.since = time.Now()
	d.timer.Reset(max(d.left, 0))
}

func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timer.Stop()
	d.timer = nil
}
