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
}
