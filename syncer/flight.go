package syncer

import (
	"context"
	"sync"

	"github.com/recoverd/recoverd/recovery"
)

// flight is one way of one blob to the store, for everybody who asked for it in
// the same words. What follows the meter belongs to the table.
type flight struct {
	req   Request // of whoever asked first; never changes
	table *table  // nil: it never was on one
	meter meter

	stage   Stage
	run     uint64   // the newest that had asked for anything when this was made
	watches []*Watch // of the requests that still want it
	cancel  context.CancelCauseFunc
	// stopping: nobody wanted it any more. It takes no new request, and keeps
	// its place until it has ended.
	stopping bool
	// next waits for this one to end (hazard 88).
	next *flight
	// first and firstOf save two allocations for what nearly every flight is:
	// one request, one watch.
	first   Watch
	firstOf [1]*Watch
}

func newFlight(req Request) *flight {
	f := &flight{req: req}
	f.watches = f.firstOf[:0]
	return f
}

// serves reports whether an answer to f answers req too. Which run of two asked does
// not matter unless a newer one began in between: then the store may be another, or
// have lost what f has published (I6). What replaces serves who
// only wants it stored, and not the other way round; and who wants it replaced only
// until it begins, for what is wrong now may be what it has published.
func (f *flight) serves(req Request) bool {
	return f.req.Blob == req.Blob && f.req.Placement == req.Placement && f.req.Covers.Equal(req.Covers) &&
		(!req.Replace || f.req.Replace && f.stage == Queued)
}

// admit lets a request share the flight.
func (f *flight) admit(req Request) *Watch {
	w := &f.first
	if w.flight != nil {
		w = new(Watch)
	}
	w.run, w.told, w.flight = req.Run, req.Told, f
	w.move(f.stage)
	f.watches = append(f.watches, w)
	return w
}

// withdraw removes the requests that match from f and returns their watches.
func (f *flight) withdraw(match func(*Watch) bool, gone []*Watch) []*Watch {
	kept := f.watches[:0]
	for _, w := range f.watches {
		if match(w) {
			gone = append(gone, w)
		} else {
			kept = append(kept, w)
		}
	}
	clear(f.watches[len(kept):])
	f.watches = kept
	return gone
}

// start makes f the flight under way of its id.
func (f *flight) start() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	f.cancel = cancel
	return ctx
}

// stop ends a flight under way, unless it is in the barrier: what was handed in
// there stays in.
func (f *flight) stop() {
	f.stopping = true
	f.cancel(nil)
}

// table holds the flights: of each id at most one under way, and behind it, in
// the order of asking, those that wait for it (I9). It starts and waits for
// nothing itself.
type table struct {
	mu      sync.Mutex
	flights map[recovery.BlobID]*flight // under way
	run     uint64                      // the newest that has asked for anything
	closed  bool
	running sync.WaitGroup // one for each id
}

// join adds a request to the flight that serves it, which is made if there is
// none. A non-nil f is to be flown by the caller, with ctx, until it has no
// successor. The watch is nil when the table is closed.
func (t *table) join(req Request) (w *Watch, f *flight, ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, nil, nil
	}
	t.run = max(t.run, req.Run)
	var last *flight
	for f := t.flights[req.Blob.ID]; f != nil; f = f.next {
		if !f.stopping && (f.run == t.run || f.stage == Queued) && f.serves(req) {
			return f.admit(req), nil, nil
		}
		last = f
	}
	f = newFlight(req)
	f.table, f.run = t, t.run
	w = f.admit(req)
	if last != nil {
		last.next = f
		return w, nil, nil
	}
	t.flights[req.Blob.ID] = f
	t.running.Add(1)
	return w, f, f.start()
}

// move tells everybody who wants f how far it has come.
func (t *table) move(f *flight, stage Stage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.stage = stage
	for _, w := range f.watches {
		w.move(stage)
	}
}

// land takes a flight that has ended off the table, and tells everybody who wants
// to know. It returns the successor, to be flown with ctx.
func (t *table) land(f *flight, o recovery.Outcome, answers []Answer) (next *flight, ctx context.Context) {
	watches, next, ctx := t.leave(f)
	// After leaving, so that whoever asks again on hearing it finds no flight that
	// has ended.
	for _, w := range watches {
		w.finish(o, answers)
	}
	return next, ctx
}

func (t *table) leave(f *flight) (watches []*Watch, next *flight, ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.cancel(nil)
	watches, f.watches = f.watches, nil
	if next = f.next; next == nil {
		delete(t.flights, f.req.Blob.ID)
		return watches, nil, nil
	}
	t.flights[f.req.Blob.ID] = next
	return watches, next, next.start()
}

// withdraw takes back every request that matches, and ends its watch. Flights that
// nobody wants any more are stopped, or dropped if they were still waiting.
func (t *table) withdraw(match func(*Watch) bool, why error) {
	for _, w := range t.take(match) {
		w.finish(w.stopped(why), nil)
	}
}

// take removes the requests that match from their flights.
func (t *table) take(match func(*Watch) bool) []*Watch {
	t.mu.Lock()
	defer t.mu.Unlock()
	var gone []*Watch
	for _, head := range t.flights {
		gone = head.withdraw(match, gone)
		if len(head.watches) == 0 && !head.stopping {
			head.stop()
		}
		for before := head; before.next != nil; {
			f := before.next
			if gone = f.withdraw(match, gone); len(f.watches) == 0 {
				before.next = f.next
			} else {
				before = f
			}
		}
	}
	return gone
}

// close lets nothing more in.
func (t *table) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// has reports whether a flight of id is under way.
func (t *table) has(id recovery.BlobID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.flights[id] != nil
}
