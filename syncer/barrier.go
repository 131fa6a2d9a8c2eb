package syncer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// barrier buys durability in groups, in the order of I5. Every distinct Volume
// has a lane of its own, with one goroutine that does, for ever:
//
//	collect a group of sealed drafts
//	flush: the group's bytes, and the names of the group before
//	the group before is durable: answer it
//	publish the group
//
// When nothing new is waiting after that, the names are flushed at once. So a
// final name always has its bytes (hazard 76), one flush serves two groups, and
// a slow flush makes no larger group, because room bounds what may be handed in
// (hazard 95).
//
// A failed flush stops it for good, on every volume: whatever was handed in and
// not answered is answered ErrNotDurable, nothing more is published, and nothing
// more is taken (I12, hazard 45).
type barrier struct {
	cfg      BarrierConfig // with defaults
	room     *room
	feeders  feeders
	failed   latch
	closing  atomic.Bool
	lanes    lanes
	laneWork sync.WaitGroup
	stepped  bool // a Stepper turns the lanes; they have no goroutine
}

// ticket is one sealed draft on its way. While it is in a lane the draft is the
// lane's.
type ticket struct {
	draft Draft
	size  int64
	owner owner
}

// owner is who handed a draft in. It gets exactly one answer for it, nil for durable,
// on a goroutine of the barrier, which it must not hold up.
type owner interface{ answered(err error) }

var errBarrierClosed = errors.New("syncer: barrier is closed")

func newBarrier(cfg BarrierConfig) *barrier {
	cfg = cfg.withDefaults()
	return &barrier{
		cfg:   cfg,
		room:  newRoom(cfg.Blobs, cfg.Bytes),
		lanes: lanes{byVolume: make(map[Volume]*lane)},
	}
}

// handIn gives a sealed draft of size bytes to the barrier. It waits for room,
// no longer than ctx; that is the back-pressure of a slow disk. On nil the draft
// is the barrier's, and its owner gets one answer, perhaps before handIn returns:
// nil, ErrNotDurable, or an ErrStore that concerns this draft alone. On an error
// the draft is still the caller's, and no answer comes.
func (b *barrier) handIn(ctx context.Context, d Draft, size int64, to owner) error {
	if err := b.failed.get(); err != nil {
		return err
	}
	if b.closing.Load() {
		return errBarrierClosed
	}
	if err := b.room.acquire(ctx, size, b.lanes.wakeAll); err != nil {
		return fmt.Errorf("wait for the barrier: %w", err)
	}
	b.laneOf(d.Volume()).add(ticket{draft: d, size: size, owner: to})
	return nil
}

// failure returns the error that stopped the barrier, or nil. It wraps
// ErrNotDurable.
func (b *barrier) failure() error { return b.failed.get() }

// fail stops the barrier for good.
func (b *barrier) fail(err error) {
	b.failed.set(fmt.Errorf("%w: flush: %w", ErrNotDurable, err))
	b.lanes.wakeAll()
}

// close makes what was handed in durable and joins the lanes. No handIn may be
// under way or follow; a second close does nothing.
func (b *barrier) close() {
	b.closing.Store(true)
	b.lanes.wakeAll()
	b.laneWork.Wait()
}

func (b *barrier) laneOf(v Volume) *lane {
	l, isNew := b.lanes.get(v, b)
	if isNew && !b.stepped {
		b.laneWork.Go(l.run)
	}
	return l
}

// lanes finds the lane of a volume. There are as many as the store has volumes.
type lanes struct {
	mu       sync.Mutex
	byVolume map[Volume]*lane
}

func (ls *lanes) get(v Volume, b *barrier) (l *lane, isNew bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l = ls.byVolume[v]
	if l != nil {
		return l, false
	}
	l = newLane(b, v)
	ls.byVolume[v] = l
	return l, true
}

func (ls *lanes) wakeAll() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.byVolume {
		l.wakeUp()
	}
}

// feeders counts the flights that may still hand something in.
type feeders struct {
	now     atomic.Int64
	entered atomic.Uint64
}

func (f *feeders) enter() {
	f.entered.Add(1)
	f.now.Add(1)
}

func (f *feeders) leave() { f.now.Add(-1) }

// idleSince reports whether nobody is feeding and nobody began to since entered
// was seen.
func (f *feeders) idleSince(entered uint64) bool {
	return f.now.Load() == 0 && f.entered.Load() == entered
}

// latch keeps the first error it is given.
type latch struct{ err atomic.Pointer[error] }

func (l *latch) set(err error) { l.err.CompareAndSwap(nil, &err) }

func (l *latch) get() error {
	if err := l.err.Load(); err != nil {
		return *err
	}
	return nil
}
