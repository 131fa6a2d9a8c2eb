package syncer

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden traces")

// TestBarrierOrder compares the whole order of what the barrier does, with its
// times, to testdata/barrier. A flush takes 3 ms and a rename 1 ms. Lines of one
// instant are in order within their volume.
func TestBarrierOrder(t *testing.T) {
	for name, scenario := range map[string]struct {
		cfg  BarrierConfig
		play func(*stage)
	}{
		// A blob on its own is durable after the idle time and two flushes.
		"lone": {BarrierConfig{}, func(s *stage) {
			s.hand("a", "v1", 10)
		}},
		// The flush of one group makes the names of the group before durable.
		"pipeline": {BarrierConfig{}, func(s *stage) {
			s.feed()
			s.hand("a", "v1", 10)
			s.hand("b", "v1", 10)
			s.pass(51 * time.Millisecond) // a and b are being flushed
			s.hand("c", "v1", 10)
			s.hand("d", "v1", 10)
			s.pass(60 * time.Millisecond)
			s.unfeed()
		}},
		// Half of the room closes a group; the other half fills meanwhile.
		"full": {BarrierConfig{Blobs: 4}, func(s *stage) {
			s.feed()
			for _, name := range []string{"a", "b", "c", "d"} {
				s.hand(name, "v1", 10)
			}
			s.pass(time.Millisecond)
			s.hand("e", "v1", 10) // waits for room
			s.pass(10 * time.Millisecond)
			s.unfeed()
		}},
		"full of bytes": {BarrierConfig{Bytes: 100}, func(s *stage) {
			s.feed()
			s.hand("a", "v1", 20)
			s.hand("b", "v1", 30)
			s.pass(10 * time.Millisecond)
			s.unfeed()
		}},
		// Hazard 28: something is being fetched for ever; others do not wait for it.
		"slow feeder": {BarrierConfig{}, func(s *stage) {
			s.feed()
			s.hand("a", "v1", 10)
			s.pass(30 * time.Millisecond)
			s.hand("b", "v1", 10)
			s.pass(100 * time.Millisecond)
			s.unfeed()
		}},
		// Hazard 85: each volume is flushed for its own drafts, and they do not
		// wait for each other.
		"other volume flush": {BarrierConfig{}, func(s *stage) {
			s.hand("a", "v1", 10)
			s.pass(time.Millisecond)
			s.hand("b", "v2", 10)
		}},
		// Hazard 90.
		"blob bigger than budget": {BarrierConfig{Bytes: 100}, func(s *stage) {
			s.feed()
			s.hand("a", "v1", 10)
			s.hand("big", "v2", 1000)
			s.hand("b", "v1", 10)
			s.pass(60 * time.Millisecond)
			s.unfeed()
		}},
		// Hazard 51: one draft finds no place for its name; the others do.
		"full directory": {BarrierConfig{}, func(s *stage) {
			s.refuse("b")
			s.hand("a", "v1", 10)
			s.hand("b", "v1", 10)
			s.hand("c", "v1", 10)
		}},
		// Hazard 45: nothing is tried again, and nothing is acknowledged: not the
		// names before, not what waits, not another volume's.
		"failed flush": {BarrierConfig{}, func(s *stage) {
			s.feed()
			s.hand("a", "v1", 10)
			s.pass(52 * time.Millisecond)
			s.hand("b", "v1", 10) // a is published with b waiting: one flush for both
			s.breakFlushes("v1")
			s.pass(time.Millisecond)
			s.hand("c", "v2", 10)
			s.pass(50 * time.Millisecond) // both are being flushed, v1 a moment before v2
			s.hand("d", "v1", 10)
			s.pass(time.Millisecond)
			s.hand("e", "v3", 10)
			s.pass(10 * time.Millisecond)
			s.hand("f", "v2", 10)
			s.unfeed()
		}},
		"failed flush elsewhere": {BarrierConfig{}, func(s *stage) {
			s.breakFlushes("v1")
			s.hand("a", "v2", 10)
			s.pass(2 * time.Millisecond)
			s.hand("b", "v1", 10) // fails while the name of a is being flushed
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got := play(t, scenario.cfg, scenario.play)
			path := filepath.Join("testdata", "barrier", strings.ReplaceAll(name, " ", "-")+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func play(t *testing.T, cfg BarrierConfig, script func(*stage)) (trace string) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{
			barrier: newBarrier(cfg), began: time.Now(),
			volumes: map[string]*scriptVolume{}, refused: map[string]bool{},
		}
		script(s)
		s.pass(200 * time.Millisecond)
		s.barrier.close()
		s.log("", "closed")
		trace = s.String()
		if n := len(s.open); n > 0 {
			t.Errorf("%d drafts were never answered", n)
		}
	})
	return trace
}

// Hazard 95. However slow a flush is, a group is never larger than the room, and
// who hands in waits instead.
func TestBatchFeedback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var largest int
		v := &countingVolume{flush: func(data []Draft) { largest = max(largest, len(data)); time.Sleep(time.Second) }}
		b := newBarrier(BarrierConfig{Blobs: 10})
		done := make(chan error, 100)
		began := time.Now()
		for range 100 {
			if err := b.handIn(t.Context(), &countingDraft{volume: v}, 1, answerChan(done)); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 10*time.Second {
			t.Errorf("100 drafts were taken within %v, though 10 at most may wait for a flush of a second", took)
		}
		for range 100 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		b.close()
		if largest > 10 {
			t.Errorf("a group has %d drafts", largest)
		}
	})
}

// Giving up half-way leaves no place taken.
func TestRoomGivenUp(t *testing.T) {
	r := newRoom(2, 100)
	nobody := func() {}
	if err := r.acquire(t.Context(), 60, nobody); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := r.acquire(ctx, 60, cancel) // has to wait for bytes, and gives up then
	if !errors.Is(err, context.Canceled) || r.starved() {
		t.Errorf("error is %v, starved %v", err, r.starved())
	}
	if err := r.acquire(t.Context(), 40, func() { t.Fatal("no place for the second draft") }); err != nil {
		t.Fatal(err)
	}
	r.release(60)
	r.release(40)
	if !r.drafts.TryAcquire(2) || !r.bytes.TryAcquire(100) {
		t.Error("not all of the room came back")
	}
}

func TestHandingInHonoursItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		v := &countingVolume{flush: func([]Draft) { <-release }}
		b := newBarrier(BarrierConfig{Blobs: 1})
		done := make(chan error, 2)
		if err := b.handIn(t.Context(), &countingDraft{volume: v}, 1, answerChan(done)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := b.handIn(ctx, &countingDraft{volume: v}, 1, answerChan(done)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
		// The place that was given up is free for the next one.
		if err := b.handIn(t.Context(), &countingDraft{volume: v}, 1, answerChan(done)); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		b.close()
		b.close()
		if err := b.handIn(t.Context(), &countingDraft{volume: v}, 1, answerChan(done)); !errors.Is(err, errBarrierClosed) {
			t.Errorf("after close: %v", err)
		}
	})
}

// Whoever waits for room when the barrier fails is told so, not left waiting.
func TestFailureReachesThoseWhoWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		v := &countingVolume{flush: func([]Draft) { <-release }, err: syscall.EIO}
		b := newBarrier(BarrierConfig{Blobs: 2})
		done := make(chan error, 20)
		var handing sync.WaitGroup
		for range 20 {
			handing.Go(func() {
				if err := b.handIn(t.Context(), &countingDraft{volume: v}, 1, answerChan(done)); err != nil {
					done <- err
				}
			})
		}
		synctest.Wait()
		close(release)
		handing.Wait()
		for range 20 {
			if err := <-done; !errors.Is(err, ErrNotDurable) || !errors.Is(err, syscall.EIO) {
				t.Errorf("answer is %v", err)
			}
		}
		b.close()
	})
}

type countingVolume struct {
	flush func(data []Draft)
	err   error
}

func (v *countingVolume) Flush(data, _ []Draft) error {
	v.flush(data)
	return v.err
}

type countingDraft struct {
	instantDraft
	volume Volume
}

func (d *countingDraft) Volume() Volume { return d.volume }
