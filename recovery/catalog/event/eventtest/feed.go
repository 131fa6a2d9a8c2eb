package eventtest

import (
	"context"
	"sync"

	"github.com/recoverd/recoverd/recovery/catalog/event"
)

// Feed is a source in memory, whose network can be ahead of it and which can fail.
type Feed struct {
	mu     sync.Mutex
	events []event.Event
	tip    uint64
	err    error
	closed bool
	wake   chan struct{} // closed and replaced by every change
	fresh  bool          // changed since the last Read
	reads  int
}

// NewFeed returns a source of the events.
func NewFeed(events []event.Event) *Feed {
	f := &Feed{wake: make(chan struct{})}
	f.Append(events...)
	return f
}

func (f *Feed) change(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
	f.fresh = true
	close(f.wake)
	f.wake = make(chan struct{})
}

// Append adds events.
func (f *Feed) Append(events ...event.Event) {
	f.change(func() {
		if f.events = append(f.events, events...); len(f.events) > 0 {
			f.tip = max(f.tip, f.events[len(f.events)-1].Position)
		}
	})
}

// SetTip says that the network has events up to a position.
func (f *Feed) SetTip(tip uint64) { f.change(func() { f.tip = tip }) }

// Fail makes Read return an error; nil: no longer.
func (f *Feed) Fail(err error) { f.change(func() { f.err = err }) }

// Reads is how often Read was called.
func (f *Feed) Reads() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads
}

// Read implements event.Source.
func (f *Feed) Read(ctx context.Context, after uint64, limit int) (events []event.Event, tip uint64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	f.fresh = false
	switch {
	case f.closed:
		return nil, 0, event.ErrClosed
	case ctx.Err() != nil:
		return nil, 0, context.Cause(ctx)
	case f.err != nil:
		return nil, 0, f.err
	}
	for _, e := range f.events {
		if e.Position <= after || len(events) == limit {
			continue
		}
		if want := after + uint64(len(events)) + 1; e.Position != want {
			if len(events) > 0 {
				break
			}
			return nil, 0, &event.MissingError{Source: "feed", First: want, Found: e.Position}
		}
		events = append(events, e)
	}
	return events, f.tip, nil
}

// Changed implements event.Source.
func (f *Feed) Changed(ctx context.Context) error {
	for {
		f.mu.Lock()
		wake, fresh, closed := f.wake, f.fresh, f.closed
		f.mu.Unlock()
		switch {
		case closed:
			return event.ErrClosed
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case fresh:
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
}

// Close implements event.Source.
func (f *Feed) Close() error {
	f.change(func() { f.closed = true })
	return nil
}
