package archive

import (
	"fmt"
	"slices"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Policy says how many complete snapshots are kept. Others are never counted
// (hazard 67).
type Policy struct {
	// Fulls is how many of the newest full ones stay; default 2, at least 1.
	Fulls int
	// Increments is how many of the newest stay that are relative to the newest
	// full one; default 4; negative: none.
	Increments int
	// Older is the same for every older full one that stays; default 1; negative:
	// none.
	Older int
}

func (p Policy) withDefaults() Policy {
	if p.Fulls == 0 {
		p.Fulls = 2
	}
	if p.Increments == 0 {
		p.Increments = 4
	}
	if p.Older == 0 {
		p.Older = 1
	}
	return p
}

// Validate reports the first value that makes no sense.
func (p Policy) Validate() error {
	if p.Fulls < 0 {
		return fmt.Errorf("archive: %d full snapshots to keep, want 1 or more", p.Fulls)
	}
	return nil
}

// Reason is why a snapshot is kept or removed. The values are the words of the
// command line and of JSON.
type Reason string

const (
	KeepFull      Reason = "one of the newest full ones"
	KeepIncrement Reason = "one of the newest increments of its base"
	KeepFurthest  Reason = "leads further than the newest full one"
	KeepInUse     Reason = "in use"
	KeepBase      Reason = "the base of one that is kept"
	KeepUnknown   Reason = "cannot be judged here: see its error"
	KeepDamaged   Reason = "not complete: kept to be looked at until it is older than what is kept"
	KeepAmbiguous Reason = "another one of the same position has another digest: find out which is wrong"
	KeepFailed    Reason = "the last snapshot could not be made"
	KeepNoFull    Reason = "there is no full one to count from"

	DropFull      Reason = "more full ones than are kept"
	DropIncrement Reason = "more increments of its base than are kept"
	DropOrphan    Reason = "its base is not kept"
	DropTwin      Reason = "the same snapshot is there in fewer files"
	DropOld       Reason = "of no use, and older than what is kept"
)

// Verdict is what becomes of one snapshot.
type Verdict struct {
	Entry
	Keep   bool
	Reason Reason
}

// Retain decides about every entry of a list, by rising position. inUse says
// what is being read, and is never removed; neither is the newest full one.
func Retain(list []Entry, policy Policy, inUse func(Entry) bool) []Verdict {
	networks := map[string][]Entry{}
	for _, e := range list {
		networks[e.Bound.Network] = append(networks[e.Bound.Network], e)
	}
	// What is not complete tells no network: it is judged with the only one there
	// is, or kept.
	if unknown := networks[""]; len(networks) == 2 {
		for name := range networks {
			if name != "" {
				networks[name] = append(networks[name], unknown...)
				delete(networks, "")
			}
		}
	}
	var all []Verdict
	for _, entries := range networks {
		all = append(all, newRetention(entries, policy.withDefaults()).judge(inUse)...)
	}
	slices.SortFunc(all, func(a, b Verdict) int { return compareEntries(a.Entry, b.Entry) })
	return all
}

// retention judges the snapshots of one network.
type retention struct {
	entries  []Entry // by falling position
	verdicts map[File]Verdict
	fulls    []Entry // the newest that count, newest first
	policy   Policy
}

// key names an entry within a list.
func (e Entry) key() File { return File{Name: e.Name, Chunks: e.Chunks} }

func newRetention(entries []Entry, policy Policy) *retention {
	r := &retention{entries: slices.Clone(entries), verdicts: map[File]Verdict{}, policy: policy}
	slices.SortFunc(r.entries, func(a, b Entry) int { return compareEntries(b, a) })
	return r
}

func (r *retention) set(e Entry, keep bool, why Reason) {
	r.verdicts[e.key()] = Verdict{e, keep, why}
}

func (r *retention) judged(e Entry) bool {
	_, ok := r.verdicts[e.key()]
	return ok
}

func (r *retention) kept(e Entry) bool { return r.verdicts[e.key()].Keep }

func (r *retention) judge(inUse func(Entry) bool) []Verdict {
	r.sortOut()
	if len(r.fulls) == 0 {
		for _, e := range r.entries {
			r.set(e, true, KeepNoFull)
		}
		return r.list()
	}
	r.dropOld()
	r.increments()
	for _, e := range r.entries {
		switch {
		case r.judged(e):
		case e.Kind == snapshot.Full:
			r.set(e, false, DropFull)
		default:
			r.set(e, false, DropOrphan)
		}
	}
	r.keepUsed(inUse)
	return r.list()
}

// sortOut judges what does not count, and the full ones that do.
func (r *retention) sortOut() {
	slots := clash(r.entries)
	fewest := map[Name]int{} // files of each complete snapshot
	for _, e := range r.entries {
		if n, seen := fewest[e.Name]; e.Status == Complete && (!seen || e.Chunks < n) {
			fewest[e.Name] = e.Chunks
		}
	}
	for _, e := range r.entries {
		n, twin := fewest[e.Name]
		switch {
		case e.Status == Unreadable:
			r.set(e, true, KeepUnknown)
		case twin && e.Chunks != n:
			r.set(e, false, DropTwin)
		case e.Status != Complete:
			r.set(e, true, KeepDamaged)
		case slots[e.Slot()] != nil:
			r.set(e, true, KeepAmbiguous)
		case e.Kind == snapshot.Full && len(r.fulls) < r.policy.Fulls:
			r.fulls = append(r.fulls, e)
			r.set(e, true, KeepFull)
		}
	}
}

// dropOld lets go of what would not be kept either if it were good.
func (r *retention) dropOld() {
	oldest := r.fulls[len(r.fulls)-1].Position
	for _, e := range r.entries {
		from := e.Position // where its use begins
		if e.Kind == snapshot.Incremental {
			from = e.Base
		}
		if why := r.verdicts[e.key()].Reason; from < oldest && (why == KeepDamaged || why == KeepAmbiguous) {
			r.set(e, false, DropOld)
		}
	}
}

// increments judges those of the full ones that are kept, for whatever reason.
func (r *retention) increments() {
	for _, full := range r.entries {
		if full.Kind != snapshot.Full || !r.kept(full) {
			continue
		}
		left := r.policy.Older
		if full.Position >= r.fulls[0].Position {
			left = r.policy.Increments
		}
		for _, e := range r.entries {
			switch {
			case !e.builds(full) || r.judged(e):
				continue
			case left > 0:
				r.set(e, true, KeepIncrement)
			default:
				r.set(e, false, DropIncrement)
			}
			left--
		}
	}
}

// keepUsed keeps what leads further than all that counts, what is being read,
// and what belongs to it.
func (r *retention) keepUsed(inUse func(Entry) bool) {
	c := newChoice(r.entries, Range{}, Latest)
	for _, e := range best(c.clean).Entries() {
		if !r.kept(e) {
			r.set(e, true, KeepFurthest)
		}
	}
	for _, e := range r.entries {
		if !r.kept(e) && inUse != nil && inUse(e) {
			r.set(e, true, KeepInUse)
		}
	}
	for again := true; again; {
		again = false
		for _, e := range r.entries {
			again = r.kept(e) && r.keepWith(e) || again
		}
	}
}

// keepWith keeps the bases and the rivals of one that is kept, and reports
// whether any was to be removed. A pair goes together: half of it would pass for
// good.
func (r *retention) keepWith(e Entry) (changed bool) {
	for _, other := range r.entries {
		switch {
		case r.kept(other) || r.verdicts[other.key()].Reason == DropTwin:
			continue
		case e.builds(other):
			r.set(other, true, KeepBase)
		case e.Status == Complete && other.Status == Complete && e.Slot() == other.Slot() && e.Digest != other.Digest:
			r.set(other, true, KeepAmbiguous)
		default:
			continue
		}
		changed = true
	}
	return changed
}

func (r *retention) list() (all []Verdict) {
	for _, v := range r.verdicts {
		all = append(all, v)
	}
	return all
}
