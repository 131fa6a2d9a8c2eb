package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// Sync asks for one blob for the node itself and waits for the outcome, which holds
// for this request also when the run is superseded meanwhile (hazard 88). It joins
// the flight of the blob if there is one (I9); otherwise it looks whether the blob
// is certified and takes one of the node's own slots. Nothing of the run is settled
// by it: a listed blob that is stored now is looked at again at once, and that
// settles it. A pause does not hold it up.
//
// What cannot be done now is Cancelled, with the reason. Errors are ErrEnded and
// ctx's: a caller that gives up takes its request back.
func (w *Worker) Sync(ctx context.Context, id recovery.BlobID) (recovery.Outcome, error) {
	s, err := w.standing(ctx, id)
	if err != nil {
		return recovery.Outcome{}, err
	}
	blob, joins := s.Flying, s.Flying != nil
	if !joins {
		select {
		case w.nodeSlots <- struct{}{}:
			defer func() { <-w.nodeSlots }()
		case <-w.done:
			return recovery.Outcome{}, ErrEnded
		case <-ctx.Done():
			return recovery.Outcome{}, ctx.Err()
		}
		// Only now: things change while a slot is waited for (hazard 25).
		if s, err = w.standing(ctx, id); err != nil {
			return recovery.Outcome{}, err
		}
		found, outcome, err := w.wanted(ctx, s, id)
		if found == nil {
			return outcome, err
		}
		blob = found
	}
	watch := w.cfg.Syncer.Sync(syncer.Request{
		Blob: *blob, Covers: s.Covers, Placement: s.Placement, Replace: s.Entry != nil && s.Entry.Replace,
	})
	outcome, err := watch.Wait(ctx)
	if err != nil {
		watch.Withdraw()
		return recovery.Outcome{}, err
	}
	if !joins { // else the run notes it
		w.tries.note(id, outcome, watch.Answers())
	}
	if outcome.Result == recovery.Success || outcome.Reason == recovery.AlreadyStored {
		w.lookAgain(ctx, id)
	}
	return outcome, nil
}

// wanted returns the blob if it is to be fetched for the node, or else the outcome.
func (w *Worker) wanted(ctx context.Context, s recovery.Standing, id recovery.BlobID) (*recovery.Blob, recovery.Outcome, error) {
	no := func(reason recovery.Reason, format string, args ...any) (*recovery.Blob, recovery.Outcome, error) {
		return nil, recovery.Outcome{
			Result: recovery.Cancelled, Reason: reason, Err: fmt.Sprintf(format, args...), Covers: s.Covers,
		}, nil
	}
	switch {
	case s.Run == 0:
		return no(recovery.NotReady, "no run is in force: %s", s.Why)
	case !s.Placement.Concerns(id, s.Covers.Total, s.Covers.Owned):
		return no(recovery.OtherSet, "no owned shard holds a piece of it (owned: %.60s)", s.Covers.Owned)
	case s.Room.Low:
		return no(recovery.NoSpace, "%v", s.Room)
	}
	stamp, rows, err := w.cfg.Catalog.Lookup(ctx, []recovery.BlobID{id})
	switch {
	case ctx.Err() != nil:
		return nil, recovery.Outcome{}, ctx.Err()
	case err == nil && !stamp.Reaches(s.Bound):
		err = errors.New("the catalog answers from before the run's bound")
	}
	if err != nil {
		return no(recovery.CatalogError, "look it up: %v", err)
	}
	skipped := recovery.Outcome{Result: recovery.Skipped, Reason: recovery.NotCertified, Covers: s.Covers, JudgedAt: stamp}
	switch {
	case len(rows) == 0:
		return nil, skipped, nil
	case rows[0].EndEpoch <= s.Epoch:
		skipped.Reason = recovery.Expired
		return nil, skipped, nil
	}
	return &rows[0].Blob, recovery.Outcome{}, nil
}

// lookAgain makes the machine look at a blob at once, if it waits in the list.
func (w *Worker) lookAgain(ctx context.Context, id recovery.BlobID) {
	select {
	case w.events <- recovery.RetryAsked{IDs: []recovery.BlobID{id}}:
	case <-w.done:
	case <-ctx.Done():
	}
}
