package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
)

// ErrNoRun says that there is nothing to act on: no run is in force. The text says
// what is waited for.
var ErrNoRun = errors.New("worker: no run is in force")

// maxAsked bounds the requests of one kind that wait for their answers. Those whose
// caller has given up count until they are answered: the machine has them.
const maxAsked = 64

// desk is where an operator's requests wait for their answers.
type desk struct {
	asks chan request // to the loop
	// room holds one for each request that waits. Flags are answered by the next
	// save; what is about blobs may have to wait for a run, and must not hold up a
	// pause.
	flags, blobs chan struct{}

	// The loop's: who waits, by ticket.
	ticket  uint64
	waiting map[uint64]request
}

// request is an event with a ticket, and where its answer goes.
type request struct {
	event  func(ticket uint64) recovery.Event
	room   chan struct{}
	answer chan recovery.Answered // holds one
}

func newDesk() desk {
	return desk{
		asks: make(chan request), flags: make(chan struct{}, maxAsked), blobs: make(chan struct{}, maxAsked),
		waiting: map[uint64]request{},
	}
}

// take gives a request its ticket. The loop calls it.
func (d *desk) take(r request) recovery.Event {
	d.ticket++
	d.waiting[d.ticket] = r
	return r.event(d.ticket)
}

// answer hands an answer out. The loop calls it.
func (d *desk) answer(a recovery.Answered) {
	r, ok := d.waiting[a.Ticket]
	if !ok {
		return
	}
	delete(d.waiting, a.Ticket)
	r.answer <- a
	<-r.room
}

// request gives the machine an event and waits for its answer. Errors are ErrEnded
// and ctx's; then it may have an effect all the same.
func (w *Worker) request(ctx context.Context, room chan struct{}, event func(ticket uint64) recovery.Event) (recovery.Answered, error) {
	r := request{event, room, make(chan recovery.Answered, 1)}
	select {
	case room <- struct{}{}:
	case <-w.done:
		return recovery.Answered{}, ErrEnded
	case <-ctx.Done():
		return recovery.Answered{}, ctx.Err()
	}
	select {
	case w.desk.asks <- r:
	case <-w.done:
		<-room
		return recovery.Answered{}, ErrEnded
	case <-ctx.Done():
		<-room
		return recovery.Answered{}, ctx.Err()
	}
	select {
	case a := <-r.answer:
		return a, nil
	case <-w.done:
	case <-ctx.Done():
	}
	select {
	case a := <-r.answer: // it came first
		return a, nil
	default:
	}
	if ctx.Err() != nil {
		return recovery.Answered{}, ctx.Err()
	}
	return recovery.Answered{}, ErrEnded
}

// standing asks the loop where a blob stands.
func (w *Worker) standing(ctx context.Context, id recovery.BlobID) (recovery.Standing, error) {
	answer := make(chan recovery.Standing, 1)
	select {
	case w.calls <- func(m *recovery.Machine) { answer <- m.Standing(id) }:
		return <-answer, nil
	case <-w.done:
		return recovery.Standing{}, ErrEnded
	case <-ctx.Done():
		return recovery.Standing{}, ctx.Err()
	}
}

// inRun is standing for what needs a run in force.
func (w *Worker) inRun(ctx context.Context) (recovery.Standing, error) {
	s, err := w.standing(ctx, recovery.BlobID{})
	if err == nil && s.Run == 0 {
		err = fmt.Errorf("%w: %s", ErrNoRun, s.Why)
	}
	return s, err
}
