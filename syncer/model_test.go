package syncer

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/shards"
)

// Whatever is asked, joined, cancelled and refused in whatever order: there is
// one flight of an id at a time, every watch ends with an outcome for its own
// covers, and a Success is durable at that moment.
func TestHandlerModel(t *testing.T) {
	type step struct {
		Kind, Blob, Run, Total int
		Pass                   time.Duration
	}
	steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{
			Kind: rapid.IntRange(0, 9).Draw(t, "kind"),
			Blob: rapid.IntRange(0, 3).Draw(t, "blob"),
			Run:  rapid.IntRange(0, 2).Draw(t, "run"), Total: rapid.IntRange(1, 2).Draw(t, "total"),
			Pass: time.Duration(rapid.IntRange(0, 20).Draw(t, "pass")) * time.Millisecond,
		}
	}), 1, 40)
	evidence.Property(t, "syncer: one flight of an id, every watch has its own outcome, and a success is durable", func(rt *rapid.T) {
		var found complaints
		script := steps.Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(&found)
			w.serve(3) // blob 3 is absent
			one := onlyOneEach{now: map[recovery.BlobID]int{}}
			w.flush = func(*memVolume) error { time.Sleep(4 * time.Millisecond); return nil }
			w.instead = func(ctx context.Context, p Piece, sink Sink) (string, error) {
				defer one.enter(&found, p.Blob.ID)()
				if err := pause(ctx, 7*time.Millisecond); err != nil {
					return "", &FetchError{}
				}
				data, ok := w.byID[p.Blob.ID]
				if !ok {
					return "", &FetchError{Answers: []PeerAnswer{{Peer: "p", Reason: recovery.Absent, Err: errNotHere}}}
				}
				return "p", send(sink, data)
			}
			h := w.handler(t, func(c *Config) { c.Barrier.Blobs = 2 })
			var all sync.WaitGroup
			for _, s := range script {
				if s.Kind == 0 {
					h.CancelRun(uint64(s.Run))
				} else {
					req := ask(uint64(s.Run), s.Blob)
					req.Covers = recovery.Covers{Total: uint32(s.Total), Owned: shards.Range(0, uint32(s.Total-1))}
					watch := h.Sync(req)
					all.Go(func() { checkAnswer(&found, w, req, wait(t, watch)) })
				}
				time.Sleep(s.Pass)
			}
			time.Sleep(time.Second) // all ends by itself
			for n := range 4 {
				if h.Flying(ask(0, n).Blob.ID) {
					found.Errorf("the flight of blob %d never ended", n)
				}
			}
			if err := h.Close(); err != nil {
				found.Errorf("close: %v", err)
			}
			all.Wait()
			if n := w.openDrafts(); n > 0 {
				found.Errorf("%d drafts are left open", n)
			}
		})
		if len(found.texts) > 0 {
			rt.Fatal(found.texts)
		}
	})
}

// complaints is a reporter for one of many tries.
type complaints struct {
	mu    sync.Mutex
	texts []string
}

func (c *complaints) Errorf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.texts = append(c.texts, fmt.Sprintf(format, args...))
}

func checkAnswer(r reporter, w *world, req Request, o recovery.Outcome) {
	if !o.Covers.Equal(req.Covers) {
		r.Errorf("asked for %d shards, answered for %d", req.Covers.Total, o.Covers.Total)
	}
	if o.Result != recovery.Cancelled && !w.durable(req.Blob, shards.Home(req.Blob.ID, req.Covers.Total)) {
		r.Errorf("%v (%s), and it would not survive a power cut", o.Result, o.Reason)
	}
	if o.Reason == recovery.StoreError || o.Reason == recovery.NotDurable {
		r.Errorf("cancelled (%s) though nothing failed: %s", o.Reason, o.Err)
	}
}

// onlyOneEach complains when two flights of one id overlap.
type onlyOneEach struct {
	mu  sync.Mutex
	now map[recovery.BlobID]int
}

func (o *onlyOneEach) enter(r reporter, id recovery.BlobID) (leave func()) {
	o.add(r, id, 1)
	return func() { o.add(r, id, -1) }
}

func (o *onlyOneEach) add(r reporter, id recovery.BlobID, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.now[id] += n; o.now[id] > 1 {
		r.Errorf("%d flights of one id at a time", o.now[id])
	}
}
