package syncer

import (
	"context"
	"errors"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
)

// blobSync takes one blob from a request to its outcome.
type blobSync struct {
	handler *Handler
	flight  *flight

	// answers gets the barrier's answer to each of the handed pieces.
	answers chan error
	handed  int
	bytes   int64 // of these pieces
}

// run returns when nothing of the blob is under way any more: neither here nor
// in the barrier. The outcome speaks of the whole of the request's covers.
func (s *blobSync) run(ctx context.Context) (recovery.Outcome, []Answer) {
	err := s.begin(ctx)
	return s.end(err)
}

// begin goes as far as the barrier with every missing piece.
func (s *blobSync) begin(ctx context.Context) error {
	b := s.handler.barrier
	b.feeders.enter()
	err := s.storeMissing(ctx)
	b.feeders.leave()
	if err == nil && s.handed > 0 {
		s.handler.table.move(s.flight, Stored)
	}
	return err
}

// end waits for the barrier and sums up. err is how begin ended.
func (s *blobSync) end(err error) (recovery.Outcome, []Answer) {
	// Pieces handed in before another one failed are waited for as well: until
	// they have their answer, the next flight of this id could not tell a name
	// that is durable from one that is not.
	if late := s.await(); err == nil || errors.Is(late, ErrNotDurable) {
		err = late
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
	s.answers = make(chan error, len(missing))
	for _, p := range missing {
		if err := s.store(ctx, p, verifier); err != nil {
			return err
		}
	}
	return nil
}

// missing lists the owned pieces that the store does not have, or all that are to be
// replaced, by rising shard. A blob without a piece on the covered shards misses
// none.
func (s *blobSync) missing(ctx context.Context) ([]Piece, error) {
	req := s.flight.req
	if req.Covers.Total == 0 {
		return nil, fmt.Errorf("%w: the total number of shards is 0", ErrOtherSet)
	}
	var buf [1]uint32
	var missing []Piece
	for _, shard := range req.Placement.Holders(buf[:0], req.Blob.ID, req.Covers.Total, req.Covers.Owned) {
		p := Piece{
			Blob: req.Blob, Shard: shard,
			Index: req.Placement.PieceOf(req.Blob.ID, shard, req.Covers.Total),
		}
		if req.Replace {
			missing = append(missing, p)
			continue
		}
		has, err := s.handler.cfg.Store.Has(ctx, p)
		switch {
		case err != nil: // never "no" (I8)
			return nil, storeError("look for the piece", err)
		case !has:
			missing = append(missing, p)
		}
	}
	return missing, nil
}

// store fetches one piece into a draft and hands it to the barrier.
func (s *blobSync) store(ctx context.Context, p Piece, v Verifier) (err error) {
	judge, err := v.Begin(ctx, p)
	if err != nil {
		return fmt.Errorf("begin to verify: %w", err)
	}
	size := judge.Size()
	if size < 0 || size > maxPiece {
		return fmt.Errorf("%w: a piece of %d bytes", ErrUnverifiable, size)
	}
	draft, err := s.handler.cfg.Store.Create(ctx, p, size)
	if err != nil {
		return storeError("create", err)
	}
	defer func() {
		if err != nil {
			_ = draft.Discard() // a leftover goes when the store is opened next
		}
	}()
	if err := s.fetch(ctx, p, newSink(draft, judge, &s.flight.meter)); err != nil {
		return err
	}
	if err := draft.Seal(); err != nil {
		return storeError("seal", err)
	}
	// No deadline here: the bytes are right, and a slow disk is no reason to
	// fetch them again.
	if err := s.handler.barrier.handIn(ctx, draft, size, s.answers); err != nil {
		return err
	}
	s.handed++
	s.bytes += size
	return nil
}

// fetch fills the sink with bytes that it has accepted.
func (s *blobSync) fetch(ctx context.Context, p Piece, sink *pieceSink) error {
	limit := s.handler.cfg.timeFor(sink.size)
	inTime, cancel := sink.deadline.start(ctx, limit)
	defer cancel()
	peer, err := s.handler.cfg.Fetcher.Fetch(inTime, p, sink)
	switch {
	case sink.broken != nil:
		return sink.broken
	case err == nil:
		sink.NotePeer(peer)
		return sink.Verify() // also if the fetcher forgot to
	case ctx.Err() == nil && inTime.Err() != nil && !definite(err):
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

// await collects the barrier's answers. It does not end with ctx: the barrier
// answers everything within a flush or two. A failed flush outranks other errors.
func (s *blobSync) await() (err error) {
	for range s.handed {
		answer := <-s.answers
		if err == nil || errors.Is(answer, ErrNotDurable) {
			err = answer
		}
	}
	return err
}
