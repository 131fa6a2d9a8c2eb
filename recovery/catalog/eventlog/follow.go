package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Apply appends events and applies them, in as many transactions as it takes, and
// has snapshots made where they are due (Config). Events that were applied before
// must be the same, and are passed over. tip is the highest position that their
// source knows of; 0: it is not known. Nothing beyond Config.StopAt is applied.
//
// What was applied before an error stays: one that contradicts the state is a
// *event.ContradictionError, and nothing behind it is applied; a gap is a
// *event.MissingError; another event of a number that was applied wraps
// ErrConflict. After ErrFailed nothing works any more.
func (c *Catalog) Apply(ctx context.Context, events []event.Event, tip uint64) error {
	c.applying.Lock()
	defer c.applying.Unlock()
	if err := c.usable(); err != nil {
		return err
	}
	rest, err := c.newEvents(events)
	if err != nil {
		return err
	}
	if err := c.payOwed(ctx); err != nil {
		return err
	}
	when := c.cfg.cadence()
	for len(rest) > 0 && !c.stopped() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		part := rest[:when.stretch(rest[:min(len(rest), c.cfg.BatchEvents)], tip)]
		m, err := c.append(ctx, part)
		if err != nil {
			return err
		}
		if err := c.fulfil(ctx, when.after(m, part[len(part)-1].Kind, tip)); err != nil {
			return err
		}
		rest = rest[len(part):]
	}
	return nil
}

// append is one transaction.
func (c *Catalog) append(ctx context.Context, events []event.Event) (*meta, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.usable(); err != nil {
		return nil, err
	}
	m, err := c.engine.append(ctx, events)
	return m, c.wrote(m, err)
}

// payOwed makes the snapshot of an epoch whose event was applied by a process that
// ended before it was made. Nothing was applied behind it.
func (c *Catalog) payOwed(ctx context.Context) error {
	if !c.owed {
		return nil
	}
	err := c.fulfil(ctx, wish{snapshot.Full, true})
	c.owed = err != nil
	return err
}

// stopped reports whether the position to stop at was reached.
func (c *Catalog) stopped() bool {
	m := c.board.now()
	return c.cfg.StopAt != 0 && m.Position >= c.cfg.StopAt
}

// Bounds of the time between two tries.
const (
	retryMin = time.Second
	retryMax = 30 * time.Second
)

// Follow reads the source from the present position on and applies what it has,
// until ctx ends. What goes wrong with the source or its events is shown, told once
// for each reason, and tried again after 1 s to 30 s: meanwhile the catalog stays
// where it is and is not at its tip. At Config.StopAt it returns nil when the full
// snapshot there is durable. It returns an error that wraps ErrFailed or
// ErrPastStop, catalog.ErrClosed, event.ErrClosed for the source, the error of ctx,
// or of that last snapshot. One goroutine follows at a time.
func (c *Catalog) Follow(ctx context.Context, src event.Source) error {
	if m := c.board.now(); c.cfg.StopAt != 0 && m.Position > c.cfg.StopAt {
		return fmt.Errorf("%w: position %d, to stop at %d (restore the catalog at that position)", ErrPastStop, m.Position, c.cfg.StopAt)
	}
	c.applying.Lock()
	err := c.payOwed(ctx)
	c.applying.Unlock()
	if err != nil {
		return err
	}
	f := follower{c: c, src: src}
	for !c.stopped() {
		err := f.step(ctx)
		switch {
		case err == nil:
			f.ends()
		case c.usable() != nil:
			return c.usable()
		case errors.Is(err, event.ErrClosed):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		default:
			f.fails(err)
			if err := pause(ctx, f.delay); err != nil {
				return err
			}
		}
	}
	_, err = c.Snapshot(ctx, snapshot.Full)
	return err
}

// follower is one Follow.
type follower struct {
	c        *Catalog
	src      event.Source
	delay    time.Duration // before the next try
	reason   string        // of the trouble under way; empty: there is none
	failures uint64        // since it began
}

// step reads once and applies what it got, or waits for more.
func (f *follower) step(ctx context.Context) error {
	c := f.c
	after := c.board.now().Position
	events, tip, err := f.src.Read(ctx, after, c.cfg.BatchEvents)
	if err != nil {
		return err
	}
	if len(events) > 0 {
		c.board.heard(tip, false)
		if err := c.Apply(ctx, events, tip); err != nil {
			return err
		}
		at := c.board.now().Position
		c.board.heard(tip, at == tip && len(events) < c.cfg.BatchEvents)
		return nil
	}
	c.board.heard(tip, tip == after)
	f.ends()
	if err := f.idle(ctx); err != nil {
		return err
	}
	return f.src.Changed(ctx)
}

// idle has made what became due while the catalog caught up, or could not be made
// when it was.
func (f *follower) idle(ctx context.Context) error {
	c := f.c
	c.applying.Lock() // so that nothing begins once Close waits
	defer c.applying.Unlock()
	if err := c.usable(); err != nil {
		return err
	}
	s, m := c.board.get(), c.board.now()
	if !s.AtTip || !c.board.mayRetry() {
		return nil
	}
	return c.fulfil(ctx, c.cfg.cadence().idle(&m, s.Incremental.Position))
}

func (f *follower) fails(err error) {
	f.failures++
	f.delay = min(max(2*f.delay, retryMin), retryMax)
	f.c.board.change(func(s *Status) {
		s.Trouble, s.AtTip = err, false
		s.Failures++
	})
	if text := err.Error(); text != f.reason {
		f.reason = text
		f.c.tell(TroubleBegan{err})
	}
}

func (f *follower) ends() {
	if f.reason == "" {
		return
	}
	f.c.board.change(func(s *Status) { s.Trouble = nil })
	f.c.tell(TroubleEnded{f.failures})
	f.delay, f.reason, f.failures = 0, "", 0
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var (
	_ catalog.Source   = (*Catalog)(nil)
	_ catalog.Narrower = (*Catalog)(nil)
)
