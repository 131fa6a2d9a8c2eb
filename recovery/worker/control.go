package worker

import (
	"context"
	"errors"

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
	// Queued counts the blobs that are in the unsettled list now, or that a new
	// look at everything will find.
	Queued int `json:"queued"`
	// NotCertified are not certified at the catalog's present state, or expired;
	// NotOwned have no piece on a shard of this node.
	NotCertified []recovery.BlobID `json:"not_certified"`
	NotOwned     []recovery.BlobID `json:"not_owned"`
}

var errNotBuilt = errors.New("worker: not built yet")

// Pause sets or clears the pause flag: while it is set nothing new is handed out.
// It survives restarts and new runs. Pause returns once that is durable, or with
// ErrEnded or ctx's error, after which it may or may not be.
func (w *Worker) Pause(ctx context.Context, paused bool) error { return errNotBuilt }

// Retry makes unsettled blobs due at once and gives parked ones a fresh start; nil
// means all that wait. It returns as Pause does.
func (w *Worker) Retry(ctx context.Context, ids []recovery.BlobID) (RetryResult, error) {
	return RetryResult{}, errNotBuilt
}

// PutBack queues blobs, settled or not, that are no longer stored as they should
// be: a repair, or a loss that the node reports. They are looked up in the catalog
// first; an error of that queues none of them. It returns as Pause does.
func (w *Worker) PutBack(ctx context.Context, ids []recovery.BlobID) (PutBackResult, error) {
	return PutBackResult{}, errNotBuilt
}

// Sync asks for one blob for the node itself and waits for the outcome. It joins
// the flight of the blob if there is one (I9). A blob that is not to be fetched
// now is Cancelled with the reason. Errors are ErrEnded and ctx's: a caller that
// gives up takes its request back.
func (w *Worker) Sync(ctx context.Context, id recovery.BlobID) (recovery.Outcome, error) {
	return recovery.Outcome{}, errNotBuilt
}
