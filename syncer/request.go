package syncer

import (
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// Request asks for one blob on behalf of a run.
type Request struct {
	Run       uint64 // 0: not a run's (the node, an operator)
	Blob      recovery.Blob
	Covers    recovery.Covers // the shard set and total the answer must hold for
	Placement shards.Placement
	// Replace: the pieces are fetched and published over what is stored already,
	// which is known to be wrong (hazard 92).
	Replace bool
	// Told, if set, is called with the request's watch when its stage becomes Stored,
	// and when it is Done: at most once for each and in this order, on whatever
	// goroutine brought it about. It must return at once and not call the Handler. Who
	// asks for thousands of blobs needs no goroutine for each that way.
	Told func(*Watch, Stage)
}
