package eventlog

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Status is what an operator wants to know of a followed catalog.
type Status struct {
	recovery.Stamp        // of the state
	Blobs          uint64 // certified
	Bytes          int64  // of these, or recovery.SizeUnknown
	// Tip is the highest position that the source knows of, as far as it was heard;
	// 0: it was not. AtTip: it was heard, and nothing lies beyond the position.
	Tip   uint64
	AtTip bool
	// Base is the snapshot that the delta lies over. At position 0 it is in no file.
	Base recovery.Bound
	// First is the number of the oldest event in the log, or of the next one.
	First uint64
	// Full and Incremental tell of the snapshots of either kind.
	Full, Incremental SnapshotStatus
	// Trouble is what keeps the catalog from following, or nil; Failures counts the
	// tries that failed since the catalog was opened.
	Trouble  error
	Failures uint64
	// Tidy is why what is not needed any more could not be removed, or nil.
	Tidy error
	// Failed is why nothing works any more, or nil.
	Failed error
}

// Behind is how many events the source has that were not applied.
func (s Status) Behind() uint64 {
	if s.Tip < s.Position {
		return 0
	}
	return s.Tip - s.Position
}

// SnapshotStatus tells of the snapshots of one kind that were made since the
// catalog was opened.
type SnapshotStatus struct {
	Position uint64    // of the last one made; 0: none was
	At       time.Time // when it became durable
	Took     time.Duration
	Failures uint64
	Err      error // why the last try failed; nil: it did not
}

// board is what is known of the catalog, for whoever looks or waits.
type board struct {
	mu     sync.Mutex
	status Status
	meta   meta
	pinned *pinned       // nil before the first Pin
	retry  time.Time     // not before this a snapshot that failed is tried again for no other reason
	wake   chan struct{} // closed and replaced to wake everyone
}

// pinned is what the last Pin returned, as far as Changed compares it.
type pinned struct {
	position uint64
	atTip    bool
}

func newBoard(m *meta) *board {
	b := &board{wake: make(chan struct{})}
	b.moved(m)
	return b
}

func (b *board) change(f func(*Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.status)
	close(b.wake)
	b.wake = make(chan struct{})
}

func (b *board) wakeAll() { b.change(func(*Status) {}) }

// moved takes what a committed transaction wrote.
func (b *board) moved(m *meta) {
	b.change(func(s *Status) {
		b.meta = *m
		s.Stamp, s.Blobs, s.Bytes, s.Base, s.First = m.Stamp, m.Sums.Blobs, m.Sums.bytes(), m.Base, m.First
		s.AtTip = s.AtTip && s.Tip == m.Position
	})
}

// heard takes the source's tip. at: nothing lies beyond the position.
func (b *board) heard(tip uint64, at bool) {
	b.change(func(s *Status) { s.Tip, s.AtTip = tip, at })
}

func (b *board) fail(err error) {
	b.change(func(s *Status) {
		if s.Failed == nil {
			s.Failed = err
		}
	})
}

func (b *board) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status.Failed
}

// tidied notes what came of tidying up. Being told to stop is no trouble.
func (b *board) tidied(err error) {
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	b.change(func(s *Status) { s.Tidy = err })
}

func (b *board) now() meta {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.meta
}

func (b *board) get() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

func (b *board) pin(p pinned) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pinned = &p
}

func (b *board) isPinned() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pinned != nil
}

// pinnedAt is the pinned position.
func (b *board) pinnedAt() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pinned == nil {
		return 0
	}
	return b.pinned.position
}

// newer reports whether there is something newer than what is pinned, and what
// is closed when that may have changed.
func (b *board) newer() (bool, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pinned == nil || *b.pinned != pinned{b.status.Position, b.status.AtTip}, b.wake
}

// mayRetry reports whether the last snapshot was made, or failed long enough ago.
func (b *board) mayRetry() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !time.Now().Before(b.retry)
}

// snapshotted notes what came of making a snapshot; retry: see board.
func (b *board) snapshotted(kind snapshot.Kind, position uint64, took, retry time.Duration, err error) {
	b.change(func(s *Status) {
		k := &s.Full
		if kind == snapshot.Incremental {
			k = &s.Incremental
		}
		if k.Err = err; err != nil {
			k.Failures++
			b.retry = time.Now().Add(retry)
			return
		}
		k.Position, k.At, k.Took = position, time.Now(), took
	})
}

// Status tells how the catalog stands.
func (c *Catalog) Status() Status { return c.board.get() }

// Changed implements catalog.Source: the position, or whether it is the tip, is
// another than when it was pinned.
func (c *Catalog) Changed(ctx context.Context) error {
	for {
		newer, wake := c.board.newer()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case c.closed.Load():
			return catalog.ErrClosed
		case c.board.failed() != nil:
			return c.board.failed()
		case newer:
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
}
