package eventlog

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/event/eventtest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// notices are what an observer was told.
type notices struct {
	mu  sync.Mutex
	all []Notice
}

func (n *notices) Observe(notice Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, notice)
}

func (n *notices) take() []Notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := n.all
	n.all = nil
	return all
}

// running is a catalog that follows a feed in virtual time.
type running struct {
	*Catalog
	feed *eventtest.Feed
	seen *notices
	stop context.CancelFunc
	done chan error
}

func run(t *testing.T, cfg Config, feed *eventtest.Feed) *running {
	r := &running{feed: feed, seen: &notices{}, done: make(chan error, 1)}
	cfg.Observer = r.seen
	r.Catalog = openIn(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	go func() { r.done <- r.Follow(ctx, feed) }()
	return r
}

// end stops following and wants it to end because of that.
func (r *running) end(t *testing.T) {
	t.Helper()
	r.stop()
	if err := <-r.done; !errors.Is(err, context.Canceled) {
		t.Errorf("Follow: %v", err)
	}
	must(t, r.Close())
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := eventtest.New(1, "main")
		feed := eventtest.NewFeed(h.Take(2500))
		r := run(t, quiet(filepath.Join(tempDir(t), "catalog")), feed)
		synctest.Wait()
		agrees(t, r.Catalog, h.Model())
		if s := r.Status(); !s.AtTip || s.Tip != 2500 || s.Behind() != 0 {
			t.Errorf("%+v", s)
		}
		changed := make(chan error, 1)
		go func() { changed <- r.Changed(t.Context()) }()
		feed.Append(h.Take(3)...)
		must(t, <-changed)
		synctest.Wait()
		if tip := agrees(t, r.Catalog, h.Model()); !tip.AtTip || tip.Position != 2503 {
			t.Errorf("%+v", tip.Bound)
		}
		r.end(t)
		if _, _, err := r.Lookup(context.Background(), nil); !errors.Is(err, catalog.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// Hazard 87, the catalog's side: as long as the source knows of events that it does
// not give, the catalog is not at its tip, and a source that knows fewer than the
// catalog has says nothing about the tip.
func TestCompleteBehindTheEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := eventtest.New(2, "main")
		feed := eventtest.NewFeed(h.Take(30))
		feed.SetTip(50)
		dir := filepath.Join(tempDir(t), "catalog")
		r := run(t, quiet(dir), feed)
		synctest.Wait()
		if tip := agrees(t, r.Catalog, h.Model()); tip.AtTip {
			t.Errorf("at its tip, %d behind", r.Status().Behind())
		}
		feed.SetTip(30)
		synctest.Wait()
		must(t, r.Changed(t.Context())) // whether it is the tip has changed
		if tip := agrees(t, r.Catalog, h.Model()); !tip.AtTip {
			t.Error("not at its tip")
		}
		r.end(t)
		r = run(t, quiet(dir), eventtest.NewFeed(nil))
		synctest.Wait()
		if tip := agrees(t, r.Catalog, h.Model()); tip.AtTip {
			t.Error("at its tip, says a source that has nothing")
		}
		r.end(t)
	})
}

// Hazards 27 and 28, the source's side: what fails is tried again after 1 s to 30 s,
// told once, counted, and over when it is; pages are given meanwhile.
func TestSourceThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := eventtest.New(3, "main")
		feed := eventtest.NewFeed(h.Take(20))
		r := run(t, quiet(filepath.Join(tempDir(t), "catalog")), feed)
		synctest.Wait()
		r.seen.take()
		reads := feed.Reads()
		feed.Fail(errors.New("the server is on fire"))
		began := time.Now()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := feed.Reads() - reads; n < 20 || n > 26 {
			t.Errorf("read %d times in %v", n, time.Since(began))
		}
		tip := agrees(t, r.Catalog, h.Model())
		if s := r.Status(); tip.AtTip || s.Trouble == nil || s.Failures < 20 {
			t.Errorf("at tip %v, %+v", tip.AtTip, s)
		}
		feed.Fail(errors.New("the server is under water"))
		time.Sleep(time.Minute)
		feed.Fail(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := r.Status(); !s.AtTip || s.Trouble != nil {
			t.Errorf("%+v", s)
		}
		var told []string
		for _, n := range r.seen.take() {
			switch n := n.(type) {
			case TroubleBegan:
				told = append(told, n.Err.Error())
			case TroubleEnded:
				told = append(told, "over")
				if n.Failures < 20 {
					t.Errorf("%d failures", n.Failures)
				}
			}
		}
		if diff := cmp.Diff([]string{"the server is on fire", "the server is under water", "over"}, told); diff != "" {
			t.Error(diff)
		}
		r.end(t)
	})
}

// TestContradictionStopsIngestion: what comes before it is applied, nothing of it
// or behind it, and it is said which.
func TestContradictionStopsIngestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := eventtest.New(4, "main")
		events := h.Take(37)
		bad := event.Event{Position: 38, Kind: event.Certify}
		bad.Blob[0] = 1
		after := event.Event{Position: 39, Kind: event.EpochStarted, Epoch: 1000}
		r := run(t, quiet(filepath.Join(tempDir(t), "catalog")), eventtest.NewFeed(append(events, bad, after)))
		time.Sleep(time.Hour)
		synctest.Wait()
		tip := agrees(t, r.Catalog, h.Model())
		var no *event.ContradictionError
		if s := r.Status(); !errors.As(s.Trouble, &no) || no.Position != 38 || tip.AtTip || s.Behind() != 2 {
			t.Errorf("%+v", s)
		}
		if told := r.seen.take(); len(told) != 1 {
			t.Errorf("told %v", told)
		}
		r.end(t)
	})
}

// TestStopAt: nothing behind the position is applied, and a full snapshot is there
// when Follow returns.
func TestStopAt(t *testing.T) {
	for _, batch := range []int{1, 7, 1000} {
		seed, dir := uint64(5), filepath.Join(tempDir(t), "catalog")
		cfg := quiet(dir)
		cfg.StopAt, cfg.BatchEvents = 61, batch
		c := openIn(t, cfg)
		feed := eventtest.NewFeed(historyEvents(seed, 100))
		for range 2 { // again: there is nothing to be done
			must(t, c.Follow(t.Context(), feed))
			agrees(t, c, modelAt(seed, 61))
			all := entries(t, dir)
			if len(all) != 1 || all[0].Position != 61 || all[0].Kind != snapshot.Full {
				t.Errorf("batches of %d: %v", batch, names(all))
			}
		}
		apply(t, c, historyEvents(seed, 100)) // not by another way either
		agrees(t, c, modelAt(seed, 61))
		must(t, c.Close())
		cfg.StopAt = 60
		c = openIn(t, cfg)
		if err := c.Follow(t.Context(), feed); !errors.Is(err, ErrPastStop) {
			t.Errorf("to stop at 60, from 61: %v", err)
		}
		must(t, c.Close())
	}
}

// TestStopAtWithoutRoom: the last snapshot's failure is Follow's.
func TestStopAtWithoutRoom(t *testing.T) {
	cfg := quiet(filepath.Join(tempDir(t), "catalog"))
	cfg.StopAt = 20
	c := open(t, cfg)
	shelf := &failing{shelf: c.shelf, full: errors.New("no room")}
	c.shelf = shelf
	feed := eventtest.NewFeed(historyEvents(6, 50))
	if err := c.Follow(t.Context(), feed); !errors.Is(err, shelf.full) {
		t.Errorf("%v", err)
	}
	shelf.fail(nil)
	must(t, c.Follow(t.Context(), feed))
	agrees(t, c, modelAt(6, 20))
}

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

// TestApplyIsIdempotent: what was applied is passed over if it is the same, and an
// error if it is not; a gap names the first missing number.
func TestApplyIsIdempotent(t *testing.T) {
	h := eventtest.New(10, "main")
	events := h.Take(50)
	c := open(t, quiet(filepath.Join(tempDir(t), "catalog")))
	apply(t, c, events[:40])
	for _, part := range [][]event.Event{events[:1], events[10:30], events[:40], events[39:40], nil} {
		apply(t, c, part)
	}
	other := events[20]
	other.Kind, other.Blob, other.Object = event.Invalidate, [32]byte{9}, [32]byte{}
	other = event.Event{Position: 21, Kind: event.Invalidate, Blob: other.Blob}
	if err := c.Apply(t.Context(), []event.Event{other}, 0); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "event 21") {
		t.Errorf("another event 21: %v", err)
	}
	var missing *event.MissingError
	if err := c.Apply(t.Context(), events[41:45], 0); !errors.As(err, &missing) || missing.First != 41 || missing.Found != 42 {
		t.Errorf("a gap: %v", err)
	}
	if err := c.Apply(t.Context(), []event.Event{events[40], events[42]}, 0); !errors.As(err, &missing) || missing.First != 42 {
		t.Errorf("a gap inside: %v", err)
	}
	if err := c.Apply(t.Context(), []event.Event{{Position: 41}}, 0); !errors.Is(err, event.ErrMalformed) {
		t.Errorf("no event: %v", err)
	}
	apply(t, c, events[35:])
	agrees(t, c, h.Model())
	// Events that the log does not hold any more are ignored.
	_, err := c.Snapshot(t.Context(), snapshot.Full)
	must(t, err)
	if first := c.Status().First; first != 51 {
		t.Errorf("the log begins at %d", first)
	}
	apply(t, c, []event.Event{other})
	agrees(t, c, h.Model())
}
