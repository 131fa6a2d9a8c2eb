package peer

import (
	"context"
	"errors"
	"sync"
)

// race decides who is read on where a peer keeps a fetch waiting: it, or a rival that
// was asked for the same bytes meanwhile. Whoever delivers first is; so the sink has
// one writer, whoever wins.
type race struct {
	rivals sync.WaitGroup // goroutines of rivals, also of those that lost

	mu      sync.Mutex
	on      bool          // the fetch waits, and no rival has delivered
	waiting *stream       // for which it waits
	from    int64         // where a rival begins
	tried   peerSet       // peers that can be no rivals
	rival   *stream       // nil: none was asked in this wait
	decided chan struct{} // closed when the rival has won or lost
	won     bool          // by the rival
	failed  []failure     // of rivals; the fetch takes them
}

// failure is how a stream ended.
type failure struct {
	stream *stream
	err    *Error
}

// begin is called before the fetch waits for s to send the bytes from an offset on.
func (r *race) begin(s *stream, from int64, tried peerSet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on, r.waiting, r.from, r.tried = true, s, from, tried|s.member.set()
	r.rival, r.won = nil, false
}

// end is called when the wait is over. It returns the rival that is read on instead,
// or nil; beaten tells that it was faster. If the wait ended in a failure, a rival
// under way gets its chance first.
func (r *race) end(failure bool) (rival *stream, beaten bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rival != nil && r.on && failure {
		decided := r.decided
		r.mu.Unlock()
		<-decided
		r.mu.Lock()
	} else {
		beaten = r.won
	}
	r.on = false
	if r.won {
		return r.rival, beaten
	}
	if r.rival != nil {
		r.rival.cancel(errBeaten)
	}
	return nil, false
}

// win reports whether the rival delivered while the fetch still waited, which then
// waits no more.
func (r *race) win(rival *stream) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.on || r.rival != rival {
		return false
	}
	r.on, r.won = false, true
	r.waiting.cancel(errBeaten)
	return true
}

func (r *race) fail(rival *stream, err *Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, failure{rival, err})
}

func (r *race) takeFailures() (all []failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, r.failed = r.failed, nil
	return all
}

// late is called, from a timer's goroutine, when a stream keeps somebody waiting: it
// asks a rival if it is the fetch that waits, and there may be one.
func (f *fetch) late(ctx context.Context) {
	r := &f.race
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.on || r.rival != nil {
		return
	}
	m := f.pool.board.rival(f.piece, r.tried)
	if m == nil {
		return
	}
	rival := f.begin(ctx, m)
	rival.isRival, rival.offset = true, r.from
	r.rival, r.decided = rival, make(chan struct{})
	from, decided := Resume{Offset: r.from}, r.decided
	r.rivals.Go(func() {
		defer close(decided)
		f.chase(rival, from)
	})
}

// chase runs a rival until it has won or lost. One that is too late is counted as
// neither success nor failure.
func (f *fetch) chase(rival *stream, from Resume) {
	err := f.deliver(rival, from)
	if err == nil && f.race.win(rival) {
		return // the fetch has it now
	}
	var failed *Error
	if errors.As(err, &failed) {
		f.race.fail(rival, f.pool.board.fail(rival, failed))
		return
	}
	f.pool.board.abandon(rival)
}

// deliver returns when the rival has begun to send what is waited for.
func (f *fetch) deliver(rival *stream, from Resume) error {
	if err := rival.open(from); err != nil {
		return err
	}
	if rival.body.Offset != from.Offset {
		return errBeaten // it begins again: what is waited for is nearer
	}
	n := int64(f.pool.throttle.chunk(f.pool.cfg.BufferSize))
	if f.size >= 0 {
		n = min(n, f.size-from.Offset+1)
	}
	err := rival.peek(make([]byte, n))
	var cut *cutError
	if errors.As(err, &cut) {
		return cutOff(from.Offset, cut)
	}
	return err
}
