package worker

import (
	"context"
	"fmt"
	"slices"

	"github.com/recoverd/recoverd/recovery"
)

// RetryResult says what became of a Retry. Lists are in rising order and never nil.
type RetryResult struct {
	// Due counts the blobs that are tried as soon as there is a slot.
	Due int `json:"due"`
	// Busy are being worked on already; Unknown are not in the unsettled list.
	Busy    []recovery.BlobID `json:"busy"`
	Unknown []recovery.BlobID `json:"unknown"`
}

// PutBackResult says what became of a PutBack. Lists are in rising order and
// never nil.
type PutBackResult struct {
	// Queued counts the blobs that are in the unsettled list now.
	Queued int `json:"queued"`
	// NotCertified are not certified at the catalog's present state, or expired;
	// NotOwned have no piece on a shard of this node.
	NotCertified []recovery.BlobID `json:"not_certified"`
	NotOwned     []recovery.BlobID `json:"not_owned"`
	// Refused found no room in the list: put them back again later. Everything is
	// looked at again because of them, which finds what is missing, and does not
	// find what is there and wrong.
	Refused []recovery.BlobID `json:"refused"`
}

// Pause sets or clears the pause flag: while it is set nothing new is handed out,
// and what is in flight may end. It survives restarts and new runs. Pause returns
// once that is durable (hazard 40), or with ErrEnded or ctx's error, after which it
// may or may not be.
func (w *Worker) Pause(ctx context.Context, paused bool) error {
	_, err := w.request(ctx, w.desk.flags, func(ticket uint64) recovery.Event {
		return recovery.PauseAsked{Ticket: ticket, Paused: paused}
	})
	return err
}

// Retry makes unsettled blobs due at once and gives parked ones a fresh start; nil
// means all that wait (hazard 38). It returns as Pause does, or at once with
// ErrNoRun.
func (w *Worker) Retry(ctx context.Context, ids []recovery.BlobID) (RetryResult, error) {
	result := RetryResult{Busy: []recovery.BlobID{}, Unknown: []recovery.BlobID{}}
	if _, err := w.inRun(ctx); err != nil {
		return result, err
	}
	if ids != nil && len(ids) == 0 { // none are not all
		return result, nil
	}
	ids = sortedOnce(ids)
	a, err := w.request(ctx, w.desk.blobs, func(ticket uint64) recovery.Event {
		return recovery.RetryAsked{Ticket: ticket, IDs: ids}
	})
	result.Due = a.Taken
	result.Busy, result.Unknown = append(result.Busy, a.Busy...), append(result.Unknown, a.Unknown...)
	return result, err
}

// PutBack queues blobs, settled or not, that are no longer stored as they should
// be: a repair, or a loss that the node reports. They are fetched, and replace what
// is there. They are looked up in the catalog first; an error of that queues none of
// them. It returns as Retry does.
func (w *Worker) PutBack(ctx context.Context, ids []recovery.BlobID) (PutBackResult, error) {
	result := PutBackResult{NotCertified: []recovery.BlobID{}, NotOwned: []recovery.BlobID{}, Refused: []recovery.BlobID{}}
	s, err := w.inRun(ctx)
	if err != nil {
		return result, err
	}
	var blobs []recovery.Blob
	for part := range slices.Chunk(sortedOnce(ids), lookUpAtOnce) {
		rows, err := w.certified(ctx, s, part)
		if err != nil {
			return result, fmt.Errorf("look up what is put back: %w", err)
		}
		for _, id := range part {
			if row, ok := rows[id]; ok {
				blobs = append(blobs, row.Blob)
			} else {
				result.NotCertified = append(result.NotCertified, id)
			}
		}
	}
	if len(blobs) == 0 {
		return result, nil
	}
	a, err := w.request(ctx, w.desk.blobs, func(ticket uint64) recovery.Event {
		return recovery.PutBack{Ticket: ticket, Blobs: blobs}
	})
	w.putBacks.Add(uint64(a.Taken))
	result.Queued = a.Taken
	result.NotOwned, result.Refused = append(result.NotOwned, a.Unknown...), append(result.Refused, a.Refused...)
	return result, err
}

// lookUpAtOnce bounds the ids of one look-up.
const lookUpAtOnce = 256

// certified returns the rows of those ids that are certified and not expired. An
// answer from before the run's bound is an error (I8).
func (w *Worker) certified(ctx context.Context, s recovery.Standing, ids []recovery.BlobID) (map[recovery.BlobID]recovery.Row, error) {
	stamp, rows, err := w.cfg.Catalog.Lookup(ctx, ids)
	if err == nil && !stamp.Reaches(s.Bound) {
		err = fmt.Errorf("the catalog answers for position %d, the run's bound is %s", stamp.Position, s.Bound)
	}
	if err != nil {
		return nil, err
	}
	found := make(map[recovery.BlobID]recovery.Row, len(rows))
	for _, row := range rows {
		if row.EndEpoch > s.Epoch {
			found[row.ID] = row
		}
	}
	return found, nil
}

// sortedOnce returns the ids in rising order, each once. It leaves ids alone.
func sortedOnce(ids []recovery.BlobID) []recovery.BlobID {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, recovery.BlobID.Compare)
	return slices.Compact(ids)
}
