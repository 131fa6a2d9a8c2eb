package recovery

import "github.com/recoverd/recoverd/shards"

// Facts is what a decision about saved progress depends on, for those who want to
// know it without a machine.
type Facts struct {
	Ownership shards.Ownership
	Placement shards.Placement
	Tip       Tip
	Store     StoreReport
	LastRun   uint64 // highest run number seen anywhere
	Note      string // what the checkpoint lost, if anything
}

// Preview says what a machine with these facts would go on with: the decision is in
// Origin. It is the machine's own one. Errors wrap ErrMisconfigured. prev (nil: none)
// is only read.
func Preview(prev *Progress, f Facts) (Progress, error) {
	return decide(prev, facts{own: f.Ownership, placement: f.Placement, tip: f.Tip, store: f.Store, lastRun: f.LastRun, note: f.Note})
}

// PreviewStore says what a machine would ask the store to be opened for; of f, Store
// is not looked at.
func PreviewStore(prev *Progress, f Facts) StoreRequest {
	return storeRequest(prev, f.Ownership, f.Placement, f.Tip.Network)
}

// PreviewWait says why a machine would not begin a run with an ownership; empty: it
// would.
func PreviewWait(own shards.Ownership) string { return notReady(own) }
