package transfer

import (
	"cmp"
	"slices"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// offered is what one peer says it has.
type offered struct {
	offer
	peer int // by its place in the configuration
}

// want is what a fetch is for.
type want struct {
	target uint64
	digest recovery.Digest
	agree  int
	covers func(from uint64) bool
	// chosen is the route of the round before. It is kept as long as it will do,
	// so that a tip that moves does not begin everything again.
	chosen archive.Route
}

// choose decides which snapshots to have, of those that lie here and those that
// peers offer. It is pure but for want.covers. Errors are those of
// archive.MakePlan.
func choose(local []archive.Entry, offers []offered, w want) (archive.Route, error) {
	list := candidates(local, offers, w.agree)
	if w.digest != (recovery.Digest{}) {
		list = archive.Asked(list, w.digest)
	}
	if w.chosen.Full != nil && w.stillGood(list) {
		return w.chosen, nil
	}
	log := w.events(list)
	plan, err := archive.MakePlan(list, log, w.target)
	if err != nil {
		return archive.Route{}, err
	}
	if near, err := archive.MakePlan(onBases(list, local), log, w.target); err == nil && near.Position == plan.Position && undisputed(list, near.Route) {
		plan = near
	}
	if at := plan.Route.Position(); !w.leadsOn(at) {
		return archive.Route{}, &archive.MissingError{
			Target: w.target, First: at + 1, Last: at + 1, From: plan.Route, Newer: plan.Newer, Passed: plan.Passed,
		}
	}
	return plan.Route, nil
}

// onBases leaves out full snapshots that do not lie here: where what does leads
// as far, a few more events are less than another full one.
func onBases(list, local []archive.Entry) []archive.Entry {
	return slices.DeleteFunc(slices.Clone(list), func(e archive.Entry) bool {
		return e.Kind == snapshot.Full && !slices.ContainsFunc(local, func(o archive.Entry) bool { return o.Bound == e.Bound })
	})
}

// candidates joins what lies here with what enough peers say. Of two claims
// about one name, which only a liar makes, the one with more voices counts, or
// the one that lies here.
func candidates(local []archive.Entry, offers []offered, agree int) (list []archive.Entry) {
	here := map[archive.Name]bool{}
	for _, e := range local {
		if e.Status == archive.Complete {
			here[e.Name] = true
			list = append(list, e)
		}
	}
	for _, g := range groups(offers, claimOf) {
		first := g[0]
		taken := slices.ContainsFunc(list, func(e archive.Entry) bool { return e.Name == first.Name && e.Chunks == first.Chunks })
		if voices(offers, first) >= agree && !here[first.Name] && !taken {
			list = append(list, first.Entry)
		}
	}
	return list
}

// claim is all that a peer says about a snapshot.
type claim struct {
	archive.Name
	chunks int
	bound  recovery.Bound
	base   recovery.Digest
}

func claimOf(o offered) claim { return claim{o.Name, o.Chunks, o.Bound, o.BaseDigest} }

// groups sorts offers into those of equal keys: the largest first, then in the
// order of the configuration.
func groups[K comparable](offers []offered, key func(offered) K) (all [][]offered) {
	index := map[K]int{}
	for _, o := range offers {
		k := key(o)
		i, seen := index[k]
		if !seen {
			i = len(all)
			index[k] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], o)
	}
	slices.SortStableFunc(all, func(a, b []offered) int { return cmp.Compare(len(b), len(a)) })
	return all
}

// voices counts the peers that offer a state, in whatever files.
func voices(offers []offered, o offered) int {
	peers := map[int]bool{}
	for _, other := range offers {
		if other.Bound == o.Bound && other.BaseDigest == o.BaseDigest && other.Name == o.Name {
			peers[other.peer] = true
		}
	}
	return len(peers)
}

// events is what is known about the events, as far as it matters to list: where
// the first snapshot lies that they go on from.
func (w want) events(list []archive.Entry) archive.Range {
	if w.covers == nil {
		return archive.Range{}
	}
	positions := make([]uint64, 0, len(list))
	for _, e := range list {
		if e.Position <= w.target {
			positions = append(positions, e.Position)
		}
	}
	slices.Sort(positions)
	for _, p := range positions {
		if w.covers(p) {
			return archive.Range{First: p + 1, Last: min(w.target, maxPosition)}
		}
	}
	return archive.Range{}
}

// leadsOn reports whether a snapshot at a position is of use: it is the target,
// or events go on from it, or there are none to go on with.
func (w want) leadsOn(position uint64) bool {
	return position == w.target || w.covers == nil && w.target == archive.Latest || w.covers != nil && w.covers(position)
}

// stillGood reports whether the chosen route can be had, is not contradicted,
// and leads on.
func (w want) stillGood(list []archive.Entry) bool {
	for _, e := range w.chosen.Entries() {
		there := func(o archive.Entry) bool { return o.Name == e.Name && o.Chunks == e.Chunks && o.Bound == e.Bound }
		if !slices.ContainsFunc(list, there) {
			return false
		}
	}
	return undisputed(list, w.chosen) && w.leadsOn(w.chosen.Position())
}

// undisputed reports whether no part of a route has a rival.
func undisputed(list []archive.Entry, r archive.Route) bool {
	return !slices.ContainsFunc(r.Entries(), func(e archive.Entry) bool { return len(archive.Rivals(list, e)) > 0 })
}
