package eventlog

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/event/eventtest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// failing is an archive that cannot make full snapshots.
type failing struct {
	shelf
	mu     sync.Mutex
	full   error
	pruned int
}

func (f *failing) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full = err
}

func (f *failing) CreateFull(ctx context.Context, s snapshot.State, o archive.CreateOptions) (archive.Entry, error) {
	f.mu.Lock()
	err := f.full
	f.mu.Unlock()
	if err != nil {
		return archive.Entry{}, err
	}
	return f.shelf.CreateFull(ctx, s, o)
}

func (f *failing) Prune(ctx context.Context, p archive.Policy) ([]archive.Verdict, error) {
	f.mu.Lock()
	f.pruned++
	f.mu.Unlock()
	return f.shelf.Prune(ctx, p)
}

// TestCatchUpSnapshot: as soon as the catalog has caught up, a snapshot is made if
// the newest is older than the interval; not while it is catching up.
func TestCatchUpSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(tempDir(t), "catalog")
		cfg := quiet(dir)
		cfg.FullEvery, cfg.IncrEvery = 1000, 100
		h := eventtest.New(7, "main")
		r := run(t, cfg, eventtest.NewFeed(h.Take(850)))
		synctest.Wait()
		settle(t, r.Catalog)
		if diff := cmp.Diff([]uint64{800}, positions(entries(t, dir))); diff != "" {
			t.Errorf("after catching up: %s", diff)
		}
		for range 260 {
			r.feed.Append(h.Next())
			synctest.Wait()
			settle(t, r.Catalog)
		}
		all := entries(t, dir)
		if all[len(all)-1].Position != 1100 {
			t.Errorf("%v", names(all))
		}
		agrees(t, r.Catalog, h.Model())
		r.end(t)
	})
}

func positions(all []archive.Entry) (list []uint64) {
	for _, e := range all {
		list = append(list, e.Position)
	}
	return list
}

// Hazard 94: the event of an epoch is applied, and the process ends before its
// snapshot is there. The next one sees that event as one that was applied; the
// snapshot is made all the same, before anything else.
func TestBoundaryTakenForReplay(t *testing.T) {
	seed := uint64(8)
	events := historyEvents(seed, 80)
	boundary := 0
	for i, e := range events[30:] {
		if e.Kind == event.EpochStarted {
			boundary = 30 + i + 1
			break
		}
	}
	dir := filepath.Join(tempDir(t), "catalog")
	cfg := quiet(dir)
	cfg.EpochSnapshots = true
	c := open(t, cfg)
	apply(t, c, events[:boundary-1])
	killed := cfg
	killed.Dir = filepath.Join(tempDir(t), "killed")
	commit := c.db.commit
	shelf := &failing{shelf: c.shelf, full: errors.New("killed")}
	c.shelf, c.db.commit = shelf, commit
	apply(t, c, events[boundary-1:boundary])
	copyDir(t, dir, killed.Dir)
	if madeAt(entries(t, killed.Dir), uint64(boundary)) {
		t.Fatal("the snapshot is there already")
	}
	for _, again := range []bool{false, true} {
		c := openIn(t, killed)
		from := boundary
		if again {
			from-- // the source gives it once more
		}
		apply(t, c, events[from:])
		if !madeAt(entries(t, killed.Dir), uint64(boundary)) {
			t.Errorf("no snapshot at %d: %v", boundary, names(entries(t, killed.Dir)))
		}
		agrees(t, c, modelAt(seed, uint64(len(events))))
		must(t, c.Close())
	}
}

// Hazard 66: creation that keeps failing keeps the events, is counted and shown, is
// tried again when the next one is due, and stops nothing.
// Hazard 53: nothing is pruned after a creation that failed.
func TestSnapshotsFailQuietly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(tempDir(t), "catalog")
		cfg := quiet(dir)
		cfg.FullEvery, cfg.RetryEvery = 100, time.Hour
		h := eventtest.New(9, "main")
		r := &running{feed: eventtest.NewFeed(h.Take(250)), seen: &notices{}, done: make(chan error, 1)}
		cfg.Observer = r.seen
		r.Catalog = openIn(t, cfg)
		shelf := &failing{shelf: r.shelf, full: errors.New("no room for a snapshot")}
		r.shelf = shelf
		ctx, cancel := context.WithCancel(t.Context())
		r.stop = cancel
		go func() { r.done <- r.Follow(ctx, r.feed) }()
		synctest.Wait()
		agrees(t, r.Catalog, h.Model())
		s := r.Status()
		if s.Full.Failures == 0 || s.Full.Err == nil || s.First != 1 || shelf.pruned != 0 || len(entries(t, dir)) != 0 {
			t.Errorf("%+v, pruned %d times", s, shelf.pruned)
		}
		failures := s.Full.Failures
		time.Sleep(59 * time.Minute) // nothing comes, and the hour is not over
		synctest.Wait()
		if n := r.Status().Full.Failures; n != failures {
			t.Errorf("tried %d times without a reason", n-failures)
		}
		r.feed.Append(h.Take(60)...) // 300 is among them
		synctest.Wait()
		if n := r.Status().Full.Failures; n == failures {
			t.Error("not tried again when the next one was due")
		}
		shelf.fail(nil)
		time.Sleep(2 * time.Hour)
		r.feed.SetTip(310) // something wakes it
		synctest.Wait()
		settle(t, r.Catalog)
		if s := r.Status(); s.Full.Position != 310 || s.Full.Err != nil || s.First != 311 {
			t.Errorf("%+v", s)
		}
		var failed, made int
		for _, n := range r.seen.take() {
			switch n.(type) {
			case SnapshotFailed:
				failed++
			case SnapshotMade:
				made++
			}
		}
		if failed < 2 || made != 1 {
			t.Errorf("told of %d failures and %d snapshots", failed, made)
		}
		r.end(t)
	})
}
