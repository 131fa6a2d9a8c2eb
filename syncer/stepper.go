package syncer

import (
	"context"

	"github.com/recoverd/recoverd/recovery"
)

// Stepper is a Handler that does nothing by itself: its caller flies each flight and
// turns each volume's lane when it likes, so that a simulation chooses the order of
// everything. Who shares a flight, what is judged, what an error means, and the order
// in which a group becomes durable are the Handler's own. It starts no goroutine, and
// one goroutine at a time uses it. The only clock it has is the deadline of a fetch.
type Stepper struct {
	handler *Handler
	named   map[Volume][]ticket // published by the last turn, their names not flushed yet
}

// NewStepper returns a Stepper. Errors wrap ErrConfig. The barrier must have room
// for all that is in flight, for nothing can wait for it.
func NewStepper(cfg Config) (*Stepper, error) {
	h, err := New(cfg)
	if err != nil {
		return nil, err
	}
	h.stepped, h.barrier.stepped = true, true
	return &Stepper{handler: h, named: make(map[Volume][]ticket)}, nil
}

// Sync is Handler.Sync. A flight that is not nil is new, and to be flown.
func (s *Stepper) Sync(req Request) (*Watch, *Flight) {
	w, f, ctx := s.handler.table.join(req)
	return w, s.flight(f, ctx)
}

func (s *Stepper) flight(f *flight, ctx context.Context) *Flight {
	if f == nil {
		return nil
	}
	return &Flight{ctx: ctx, sync: &blobSync{handler: s.handler, flight: f}, stepper: s}
}

// CancelRun is Handler.CancelRun.
func (s *Stepper) CancelRun(run uint64) { s.handler.CancelRun(run) }

// Flying is Handler.Flying.
func (s *Stepper) Flying(id recovery.BlobID) bool { return s.handler.Flying(id) }

// Err is Handler.Err.
func (s *Stepper) Err() error { return s.handler.Err() }

// Waiting is how many sealed drafts, and how many names, wait for a flush of v.
func (s *Stepper) Waiting(v Volume) (drafts, names int) {
	l, _ := s.handler.barrier.lanes.get(v, s.handler.barrier)
	drafts, _, _ = l.queue.look()
	return drafts, len(s.named[v])
}

// Turn makes one group of a volume durable, the way its lane does.
func (s *Stepper) Turn(v Volume) {
	l, _ := s.handler.barrier.lanes.get(v, s.handler.barrier)
	s.named[v] = l.commit(l.queue.take(nil), s.named[v])
}

// Flight is one way of one blob to the store.
type Flight struct {
	ctx     context.Context
	sync    *blobSync
	stepper *Stepper
	begun   bool
}

// Request is what was asked for by whoever asked first.
func (f *Flight) Request() Request { return f.sync.flight.req }

// Fly fetches what is missing and hands it to the barrier; once.
func (f *Flight) Fly() {
	f.begun = true
	f.sync.begin(f.ctx)
}

// Land ends the flight if the barrier has answered for every piece. next is one that
// waited for it, to be flown now, or nil.
func (f *Flight) Land() (landed bool, next *Flight) {
	if !f.begun || f.sync.pending > 0 {
		return false, nil
	}
	outcome, answers := f.sync.end()
	follower, ctx := f.stepper.handler.table.land(f.sync.flight, outcome, answers)
	return true, f.stepper.flight(follower, ctx)
}

// Flown reports whether Fly was called.
func (f *Flight) Flown() bool { return f.begun }
