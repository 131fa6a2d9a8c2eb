package syncer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/recoverd/recoverd/recovery"
)

// blobSync takes one blob from a request to its outcome: one goroutine brings its
// pieces to the barrier, and whatever ends last, that goroutine or a piece in the
// barrier, lands the flight. So nobody waits for a flush but the pieces themselves.
type blobSync struct {
	handler *Handler
	flight  *flight

	// Of the goroutine that flies, until it has ended.
	handed int
	bytes  int64 // of the handed pieces
	err    error // how it ended

	mu      sync.Mutex
	pending int   // pieces without an answer, and one for who flies
	late    error // the worst of the answers
}

// begin goes as far as the barrier with every missing piece.
func (s *blobSync) begin(ctx context.Context) {
	s.pending = 1
	b := s.handler.barrier
	b.feeders.enter()
	s.err = s.storeMissing(ctx)
	b.feeders.leave()
	if s.err == nil && s.handed > 0 {
		s.handler.table.move(s.flight, Stored)
	}
	s.answered(nil)
}

// answered takes the barrier's answer for a piece, or the end of begin. A failed flush
// outranks other errors.
func (s *blobSync) answered(err error) {
	s.mu.Lock()
	if s.late == nil || errors.Is(err, ErrNotDurable) {
		s.late = err
	}
	s.pending--
	over := s.pending == 0
	s.mu.Unlock()
	if over {
		s.handler.over(s)
	}
}

func (s *blobSync) expect(more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending += more
}

// end sums up, when nothing of the blob is under way any more: neither in begin nor in
// the barrier. Pieces handed in before another one failed were waited for as well:
// until they have their answer, the next flight of this id could not tell a name that
// is durable from one that is not. The outcome speaks of the whole of the request's
// covers.
func (s *blobSync) end() (recovery.Outcome, []Answer) {
	err := s.err
	if err == nil || errors.Is(s.late, ErrNotDurable) {
		err = s.late
	}
	outcome := s.outcome(err)
	outcome.Covers = s.flight.req.Covers
	return outcome, answersIn(err)
}

func (s *blobSync) outcome(err error) recovery.Outcome {
	switch {
	case err != nil:
		return classify(err)
	case s.handed == 0:
		return recovery.Outcome{Result: recovery.Skipped, Reason: recovery.AlreadyStored}
	}
	o := recovery.Outcome{Result: recovery.Success, Bytes: s.bytes}
	if peer := s.flight.meter.peer.Load(); peer != nil {
		o.Peer = *peer
	}
	return o
}

// storeMissing hands every missing piece to the barrier, one after the other.
func (s *blobSync) storeMissing(ctx context.Context) error {
	if err := s.handler.barrier.failure(); err != nil {
		return err
	}
	missing, err := s.missing(ctx)
	if err != nil {
		return err
	}
	// Nothing is acknowledged after a failed flush, a piece that is there least
	// of all: its name may be one that was never made durable (I12).
	if err := s.handler.barrier.failure(); err != nil || len(missing) == 0 {
		return err
	}
	verifier, err := s.handler.cfg.verifierFor(s.flight.req)
	if err != nil {
		return err
	}
	s.handler.table.move(s.flight, Fetching)
	gatherer, gathers := s.handler.cfg.Fetcher.(Gatherer)
	for i, p := range missing {
		if gathers && p.Blob.Encoding == recovery.Striped && !p.Manifest { // which is the first
			return s.gather(ctx, gatherer, missing[i:], verifier)
		}
		if err := s.store(ctx, p, verifier); err != nil {
			return err
		}
	}
	return nil
}

// missing lists the owned pieces that the store does not have, or all that are to be
// replaced, by rising shard, after the manifest of a striped blob. A blob without a
// piece on the covered shards misses none.
func (s *blobSync) missing(ctx context.Context) ([]Piece, error) {
	req := s.flight.req
	if req.Covers.Total == 0 {
		return nil, fmt.Errorf("%w: the total number of shards is 0", ErrOtherSet)
	}
	var buf [1]uint32
	var missing []Piece
	look := func(p Piece) error {
		if req.Replace {
			missing = append(missing, p)
			return nil
		}
		has, err := s.handler.cfg.Store.Has(ctx, p)
		switch {
		case err != nil: // never "no" (I8)
			return storeError("look for the piece", err)
		case !has:
			missing = append(missing, p)
		}
		return nil
	}
	holders := req.Placement.Holders(buf[:0], req.Blob.ID, req.Covers.Total, req.Covers.Owned)
	if req.Blob.Encoding == recovery.Striped && len(holders) > 0 {
		if err := look(Piece{Blob: req.Blob, Manifest: true}); err != nil {
			return nil, err
		}
	}
	for _, shard := range holders {
		index := req.Placement.PieceOf(req.Blob.ID, shard, req.Covers.Total)
		if err := look(Piece{Blob: req.Blob, Shard: shard, Index: index}); err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// opened is a piece with a draft to fill.
type opened struct {
	piece Piece
	draft Draft
	sink  *pieceSink
	ended bool // the barrier has the draft
}

func (s *blobSync) open(ctx context.Context, p Piece, v Verifier) (*opened, error) {
	judge, err := v.Begin(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("begin to verify: %w", err)
	}
	size := judge.Size()
	if size < 0 || size > maxPiece {
		return nil, fmt.Errorf("%w: a piece of %d bytes", ErrUnverifiable, size)
	}
	draft, err := s.handler.cfg.Store.Create(ctx, p, size)
	if err != nil {
		return nil, storeError("create", err)
	}
	return &opened{piece: p, draft: draft, sink: newSink(draft, judge, &s.flight.meter, &s.handler.received)}, nil
}

// discard throws away what was not handed in.
func (o *opened) discard() {
	if !o.ended {
		_ = o.draft.Discard() // a leftover goes when the store is opened next
	}
}

// handIn seals a draft whose bytes are right and gives it to the barrier. There is no
// deadline: a slow disk is no reason to fetch them again.
func (s *blobSync) handIn(ctx context.Context, o *opened) error {
	if err := o.draft.Seal(); err != nil {
		return storeError("seal", err)
	}
	if overdue(ctx) {
		ctx = context.WithoutCancel(ctx) // it has come all the same, and nobody took it back
	}
	s.expect(1)
	if err := s.handler.barrier.handIn(ctx, o.draft, o.sink.size, s); err != nil {
		s.expect(-1)
		return err
	}
	o.ended = true
	s.handed++
	s.bytes += o.sink.size
	return nil
}

// store fetches one piece into a draft and hands it to the barrier.
func (s *blobSync) store(ctx context.Context, p Piece, v Verifier) error {
	o, err := s.open(ctx, p, v)
	if err != nil {
		return err
	}
	defer o.discard()
	err = s.inTime(ctx, o.sink.size, []*opened{o}, func(ctx context.Context) (string, error) {
		return s.handler.cfg.Fetcher.Fetch(ctx, p, o.sink)
	})
	if err == nil {
		err = o.sink.Verify() // also if the fetcher forgot to
	}
	if err != nil {
		return err
	}
	return s.handIn(ctx, o)
}

// gather fetches several pieces of a striped blob together. Those that are right are
// handed in, whatever becomes of the others.
func (s *blobSync) gather(ctx context.Context, g Gatherer, pieces []Piece, v Verifier) error {
	if len(pieces) == 0 {
		return nil
	}
	all, wanted, size := make([]*opened, 0, len(pieces)), make([]Wanted, 0, len(pieces)), int64(0)
	shared := &deadline{}
	for _, p := range pieces {
		o, err := s.open(ctx, p, v)
		if err != nil {
			return err
		}
		defer o.discard() // of all, when this returns
		o.sink.deadline = shared
		all, wanted, size = append(all, o), append(wanted, Wanted{p, o.sink}), size+o.sink.size
	}
	// Rebuilding takes as many bytes as the blob has, however few are missing.
	err := s.inTime(ctx, max(size, s.flight.req.Blob.Size), all, func(ctx context.Context) (string, error) {
		return g.Gather(ctx, wanted)
	})
	for _, o := range all {
		wrong := o.sink.Verify()
		if wrong == nil {
			wrong = s.handIn(ctx, o)
		} else if err != nil {
			continue // which says more
		}
		if wrong != nil {
			err = errors.Join(wrong, err)
		}
	}
	return err
}

// overdue reports whether the flight's time was up before it was done.
func overdue(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}

// inTime fills the sinks, which share a deadline, within the time that size bytes may
// take. After that time the flight's context is over, as when nobody wants it any more.
func (s *blobSync) inTime(ctx context.Context, size int64, all []*opened, fill func(context.Context) (string, error)) error {
	limit := s.handler.cfg.timeFor(size)
	shared := all[0].sink.deadline
	shared.start(limit, s.flight.cancel)
	peer, err := fill(ctx)
	shared.stop()
	for _, o := range all {
		if o.sink.broken != nil {
			return o.sink.broken
		}
	}
	switch {
	case err == nil:
		all[0].sink.NotePeer(peer)
	case overdue(ctx) && !definite(err):
		return fmt.Errorf("%w (%v): %w", ErrDeadline, limit, err)
	}
	return err
}

// definite reports whether the peers said something about the piece itself,
// which tells more than that the time was up.
func definite(err error) bool {
	var fetch *FetchError
	return errors.As(err, &fetch) && fetch.Definite()
}
