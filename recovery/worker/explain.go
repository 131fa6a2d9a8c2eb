package worker

import (
	"context"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// Explanation is everything that is known about one blob. Its fields are stable.
// Null means that it is not known. Lists are never nil.
type Explanation struct {
	ID recovery.BlobID `json:"id"`
	At time.Time       `json:"at"`
	// Stamp is the catalog state that was asked; null: it could not be.
	Stamp *recovery.Stamp `json:"stamp"`
	// Certified is null where the catalog could not be read; CertifiedError says
	// why.
	Certified      *bool         `json:"certified"`
	CertifiedError string        `json:"certified_error"`
	Row            *ExplainedRow `json:"row"` // null unless certified
	// OwnershipEpoch is that of the ownership the shards are of; null: unknown.
	OwnershipEpoch *uint32          `json:"ownership_epoch"`
	Shards         []ExplainedShard `json:"shards"` // those that hold a piece
	// State is settled, not_certified, expired, not_owned, not_reached, unknown, or
	// that of the entry: waiting, fetching, flushing, retrying or parked. Why is a
	// sentence.
	State string `json:"state"`
	Why   string `json:"why"`
	// Entry is the blob's place in the unsettled list; null: it is not in it.
	Entry *recovery.Unsettled `json:"entry"`
	// Tries are those of this process only, oldest first, at most 16, of the ids
	// that failed last (Started says since when at the earliest).
	Tries   []Try     `json:"tries"`
	Started time.Time `json:"started"`
	// Liars are the peers that lately sent wrong bytes for this blob.
	Liars []string `json:"liars"`
}

// ExplainedRow is what the catalog says of a certified blob.
type ExplainedRow struct {
	Size           *int64  `json:"size"` // bytes; null: the catalog does not say it
	Encoding       string  `json:"encoding"`
	CertifiedEpoch uint32  `json:"certified_epoch"`
	EndEpoch       *uint32 `json:"end_epoch"` // exclusive; null: it has none
	Gained         uint64  `json:"gained"`
	Expired        bool    `json:"expired"`
}

// ExplainedShard is a shard that holds a piece of the blob.
type ExplainedShard struct {
	Shard uint32 `json:"shard"`
	Owned bool   `json:"owned"`
	// Stored says that the piece is there under its final name; null: not known,
	// as for the shards of others and for a name that may not be durable yet.
	Stored *bool `json:"stored"`
}

// Try is how one sync of a blob ended.
type Try struct {
	At      time.Time       `json:"at"`
	Outcome recovery.Result `json:"outcome"`
	Reason  recovery.Reason `json:"reason"` // empty for success
	Err     string          `json:"err"`
	Peers   []PeerTry       `json:"peers"` // in the order asked
}

// PeerTry is what one peer answered in a try; Reason is empty for the one that
// served it.
type PeerTry struct {
	Peer   string          `json:"peer"`
	Reason recovery.Reason `json:"reason"`
	Err    string          `json:"err"`
}

// Explain says all that is known about a blob. Errors are ErrEnded and ctx's; what
// cannot be found out is null in the answer.
func (w *Worker) Explain(ctx context.Context, id recovery.BlobID) (Explanation, error) {
	return Explanation{}, errNotBuilt
}
