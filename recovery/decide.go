package recovery

import (
	"fmt"
	"strings"

	"github.com/recoverd/recoverd/shards"
)

// facts is everything a decision about saved progress depends on.
type facts struct {
	own       shards.Ownership
	placement shards.Placement
	tip       Tip
	store     StoreReport
	lastRun   uint64 // highest run number seen anywhere
	note      string // what the checkpoint lost, if anything
}

func (f facts) fence() Fence {
	return Fence{
		Network: f.tip.Network, TotalShards: f.own.TotalShards, Placement: f.placement,
		Owned: f.own.Owned, Continuity: f.own.Continuity, Store: f.store.Identity,
	}
}

// decide turns saved progress (nil: none) and the facts into the progress to
// go on with. Only a contradiction that a human must resolve is an error; it
// wraps ErrMisconfigured. It never changes *prev.
func decide(prev *Progress, f facts) (Progress, error) {
	if prev == nil {
		why := "there is no saved progress"
		if f.note != "" {
			why = f.note
		}
		return newRun(f, Origin{Decision: Fresh, Why: why}), nil
	}
	if why := worthless(prev, f); why != "" {
		kept, dropped := replacements(prev, f.fence())
		if dropped > 0 {
			why += fmt.Sprintf("; %d put back and not replaced yet are dropped with their shards: verify these if they come back", dropped)
		}
		next := newRun(f, Origin{Decision: Discard, Why: why, From: prev.Cursor})
		next.Unsettled = kept
		return next, nil
	}
	if f.tip.contradicts(prev.Bound) {
		return Progress{}, fmt.Errorf("%w: two catalogs claim position %d of %s: progress was made with digest %s, this one has %s",
			ErrMisconfigured, f.tip.Position, f.tip.Network, prev.Bound.Digest, f.tip.Digest)
	}
	next := *prev
	next.Epoch = f.own.Epoch
	next.Origin = Origin{Decision: Resume, From: prev.Cursor, Why: resumeReason(prev, f)}
	done := prev.Covered != nil && *prev.Covered == prev.Bound
	if !done && next.Scan.End() { // no such state is ever saved; begin the pass again
		next.Scan, next.Cursor = Mark{}, Mark{}
	}
	switch {
	case !f.tip.Descends(prev.Bound):
		next.Covered, next.Bound, next.Scan, next.Cursor = nil, f.tip.Bound, Mark{}, Mark{}
		next.Counters.Looked = 0
		next.Origin.Decision = Relook
		next.Origin.Why = fmt.Sprintf("lineage not proven: %s does not name %s among its ancestors", f.tip.Bound, prev.Bound)
	case done && f.tip.Position > prev.Bound.Position:
		next.Bound, next.Scan, next.Cursor = f.tip.Bound, Mark{}, Mark{}
		next.Counters.Looked = 0
		next.Origin.Decision = Extend
		next.Origin.Why = fmt.Sprintf("%s is finished; the catalog has moved to position %d", prev.Bound, f.tip.Position)
	case done && len(prev.Unsettled) == 0:
		next.Origin.Decision = Nothing
		next.Origin.Why = fmt.Sprintf("%s is finished, and the catalog has nothing newer", prev.Bound)
	}
	return next, nil
}

func resumeReason(prev *Progress, f facts) string {
	why := fmt.Sprintf("same shards, store and network; %d unsettled", len(prev.Unsettled))
	if f.tip.Position > prev.Bound.Position {
		why += fmt.Sprintf("; the recorded pass up to position %d is finished first", prev.Bound.Position)
	}
	if f.note != "" {
		why += "; " + f.note
	}
	return why
}

func newRun(f facts, origin Origin) Progress {
	return Progress{
		Run: f.lastRun + 1, Fence: f.fence(), Epoch: f.own.Epoch, Bound: f.tip.Bound, Origin: origin,
	}
}

// replacements lists what is to be replaced of the blobs that another fence asks
// for too: what is known to be wrong in the store is no progress, and no new run
// would find out again (hazard 92). Dropped counts the others: if their shards come
// back with their data, nobody remembers, so the reason of the new run says it.
func replacements(prev *Progress, next Fence) (kept []Unsettled, dropped int) {
	for _, u := range prev.Unsettled {
		switch {
		case !u.Replace:
		case prev.Fence.Network == next.Network && next.Placement.Concerns(u.ID, next.TotalShards, next.Owned):
			kept = append(kept, u)
		default:
			dropped++
		}
	}
	return kept, dropped
}

// worthless says why progress must be discarded, or "" if the fence holds (I6).
func worthless(p *Progress, f facts) string {
	now := f.fence()
	var why []string
	differ := func(name, then, is string) {
		if then != is {
			why = append(why, fmt.Sprintf("%s changed from %s to %s", name, then, is))
		}
	}
	differ("network", quoted(p.Fence.Network), quoted(now.Network))
	differ("total shards", fmt.Sprint(p.Fence.TotalShards), fmt.Sprint(now.TotalShards))
	differ("placement", p.Fence.Placement.String(), now.Placement.String())
	differ("owned shards", shortSet(p.Fence.Owned), shortSet(now.Owned))
	differ("continuity", quoted(p.Fence.Continuity), quoted(now.Continuity))
	switch { // another owned set has another identity by nature
	case p.Fence.Store == now.Store || !p.Fence.Owned.Equal(now.Owned):
	case f.store.Wiped.Len() > 0:
		why = append(why, fmt.Sprintf("shard %s wiped", shortSet(f.store.Wiped)))
	case f.store.ManifestsWiped:
		why = append(why, "the directory of the manifests was wiped")
	default:
		why = append(why, "the store is another one, or its shards were replaced")
	}
	if f.own.Epoch < p.Epoch {
		why = append(why, fmt.Sprintf("the ownership went back from epoch %d to %d", p.Epoch, f.own.Epoch))
	}
	if p.Fence.Network == now.Network && (f.tip.Position < p.Bound.Position || f.tip.Epoch < p.Bound.Epoch) {
		why = append(why, fmt.Sprintf("the catalog went back from %s to %s", p.Bound, f.tip.Bound))
	}
	return strings.Join(why, "; ")
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

// shortSet keeps a reason readable when a set has many ranges. Sets that differ
// only past the cut are told apart by their size.
func shortSet(s shards.Set) string {
	text := s.String()
	if len(text) > 60 {
		return fmt.Sprintf("%.60s... (%d shards)", text, s.Len())
	}
	return text
}
