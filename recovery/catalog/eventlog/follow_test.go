package eventlog

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/event/eventtest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
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
		apply(t, r.Catalog, h.Take(1)) // from elsewhere, beyond what the source knows
		if tip := agrees(t, r.Catalog, h.Model()); tip.AtTip {
			t.Error("at a tip that it has left")
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

// spied is a source that is looked at whenever it was read.
type spied struct {
	event.Source
	look func()
}

func (s *spied) Read(ctx context.Context, after uint64, limit int) ([]event.Event, uint64, error) {
	defer s.look()
	return s.Source.Read(ctx, after, limit)
}

// TestNeverAtTheTipTooEarly: not between two reads either.
func TestNeverAtTheTipTooEarly(t *testing.T) {
	cfg := quiet(filepath.Join(tempDir(t), "catalog"))
	cfg.BatchEvents = 20
	c := open(t, cfg)
	feed := eventtest.NewFeed(historyEvents(33, 100))
	feed.SetTip(110)
	ctx, cancel := context.WithCancel(t.Context())
	reads := 0
	src := &spied{feed, func() {
		if reads++; reads == 10 {
			cancel()
		}
		if s := c.Status(); s.AtTip {
			t.Errorf("read %d: at its tip at %d of %d", reads, s.Position, s.Tip)
		}
		feed.Append() // wakes it
	}}
	if err := c.Follow(ctx, src); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if at := c.Status().Position; at != 100 {
		t.Errorf("position %d", at)
	}
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
	must(t, c.read(t.Context(), func(v *view) error {
		for _, table := range v.b.delta {
			if key := firstKey(table); key != nil {
				t.Errorf("%x is in the delta still", key)
			}
		}
		return nil
	}))
	apply(t, c, []event.Event{other})
	agrees(t, c, h.Model())
}

// Hazard 84, the source's side: events of another network are not applied.
func TestEventsOfAnotherNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := eventtest.NewFeed(nil)
		feed.Fail(fmt.Errorf("%w: these are events of network \"other\"", recovery.ErrMisconfigured))
		r := run(t, quiet(filepath.Join(tempDir(t), "catalog")), feed)
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := r.Status(); !errors.Is(s.Trouble, recovery.ErrMisconfigured) || s.Position != 0 || s.AtTip {
			t.Errorf("%+v", s)
		}
		must(t, feed.Close())
		time.Sleep(time.Minute)
		if err := <-r.done; !errors.Is(err, event.ErrClosed) {
			t.Errorf("the source was closed: %v", err)
		}
		must(t, r.Close())
	})
}
