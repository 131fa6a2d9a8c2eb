package archive

import (
	"cmp"
	"math"
	"slices"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Latest as a target stands for the highest position that can be reached.
const Latest = math.MaxUint64

// Range is a stretch of events, both ends included. The zero Range has none.
type Range struct{ First, Last uint64 }

// Empty reports whether there is no event in it.
func (r Range) Empty() bool { return r.First == 0 || r.Last < r.First }

// Route is where a state begins: a full snapshot, or one with an incremental
// over it, or neither: the empty state at position 0, before the first event.
type Route struct{ Full, Incremental *Entry }

// Position is that of the route's state, before any event is replayed.
func (r Route) Position() uint64 {
	switch {
	case r.Incremental != nil:
		return r.Incremental.Position
	case r.Full != nil:
		return r.Full.Position
	}
	return 0
}

// Entries returns what the route is made of, the full one first.
func (r Route) Entries() (all []Entry) {
	for _, e := range []*Entry{r.Full, r.Incremental} {
		if e != nil {
			all = append(all, *e)
		}
	}
	return all
}

// reach is the highest position, up to target, that replaying log from the
// route's leads to.
func (r Route) reach(log Range, target uint64) uint64 {
	p := r.Position()
	if log.Empty() || log.First > p+1 || log.Last <= p {
		return p
	}
	return min(log.Last, target)
}

// Plan is the way to a position.
type Plan struct {
	Route
	// Replay is what to apply to the route's state; empty: nothing.
	Replay Range
	// Position is where that ends: the target, or for Latest the highest one.
	Position uint64
	// Newer are the complete snapshots beyond the target. They are not in the
	// way.
	Newer []Entry
	// Passed are snapshots at or before the target that cannot be used.
	Passed []Unusable
}

// Unusable is a snapshot that a plan passes by: it is not complete, or has
// rivals.
type Unusable struct {
	Entry
	Rivals []Entry
}

// MakePlan chooses by the position that can be reached, not by the newest full
// snapshot (hazard 55): the full one, at most one incremental over it, and the
// events of log after those. Of two ways it takes the one with fewer events to
// replay, then that with fewer files.
//
// A target that cannot be reached is a *NothingError, a *MissingError or a
// *DamagedError; entries of more than one network are a *NetworksError. Latest
// fails where there is nothing at all, and where an ambiguous snapshot would
// lead further than the others: whoever knows which one is right narrows the
// list with Asked.
func MakePlan(list []Entry, log Range, target uint64) (Plan, error) {
	if err := oneNetwork(list); err != nil {
		return Plan{}, err
	}
	c := newChoice(list, log, target)
	route := best(c.clean)
	if route == nil {
		return Plan{}, c.refuse(0)
	}
	reached := route.reach(log, target)
	if target != Latest && reached < target || target == Latest && c.ambiguousBeyond(reached) {
		return Plan{}, c.refuse(reached)
	}
	plan := Plan{Route: *route, Position: reached, Newer: c.newer, Passed: c.passed}
	if from := route.Position(); reached > from {
		plan.Replay = Range{from + 1, reached}
	}
	return plan, nil
}

// choice is a list sorted out for one target.
type choice struct {
	log    Range
	target uint64
	clean  []Route // all that is usable
	unsure []Route // those that would be, if all that is damaged or ambiguous were good
	newer  []Entry
	passed []Unusable
}

func newChoice(list []Entry, log Range, target uint64) *choice {
	c := &choice{log: log, target: target}
	slots := clash(list)
	sorted := slices.SortedFunc(slices.Values(list), compareEntries)
	var usable []Entry
	for _, e := range sorted {
		_, ambiguous := slots[e.Slot()]
		switch {
		case e.Position > target:
			if e.Status == Complete {
				c.newer = append(c.newer, e)
			}
		case e.Status != Complete:
			c.passed = append(c.passed, Unusable{Entry: e})
		case ambiguous:
			c.passed = append(c.passed, Unusable{Entry: e, Rivals: Rivals(list, e)})
		default:
			usable = append(usable, e)
		}
	}
	c.clean = Routes(usable)
	for _, u := range c.passed {
		usable = append(usable, u.Entry)
	}
	c.unsure = Routes(usable)
	if log.First == 1 {
		c.clean = append(c.clean, Route{})
	}
	return c
}

// Routes returns every full snapshot of a list, and every incremental with a
// full one it is relative to.
func Routes(list []Entry) (routes []Route) {
	for i := range list {
		if list[i].Kind != snapshot.Full {
			continue
		}
		routes = append(routes, Route{Full: &list[i]})
		for j := range list {
			if list[j].builds(list[i]) {
				routes = append(routes, Route{Full: &list[i], Incremental: &list[j]})
			}
		}
	}
	return routes
}

// best returns the route to take, or nil. A log has no holes, so that the route
// that ends furthest also leads furthest.
func best(routes []Route) *Route {
	if len(routes) == 0 {
		return nil
	}
	r := slices.MaxFunc(routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Position(), b.Position()), -cmp.Compare(a.files(), b.files()))
	})
	return &r
}

func (r Route) files() (n int) {
	for _, e := range r.Entries() {
		n += max(1, e.Chunks)
	}
	return n
}

// ambiguousBeyond reports whether an ambiguous snapshot leads further than
// reached.
func (c *choice) ambiguousBeyond(reached uint64) bool {
	return slices.ContainsFunc(c.unsure, func(r Route) bool {
		return r.reach(c.log, c.target) > reached && len(c.faults(r, true)) > 0
	})
}

// faults returns the unusable parts of a route, with all rivals.
func (c *choice) faults(r Route, onlyAmbiguous bool) (all []Unusable) {
	for _, e := range r.Entries() {
		for _, u := range c.passed {
			if same(u.Entry, e) && (len(u.Rivals) > 0 || !onlyAmbiguous) {
				all = append(all, u)
			}
		}
	}
	return all
}

// same reports whether two entries are of the same files.
func same(a, b Entry) bool { return a.Name == b.Name && a.Chunks == b.Chunks }

// refuse says why the target cannot be reached, given how far the usable ones
// lead.
func (c *choice) refuse(reached uint64) error {
	unsure := best(c.unsure)
	switch {
	case unsure == nil && len(c.clean) == 0:
		return &NothingError{Target: c.target, Newer: c.newer}
	case unsure != nil && (len(c.clean) == 0 || unsure.reach(c.log, c.target) == c.target || c.target == Latest):
		if c.target == Latest && len(c.clean) > 0 {
			unsure = c.furthestAmbiguous()
		}
		return &DamagedError{Target: c.target, Entries: c.faults(*unsure, false), Newer: c.newer}
	}
	return c.missing(reached)
}

// furthestAmbiguous returns the ambiguous route that leads furthest; there is
// one.
func (c *choice) furthestAmbiguous() *Route {
	return best(slices.DeleteFunc(slices.Clone(c.unsure), func(r Route) bool { return len(c.faults(r, true)) == 0 }))
}

// missing names the first event without which the target is out of reach, and
// the last of the hole that begins there.
func (c *choice) missing(reached uint64) error {
	last := c.target
	if !c.log.Empty() && c.log.First > reached+1 {
		last = min(last, c.log.First-1)
	}
	return &MissingError{Target: c.target, First: reached + 1, Last: last, Log: c.log, From: *best(c.clean), Newer: c.newer, Passed: c.passed}
}

// oneNetwork refuses lists whose entries do not belong together.
func oneNetwork(list []Entry) error {
	var names []string
	for _, e := range list {
		if e.Status == Complete && !slices.Contains(names, e.Bound.Network) {
			names = append(names, e.Bound.Network)
		}
	}
	if len(names) > 1 {
		slices.Sort(names)
		return &NetworksError{Networks: names}
	}
	return nil
}
