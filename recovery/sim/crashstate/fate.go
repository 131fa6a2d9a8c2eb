package crashstate

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// fateKind is what becomes of an effect.
type fateKind uint8

const (
	kept  fateKind = iota
	lost           // as if it had never been asked for
	both           // a rename to another directory: the old name stays as well
	zeros          // a write: the file has grown, its new part holds zeros
	head           // a write: only the first bytes
	tail           // a write: only the last bytes
)

// fate is what becomes of one effect; cut is where a torn write is torn.
type fate struct {
	kind fateKind
	cut  int
}

func (f fate) String() string {
	text := [...]string{"kept", "lost", "kept beside the old name", "zeros", "the first %d bytes", "all but the first %d bytes"}[f.kind]
	if f.kind == head || f.kind == tail {
		return fmt.Sprintf(text, f.cut)
	}
	return text
}

// sector is what a disk writes whole, or so they say: writes are torn elsewhere too.
const sector = 512

// fates lists what may become of an effect at a moment; the first is kept. Writes are
// torn at about grain places, half of them ends of sectors.
func (e *effect) fates(moment, grain int) []fate {
	if e.file != none {
		switch {
		case e.data.at(moment):
			return []fate{{kind: kept}}
		case e.op.Kind == Truncate:
			return []fate{{kind: kept}, {kind: lost}}
		}
		all := []fate{{kind: kept}, {kind: lost}, {kind: zeros}}
		for _, cut := range e.cuts(grain) {
			all = append(all, fate{head, cut}, fate{tail, cut})
		}
		return all
	}
	given := e.link == nil || e.link.at(moment)
	taken := e.unlink == nil || e.unlink.at(moment)
	moved := e.link != nil && e.unlink != nil && e.link.dir != e.unlink.dir
	switch {
	case taken && (given || moved): // a rename is never half undone
		return []fate{{kind: kept}}
	case given && moved:
		return []fate{{kind: kept}, {kind: both}}
	case moved:
		return []fate{{kind: kept}, {kind: lost}, {kind: both}}
	}
	return []fate{{kind: kept}, {kind: lost}}
}

// cuts are places where a write may be torn, rising.
func (e *effect) cuts(grain int) (all []int) {
	n := len(e.op.Data)
	for i := range grain {
		cut := (i + 1) * n / (grain + 1)
		if i%2 == 1 {
			cut = (cut + sector - 1) / sector * sector
		}
		if cut > 0 && cut < n && !slices.Contains(all, cut) {
			all = append(all, cut)
		}
	}
	slices.Sort(all)
	return all
}

// draw picks a fate, torn writes torn anywhere.
func (e *effect) draw(moment int, r *rand.Rand) fate {
	all := e.fates(moment, 1)
	f := all[r.IntN(len(all))]
	if n := len(e.op.Data); f.kind == head || f.kind == tail {
		f.cut = 1 + r.IntN(n-1)
		if at := f.cut / sector * sector; at > 0 && r.IntN(2) == 0 {
			f.cut = at
		}
	}
	return f
}

// allowed reports whether a kind of fate is open to an effect.
func (e *effect) allowed(moment int, kind fateKind) bool {
	return slices.ContainsFunc(e.fates(moment, 1), func(f fate) bool { return f.kind == kind })
}
