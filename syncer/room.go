package syncer

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// room bounds the drafts that are handed in and not yet published, in number
// and in bytes, over all volumes. It is given in the order of asking.
type room struct {
	drafts   *semaphore.Weighted
	bytes    *semaphore.Weighted
	maxBytes int64
	waiting  atomic.Int64
}

func newRoom(drafts int, bytes int64) *room {
	return &room{
		drafts:   semaphore.NewWeighted(int64(drafts)),
		bytes:    semaphore.NewWeighted(bytes),
		maxBytes: bytes,
	}
}

// acquire takes the place of one draft. If it has to wait, it says so with
// starve after starved has begun to report it: nobody else can join a group
// then, so the open ones had better be closed. The error is that of ctx.
func (r *room) acquire(ctx context.Context, size int64, starve func()) error {
	if err := r.take(ctx, r.drafts, 1, starve); err != nil {
		return err
	}
	if err := r.take(ctx, r.bytes, r.weight(size), starve); err != nil {
		r.drafts.Release(1)
		return err
	}
	return nil
}

func (r *room) take(ctx context.Context, s *semaphore.Weighted, n int64, starve func()) error {
	if s.TryAcquire(n) {
		return nil
	}
	r.waiting.Add(1)
	defer r.waiting.Add(-1)
	starve()
	return s.Acquire(ctx, n)
}

// release gives the place of one draft back.
func (r *room) release(size int64) {
	r.drafts.Release(1)
	r.bytes.Release(r.weight(size))
}

// starved reports whether somebody waits for room.
func (r *room) starved() bool { return r.waiting.Load() > 0 }

// weight lets a draft larger than all of the room in when it is alone (hazard
// 90).
func (r *room) weight(size int64) int64 { return min(size, r.maxBytes) }
