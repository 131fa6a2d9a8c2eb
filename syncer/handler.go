package syncer

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/recoverd/recoverd/recovery"
)

// Handler syncs blobs. Its methods may be called from many goroutines.
//
// It bounds what waits for durability, and nothing else: how many blobs and
// bytes are in flight is up to those who ask (I10).
type Handler struct {
	cfg     Config // with defaults
	barrier *barrier
	table   table
	crew    *crew
	stepped bool // a Stepper flies and lands; there is no crew
	// received counts bytes, also of what was cut off or wrong.
	received atomic.Uint64
}

var (
	errWithdrawn = errors.New("the request was cancelled")
	errClosed    = errors.New("the syncer is closed")
)

// New returns a Handler. Errors wrap ErrConfig. The store and the fetcher stay
// the caller's, who closes them after the Handler.
func New(cfg Config) (*Handler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Handler{
		cfg:     cfg,
		barrier: newBarrier(cfg.Barrier),
		table:   table{flights: make(map[recovery.BlobID]*flight)},
		crew:    newCrew(),
	}, nil
}

// Sync asks for a blob and returns at once. If the blob is under way for the
// same covers and placement, and no newer run has begun since, the request shares
// that flight; if it is under way otherwise, a flight of its own follows (I9, I6,
// hazard 88).
// Every Watch ends, with an outcome that holds for this request.
func (h *Handler) Sync(req Request) *Watch {
	w, f, ctx := h.table.join(req)
	switch {
	case w == nil:
		w = newFlight(req).admit(req)
		w.finish(w.stopped(errClosed), nil)
	case f != nil:
		h.fly(ctx, f)
	}
	return w
}

func (h *Handler) fly(ctx context.Context, f *flight) {
	h.crew.give(func() { (&blobSync{handler: h, flight: f}).begin(ctx) })
}

// over lands a flight of which nothing is under way any more, and has the one that
// waited for it flown.
func (h *Handler) over(s *blobSync) {
	if h.stepped {
		return // its caller lands it
	}
	outcome, answers := s.end()
	if next, ctx := h.table.land(s.flight, outcome, answers); next != nil {
		h.fly(ctx, next)
		return
	}
	h.table.running.Done()
}

// CancelRun takes back every request of a run: its watches end at once with
// Cancelled (stopped). Flights that nobody else wants are stopped; they are not
// waited for, and pieces already handed to the barrier become durable all the
// same. Requests made later are not touched.
func (h *Handler) CancelRun(run uint64) {
	h.table.withdraw(func(w *Watch) bool { return w.run == run }, errWithdrawn)
}

// Flying reports whether a flight of the blob is under way. Its pieces may then
// stand in the store under names that a power cut would take back (I5). So
// whoever lists the store and takes what is there for settled must ask after
// the listing, and leave out what is flying. After a failed flush every blob is:
// which of the names are durable is not known any more (I12).
func (h *Handler) Flying(id recovery.BlobID) bool {
	// In this order: a flight lands only after the failure is known.
	return h.table.has(id) || h.barrier.failure() != nil
}

// Received counts the bytes that came from peers since the Handler was made.
func (h *Handler) Received() uint64 { return h.received.Load() }

// Err returns the failed flush after which nothing is acknowledged any more, or
// nil. It wraps ErrNotDurable. The process reports it and ends (I12).
func (h *Handler) Err() error { return h.barrier.failure() }

// Close takes back every request, lets nothing more in, and returns when every
// goroutine has ended: what the barrier held is durable then, or the error says
// that it is not (ErrNotDurable). It may be called more than once.
func (h *Handler) Close() error {
	h.table.close()
	h.table.withdraw(func(*Watch) bool { return true }, errClosed)
	h.table.running.Wait()
	h.crew.close()
	h.barrier.close()
	return h.barrier.failure()
}
