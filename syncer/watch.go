package syncer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/recoverd/recoverd/recovery"
)

// Stage is how far a request has come. Stages only move forward, and any but
// Done may be left out.
type Stage uint8

const (
	// Queued: not begun, looking which pieces are missing, or waiting for a
	// flight of the same id that was asked for otherwise.
	Queued Stage = iota
	// Fetching: bytes are on their way, or wait for room in the barrier.
	Fetching
	// Stored: every piece is sealed and handed in; it is not durable yet. The
	// caller's slot is free (hazard 20).
	Stored
	// Done: there is an outcome.
	Done
)

var stages = [...]string{Queued: "queued", Fetching: "fetching", Stored: "stored", Done: "done"}

func (s Stage) String() string {
	if int(s) < len(stages) {
		return stages[s]
	}
	return fmt.Sprintf("stage(%d)", uint8(s))
}

// Status is where a request stands.
type Status struct {
	Stage Stage
	Bytes int64  // taken so far and not thrown away again
	Peer  string // who sends them, or sent the last; empty while unknown
}

// Watch follows one request to its end. It is latched: any number of watchers
// may look, as late and as slowly as they like, and all see the outcome (hazard
// 30). Its methods may be called from many goroutines.
type Watch struct {
	run    uint64              // the request's
	told   func(*Watch, Stage) // the request's; nil: nobody wants to be told
	flight *flight             // of which only req and meter are looked at here

	mu      sync.Mutex
	stage   Stage
	outcome recovery.Outcome
	answers []Answer
	// changed and ended are made when somebody first waits: most requests have
	// one watcher, and many have none.
	changed chan struct{}
	ended   chan struct{}
}

// meter is what moves between two stages of a flight. Reading it wakes nobody.
type meter struct {
	bytes atomic.Int64
	peer  atomic.Pointer[string]
}

func (m *meter) notePeer(name string) {
	if old := m.peer.Load(); old == nil || *old != name {
		m.peer.Store(&name)
	}
}

// Status returns the present stage and the bytes taken by now.
func (w *Watch) Status() Status {
	w.mu.Lock()
	s := Status{Stage: w.stage}
	w.mu.Unlock()
	s.Bytes = w.flight.meter.bytes.Load()
	if peer := w.flight.meter.peer.Load(); peer != nil {
		s.Peer = *peer
	}
	return s
}

// Changed returns a channel that is closed when the stage changes next; once
// Done, it is closed already. Bytes and Peer do not count as a change. To miss
// nothing, take the channel before the Status it is compared with.
func (w *Watch) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.changed = make(chan struct{})
		if w.stage == Done {
			close(w.changed)
		}
	}
	return w.changed
}

// Wait returns the outcome, or the error of ctx if that ends first. Giving up
// waiting does not cancel the request.
func (w *Watch) Wait(ctx context.Context) (recovery.Outcome, error) {
	if o, ok := w.Outcome(); ok {
		return o, nil
	}
	select {
	case <-w.end():
	case <-ctx.Done():
	}
	if o, ok := w.Outcome(); ok {
		return o, nil
	}
	return recovery.Outcome{}, ctx.Err()
}

// Outcome returns the outcome; ok is false before Done.
func (w *Watch) Outcome() (o recovery.Outcome, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.outcome, w.stage == Done
}

// Withdraw takes the request back, as CancelRun does those of a run. It does nothing
// to one that has ended.
func (w *Watch) Withdraw() {
	if t := w.flight.table; t != nil {
		t.withdraw(func(other *Watch) bool { return other == w }, errWithdrawn)
	}
}

// Answers says how the peers that were asked failed to serve the piece that ended
// the flight, in the order asked, at most MaxAnswers; none before Done, and none
// where no peer is to blame. The slice is everybody's and is not changed.
func (w *Watch) Answers() []Answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answers
}

// end returns a channel that is closed when there is an outcome.
func (w *Watch) end() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended == nil {
		w.ended = make(chan struct{})
		if w.stage == Done {
			close(w.ended)
		}
	}
	return w.ended
}

// move goes on to stage, which is not Done. It never goes back.
func (w *Watch) move(stage Stage) {
	if w.goOn(stage) && stage == Stored && w.told != nil {
		w.told(w, Stored)
	}
}

func (w *Watch) goOn(stage Stage) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if stage <= w.stage {
		return false
	}
	w.stage = stage
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
	return true
}

// finish latches the outcome. The first one stays.
func (w *Watch) finish(o recovery.Outcome, answers []Answer) {
	if w.latch(o, answers) && w.told != nil {
		w.told(w, Done)
	}
}

func (w *Watch) latch(o recovery.Outcome, answers []Answer) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stage == Done {
		return false
	}
	w.stage, w.outcome, w.answers = Done, o, answers
	if w.changed != nil {
		close(w.changed)
	}
	if w.ended != nil {
		close(w.ended)
	}
	return true
}

// stopped is the outcome of the request if it is taken back.
func (w *Watch) stopped(why error) recovery.Outcome {
	return recovery.Outcome{
		Result: recovery.Cancelled, Reason: recovery.Stopped, Err: why.Error(), Covers: w.flight.req.Covers,
	}
}
