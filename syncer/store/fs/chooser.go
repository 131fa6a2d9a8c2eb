package fs

import (
	"fmt"
	"time"
)

// chooser says how the next group of a volume is flushed. It is pure: times, in
// since any origin, and what is seen of the machine come in with the calls.
//
// For small files syncfs is the cheaper way, two to four times; but it writes what
// others left to be written on the volume as well, and cannot be stopped. For files
// of 1 MiB and more fdatasync is as good, and waits for nobody else. So, with
// DurabilityAuto:
//
//   - large files are flushed one by one;
//   - beside more of others' dirty pages than have proved harmless, every group is;
//   - otherwise what a unit of work costs in each way decides. The other way is
//     tried now and then, so seldom that it costs at most one part in tryShare of
//     the time; and a difference has to be worth switching for;
//   - a syncfs that took far longer than it should is the last one until a try says
//     that it is over: not everything that stretches one can be seen beforehand.
type chooser struct {
	setting Durability
	deaf    bool // syncfs of this kernel reports no write errors (before Linux 5.8)

	settled   Durability // for small files, where nothing speaks against it
	because   reason     // of settled
	cost      [Fdatasync + 1]cost
	harmless  int64 // bytes of others' dirty pages beside which syncfs was not stretched
	mostTaken int64 // bound of harmless
	trying    bool  // the way of the last next is a try
	tryAt     time.Duration
	pause     time.Duration // between two tries
}

// cost is what a unit of work takes in one way.
type cost struct {
	known bool
	unit  time.Duration
}

// work is what one flush has to do, and beside what.
type work struct {
	files  int   // whose bytes are flushed
	bytes  int64 // of them
	names  int   // of the group before
	others int64 // bytes of dirty pages that are not this store's: on the machine, so at least as many as on the volume
	// foreign is how many bytes were written to the volume, while it was flushed, that
	// are not this store's; foreignUnknown before, and where it cannot be told.
	foreign int64
}

const foreignUnknown = -1

// reason says why a way was chosen.
type reason uint8

const (
	byDefault reason = iota
	bySetting
	byKernel
	byOpening
	bySize
	byOthers
	byStretch
	byCost
	byTry
)

const (
	// smallFile is the mean size in bytes of a group's files from which each is
	// flushed on its own (DESIGN 11).
	smallFile = 1 << 20
	// A unit of work is one file or unitBytes; a flush costs fixedUnits besides.
	unitBytes  = 16 << 10
	fixedUnits = 16
	// telling is the number of files from which a flush tells what they cost.
	telling = 8
	// better, in percent, is how much more a way must cost than the other one to be
	// left for it.
	better = 130
	// A syncfs is stretched when it takes stretch times what it should, twice what
	// fdatasync should, and at least stretchMin; where nothing is known of what it
	// should, longMin.
	stretch    = 4
	stretchMin = 100 * time.Millisecond
	longMin    = time.Second
	// quickMax is what a syncfs may take that proves others' pages harmless.
	quickMax = 50 * time.Millisecond
	// Between two tries lie tryMin to tryMax, and tryShare times what the last one
	// cost.
	tryMin = 5 * time.Second
	// tryOpened is when syncfs is tried after a long opening flush, which may have been
	// the end of what others wrote.
	tryOpened = 250 * time.Millisecond
	tryMax    = 5 * time.Minute
	tryShare  = 50
	// What of others' pages is taken for harmless, in bytes, before it was seen: they
	// may well be on another volume. On the system's it is never more than
	// harmlessMost.
	harmlessOwn    = 256 << 20
	harmlessVolume = 64 << 20
	harmlessSystem = 8 << 20
	harmlessMost   = 256 << 20
	harmlessLeast  = 4 << 20
)

// newChooser begins with what the volume looks like.
func newChooser(setting Durability, deaf bool, of tenancy) chooser {
	c := chooser{setting: setting, deaf: deaf, settled: Syncfs, mostTaken: 1 << 62, pause: tryMin}
	switch of {
	case itsOwn:
		c.harmless = harmlessOwn
	case aVolume:
		c.harmless = harmlessVolume
	default:
		c.harmless, c.mostTaken = harmlessSystem, harmlessMost
	}
	return c
}

// opened notes what the opening flush took, which is a syncfs: others' pages on a
// shared volume show there first.
func (c *chooser) opened(now, took time.Duration) {
	c.tryAt = now + tryMin
	if took >= stretchMin {
		c.settled, c.because = Fdatasync, byOpening
		c.tryAt = now + tryOpened
	}
}

// next chooses the way of one flush: Syncfs or Fdatasync.
func (c *chooser) next(now time.Duration, w work) (Durability, reason) {
	switch {
	case c.setting != DurabilityAuto:
		return c.setting, bySetting
	case c.deaf:
		return Fdatasync, byKernel
	case w.large():
		return Fdatasync, bySize
	}
	due := w.files >= telling && now >= c.tryAt
	switch {
	case w.others > 4*c.harmless || w.others > c.harmless && !due:
		return Fdatasync, byOthers
	case w.others > c.harmless:
		c.trying = true
		return Syncfs, byTry
	case due:
		c.trying = true
		return otherWay(c.settled), byTry
	}
	return c.settled, c.because
}

// note tells what the flush took whose way next chose last.
func (c *chooser) note(now time.Duration, w work, way Durability, took time.Duration) {
	if c.setting != DurabilityAuto || c.deaf || w.large() {
		return
	}
	stretched := way == Syncfs && c.stretched(w, took)
	quick := way == Syncfs && took < max(quickMax, 2*c.expected(Syncfs, w))
	excess := took - c.expected(otherWay(way), w)
	switch {
	case way == Syncfs && w.isElsewhere():
		c.harmless = max(c.harmless, min(16*w.others, c.mostTaken))
	case stretched && w.others > harmlessLeast:
		c.harmless = max(harmlessLeast, min(c.harmless, w.others)/8)
	case quick && w.others > c.harmless/2:
		c.harmless = min(2*w.others, c.mostTaken)
	}
	switch {
	case stretched: // it says nothing about the cost when it is over
		c.settle(Fdatasync, byStretch)
	case w.files >= telling:
		c.cost[way].learn(took / time.Duration(w.units()))
		c.compare(way)
	}
	if stretched || c.trying {
		c.trying = false
		c.tryAt = now + min(max(c.pause, tryShare*excess), tryMax)
		c.pause = min(2*c.pause, tryMax)
	}
}

// compare settles for the way whose cost was learnt last if it is the better one by
// enough. Syncfs is believed to be that until it is known.
func (c *chooser) compare(way Durability) {
	this, that := c.cost[way], c.cost[otherWay(way)]
	if way == c.settled || !this.known {
		return
	}
	if way == Syncfs && !that.known || that.known && 100*that.unit > better*this.unit {
		c.settle(way, byCost)
	}
}

func (c *chooser) settle(way Durability, because reason) {
	if c.settled != way {
		c.pause = max(c.pause/2, tryMin)
	}
	c.settled, c.because = way, because
}

// stretched reports whether a syncfs took far longer than its own work explains.
func (c *chooser) stretched(w work, took time.Duration) bool {
	if !c.cost[Syncfs].known {
		return took >= longMin
	}
	return took >= max(stretchMin, stretch*c.expected(Syncfs, w), 2*c.expected(Fdatasync, w))
}

// expected is what a flush should take; 0 where nothing is known.
func (c *chooser) expected(way Durability, w work) time.Duration {
	return c.cost[way].unit * time.Duration(w.units())
}

// learn takes a sample. One that is far off counts as stretch times what is known.
func (k *cost) learn(unit time.Duration) {
	if !k.known {
		k.known, k.unit = true, unit
		return
	}
	k.unit += (min(unit, stretch*k.unit) - k.unit) / 4
}

func (w work) large() bool { return w.files > 0 && w.bytes >= smallFile*int64(w.files) }

// isElsewhere reports whether a syncfs has shown that others' pages lie on other
// volumes: next to nothing of them was written.
func (w work) isElsewhere() bool {
	return w.foreign != foreignUnknown && w.others >= harmlessLeast && w.foreign < w.others/16
}

func (w work) units() int64 { return fixedUnits + max(int64(w.files), w.bytes/unitBytes) }

func otherWay(way Durability) Durability {
	if way == Syncfs {
		return Fdatasync
	}
	return Syncfs
}

// text says it for an operator.
func (r reason) text(w work) string {
	switch r {
	case bySetting:
		return "as configured"
	case byKernel:
		return "syncfs of this kernel reports no write errors; Linux 5.8 does"
	case byOpening:
		return "the opening flush took long: others write here"
	case bySize:
		return "files of 1 MiB and more"
	case byOthers:
		return fmt.Sprintf("others have %d MiB to be written", w.others>>20)
	case byStretch:
		return "the last syncfs took far longer than our own bytes"
	case byCost:
		return "measured to be the faster way"
	case byTry:
		return "tried, to compare"
	}
	return "nothing speaks against it"
}
