package recovery

import "github.com/recoverd/recoverd/shards"

// Preview says what a machine would make of saved progress (nil: none) under these
// facts, and changes nothing. The store is taken to be the one that was filled. Of a
// contradiction that a human must resolve it returns the error that a run ends with.
func Preview(saved *Progress, own shards.Ownership, placement shards.Placement, tip Tip) (Progress, error) {
	f := facts{own: own, placement: placement, tip: tip}
	if saved != nil {
		f.store.Identity, f.lastRun = saved.Fence.Store, saved.Run
	}
	return decide(saved, f)
}
