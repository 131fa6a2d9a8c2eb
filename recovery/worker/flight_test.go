package worker_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store/mem"
)

// pageCache is a store that lists a piece as soon as it has its name, as a file
// system does: what a process sees is more than a power cut would leave. Flushes
// of names wait until the gate is opened.
type pageCache struct {
	*mem.Store
	gate chan struct{}
	open func() // the gate; may be called again

	mu    sync.Mutex
	named map[recovery.BlobID]bool
}

func newPageCache() *pageCache {
	gate := make(chan struct{})
	return &pageCache{gate: gate, open: sync.OnceFunc(func() { close(gate) }), named: map[recovery.BlobID]bool{}}
}

func (c *pageCache) use(s *mem.Store) { c.Store = s }

func (c *pageCache) names() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.named)
}

func (c *pageCache) Mark(ctx context.Context, rows []recovery.Row) error {
	if err := c.Store.Mark(ctx, rows); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range rows {
		rows[i].Stored = rows[i].Stored || c.named[rows[i].ID]
	}
	return nil
}

func (c *pageCache) Create(ctx context.Context, p syncer.Piece, size int64) (syncer.Draft, error) {
	d, err := c.Store.Create(ctx, p, size)
	return cachedDraft{d, c, p.Blob.ID}, err
}

type cachedDraft struct {
	syncer.Draft
	cache *pageCache
	id    recovery.BlobID
}

func (d cachedDraft) Volume() syncer.Volume { return cachedVolume{d.Draft.Volume(), d.cache} }

func (d cachedDraft) Publish() error {
	if err := d.Draft.Publish(); err != nil {
		return err
	}
	d.cache.mu.Lock()
	defer d.cache.mu.Unlock()
	d.cache.named[d.id] = true
	return nil
}

type cachedVolume struct {
	syncer.Volume
	cache *pageCache
}

func (v cachedVolume) Flush(data, names []syncer.Draft) error {
	if len(names) > 0 {
		<-v.cache.gate
	}
	return v.Volume.Flush(bare(data), bare(names))
}

func bare(drafts []syncer.Draft) (inner []syncer.Draft) {
	for _, d := range drafts {
		inner = append(inner, d.(cachedDraft).Draft)
	}
	return inner
}

// Hazard 77. What a superseded run has named and not flushed is listed by the
// store; the new run must not take it for stored.
func TestSkippedFromPageCache(t *testing.T) {
	test := func(end func(*testing.T, *world, *process, *pageCache)) func(*testing.T) {
		return func(t *testing.T) {
			inWorld(t, 5, func(t *testing.T, w *world) {
				cache := newPageCache()
				t.Cleanup(cache.open)
				p := w.start(func(s *setup) { s.worker.Store, s.syncer.Store = cache, cache })
				p.until("every blob has its name", time.Minute, func(worker.Status) bool { return cache.names() == 5 })
				w.assign(func(o *ownership) { o.continuity = "wiped" })
				p.until("a new run", time.Minute, func(s worker.Status) bool { return s.Run == 2 })
				time.Sleep(time.Minute)
				s, r := p.worker.Status(), w.record()
				if s.Phase == recovery.PhaseComplete || s.Counters.AlreadyStored > 0 || s.Unsettled.Total != 5 {
					t.Errorf("%v, %d found stored, unsettled %+v", s.Phase, s.Counters.AlreadyStored, s.Unsettled)
				}
				if r.Progress.Run != 2 || len(r.Progress.Unsettled) != 5 {
					t.Errorf("the record is of run %d and lists %d", r.Progress.Run, len(r.Progress.Unsettled))
				}
				end(t, w, p, cache)
				w.checkComplete()
			})
		}
	}
	t.Run("then the flush ends", test(func(t *testing.T, w *world, p *process, cache *pageCache) {
		cache.open()
		s := p.untilPhase(recovery.PhaseComplete, time.Minute)
		if s.Counters.AlreadyStored != 5 || s.Run != 2 {
			t.Errorf("run %d found %d stored", s.Run, s.Counters.AlreadyStored)
		}
		p.stop()
	}))
	t.Run("then the power is cut", test(func(t *testing.T, w *world, p *process, cache *pageCache) {
		time.AfterFunc(time.Second, cache.open) // what is left of the process ends
		p.crash((*mem.Disk).Crash)
		w.checkClaims(w.blobs)
		p = w.start(exitWhenComplete)
		p.finish(time.Minute)
		if asked, _ := p.fetches.count(); asked != 5 {
			t.Errorf("%d of 5 lost blobs were fetched again", asked)
		}
	}))
}

// Hazard 88. The new run asks for a blob that the old one is still fetching, or
// the node for itself. It gets an answer of its own, and waits for nobody before
// it begins (hazard 33).
func TestJoinedFlightFenced(t *testing.T) {
	for _, tc := range []struct {
		name   string
		joined bool // the node wants the blob too, so the flight goes on
		asked  int
	}{
		{"the flight is cancelled", false, 2},
		{"the flight goes on", true, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				hang := make(chan struct{}) // the first fetch hangs, and does not hear that it was cancelled
				p := w.start(func(s *setup) {
					s.onFetch = func(ctx context.Context, _ recovery.BlobID, n int) error {
						if n == 1 {
							<-hang
						}
						return ctx.Err()
					}
				})
				p.until("the fetch is under way", time.Minute, func(s worker.Status) bool { return s.Unsettled.Fetching == 1 })
				var node *syncer.Watch
				if tc.joined {
					node = p.handler.Sync(syncer.Request{
						Blob: w.blobs[0], Placement: shards.Hashed,
						Covers: recovery.Covers{Total: totalShards, Owned: w.ownedSet()},
					})
				}
				w.assign(func(o *ownership) { o.continuity = "gap" })
				p.until("the new run asks", time.Second, func(s worker.Status) bool { return s.Run == 2 && s.Unsettled.Fetching == 1 })
				time.Sleep(10 * time.Second)
				close(hang)
				s := p.untilPhase(recovery.PhaseComplete, time.Minute)
				if s.Run != 2 || s.Counters.Stored+s.Counters.AlreadyStored != 1 || p.fetches.of(w.blobs[0].ID) != tc.asked {
					t.Errorf("run %d stored %d with %d fetches", s.Run, s.Counters.Stored, p.fetches.of(w.blobs[0].ID))
				}
				if node != nil {
					if o, ok := node.Outcome(); !ok || o.Result != recovery.Success {
						t.Errorf("the node was told %v", o)
					}
				}
				p.stop()
				w.checkComplete()
			})
		})
	}
}
