package worker

import (
	"math"
	"time"
)

// Governor chooses how many blobs are in flight, from what that yields. It is plain
// data: its owner brings the samples, every 100 ms or so, and puts in force what Step
// returns.
//
// What is maximized is goodput: bytes received, with a bonus for every blob (Sample).
// Latencies are not looked at: blobs' sizes vary a million times, and a slow disk
// shows in the goodput and in no answer of a peer's.
//
//   - Climb. The limit doubles as long as that yields a quarter more. So it is at most
//     eleven steps from the least limit to the highest there is.
//   - Test. The limit goes to and fro between a little above the level and a little
//     below it; each pair of windows gives one estimate of the elasticity: by how many
//     percent goodput grows where the limit grows by one. When their mean is certain
//     enough, or was taken often enough, the level moves: up where a higher limit is
//     worth it, down where a lower one yields as much, so that of all limits that yield
//     nearly the most the smallest is sought. A steep slope goes back to climbing.
//   - Rest. A level that stayed, or was passed in both directions, is kept for a while,
//     twice as long each time, unless goodput changes by itself: that asks for a new
//     test at once.
//
// Signs of overload cut the limit at once, and put a cap just below where they came. It
// lasts 10 s, twice as long each time, and then rises in small steps. Cuts that cost
// goodput nearly in proportion, while the signs go on, are in vain: the signs have
// another cause, such as one broken peer among good ones (hazard 28), and are not heard
// for a while, in which goodput alone decides.
//
// A window in which the limit was not what held work back teaches nothing and changes
// nothing: neither the scan over stored blobs, nor the budget of bytes, nor an outage
// makes the limit grow.
//
// It cannot run away: every limit is clamped to floor and ceiling, growing takes full
// windows of which the later yields more, and what does not pay is given up again. It
// converges where goodput has one maximum: below it tests are won by the higher limit,
// above it by the lower one, and near it the verdicts turn around and the rests grow.
type Governor struct {
	floor, ceiling int
	limit          int     // in force
	level          float64 // that tests are made around
	mode           governorMode
	window         window
	trial          trial

	base      outcome // climb: what the limit before this one yielded; zero: not known
	poor      float64 // climb: the goodput of this one's first window, if that was too little
	reference float64 // rest: the goodput of its first window; 0: not known
	rests     int     // windows still to rest
	nextRest  int     // the length of the next rest, in windows
	heading   int     // moves in a row: upwards, or downwards if negative

	last outcome // of the newest whole window since the last cut
	over overload
}

type governorMode uint8

const (
	modeClimb governorMode = iota
	modeTest
	modeRest
)

// Sample is what the work did since the sample before it.
type Sample struct {
	Elapsed time.Duration
	// Blobs counts those that gave their slots back with all their bytes in the store;
	// Bytes were received, also of blobs that are still in flight.
	Blobs, Bytes uint64
	// InFlight is the average number of slots taken, Most the highest one.
	InFlight float64
	Most     int
	// Full is the share of the time, 0 to 1, that no slot was free.
	Full float64
	// Overload counts the signs that peers have more to do than they can.
	Overload uint64
}

const (
	// blobBonus is what a blob counts for besides its bytes: what could be received in
	// the time that a request costs. It keeps goodput comparable when sizes vary.
	blobBonus = 64 << 10

	spread     = 1.18 // of a test, upwards and downwards; and one move of the level
	climbYield = 1.25 // of doubling the limit, to double again
	keepYield  = 1.1  // to keep it
	longStride = 3    // moves in a row
	maxRest    = 16   // windows
	unrest     = 0.3  // change of goodput, as a logarithm, that ends a rest
)

// NewGovernor returns one that begins at start. Limits are clamped to 1 <= floor <=
// ceiling.
func NewGovernor(floor, ceiling, start int) *Governor {
	g := &Governor{limit: start}
	g.Bound(floor, ceiling)
	g.level = float64(g.limit)
	return g
}

// Limit returns the limit in force.
func (g *Governor) Limit() int { return g.limit }

// Bounds returns floor and ceiling.
func (g *Governor) Bounds() (floor, ceiling int) { return g.floor, g.ceiling }

// Bound changes floor and ceiling. They are in force at once.
func (g *Governor) Bound(floor, ceiling int) {
	g.ceiling = max(ceiling, 1)
	g.floor = min(max(floor, 1), g.ceiling)
	g.level = g.clamp(g.level)
	g.set(float64(g.limit))
}

// Step takes the next sample and returns the limit to put in force.
func (g *Governor) Step(s Sample) int {
	g.over.pass(s.Elapsed, g.level*spread*spread)
	if s.Overload > 0 && g.over.heard() {
		g.yield(s)
		return g.limit
	}
	switch g.window.add(s, g.limit) {
	case windowVoid:
		g.learnNothing()
	case windowDone:
		g.last = outcome{limit: float64(g.limit), goodput: g.window.goodput()}
		g.over.note(g.last)
		g.judge(g.last)
	}
	return g.limit
}

// outcome is what a limit yielded.
type outcome struct{ limit, goodput float64 }

func (g *Governor) judge(o outcome) {
	if o.goodput <= 0 { // stalled: of this no ratio can be made
		g.learnNothing()
		return
	}
	switch g.mode {
	case modeClimb:
		g.climb(o)
	case modeTest:
		g.test(o)
	case modeRest:
		g.rest(o)
	}
}

// climb doubles the limit, or finds that it went far enough. That it did is looked at
// twice: a stall of ours or of a peer's makes a window poor, and nothing makes one rich.
func (g *Governor) climb(o outcome) {
	before := g.base
	if before.goodput > 0 && o.goodput < climbYield*before.goodput && g.poor == 0 {
		g.poor = o.goodput
		g.set(o.limit)
		return
	}
	o.goodput, g.poor = max(o.goodput, g.poor), 0
	switch {
	case before.goodput == 0, o.goodput >= climbYield*before.goodput:
		g.base = o
		g.level = o.limit
		if o.limit < g.top() {
			g.set(2 * o.limit)
			return
		}
	case o.goodput >= keepYield*before.goodput:
		g.level = o.limit
	case o.goodput > before.goodput:
		g.level = math.Sqrt(before.limit * o.limit)
	default:
		g.level = before.limit
	}
	g.startTest()
}

func (g *Governor) startTest() {
	g.mode, g.trial, g.base, g.poor = modeTest, trial{}, outcome{}, 0
	g.setForTest()
}

// setForTest puts the limit in force that the trial's next window is about.
func (g *Governor) setForTest() {
	low, high := g.clamp(g.level/spread), g.clamp(max(g.level*spread, g.level+1))
	if g.trial.wantsHigh() {
		g.set(high)
	} else {
		g.set(min(low, high-1))
	}
}

func (g *Governor) test(o outcome) {
	if paired := g.trial.add(o); !paired {
		g.setForTest()
		return
	}
	switch g.trial.verdict() {
	case undecided:
		g.setForTest()
	case steep:
		g.pays()
	case worthIt:
		g.move(1)
	case worthless:
		g.move(-1)
	case falls:
		g.heading = min(g.heading, 1-longStride)
		g.move(-1)
	default:
		g.stay()
	}
}

// pays follows a steep slope. After moves down it takes these back first.
func (g *Governor) pays() {
	if g.heading == 0 || g.heading > 1 {
		g.startClimb(g.trial.high)
		return
	}
	g.level, g.heading = g.clamp(g.level*spread), max(g.heading, 0)+1
	g.startTest()
}

// startClimb doubles the level; before is what a limit about there yielded.
func (g *Governor) startClimb(before outcome) {
	if g.level >= g.top() {
		g.stay()
		return
	}
	g.mode, g.base, g.poor, g.heading, g.nextRest = modeClimb, before, 0, 0, 0
	g.set(2 * g.level)
}

// move moves the level up or down, twice as far from the third time in a row, and tests
// on. After a change of direction it rests, since the level is near its place.
func (g *Governor) move(sign int) {
	turned := g.heading*sign < 0
	if turned {
		g.heading = 0
	}
	g.heading += sign
	stride := float64(sign)
	if g.heading*sign >= longStride {
		stride *= 2
	}
	to := g.clamp(g.level * math.Pow(spread, stride))
	if to == g.level {
		g.stay()
		return
	}
	g.level = to
	if turned {
		g.stay()
		return
	}
	g.nextRest = 0
	g.startTest()
}

// stay keeps the level for a while.
func (g *Governor) stay() {
	g.nextRest = min(2*g.nextRest+1, maxRest)
	g.mode, g.rests, g.reference = modeRest, g.nextRest, 0
	g.set(g.level)
}

func (g *Governor) rest(o outcome) {
	g.rests--
	switch {
	case g.reference == 0:
		g.reference = o.goodput
	case math.Abs(math.Log(o.goodput/g.reference)) > unrest:
		g.rests, g.nextRest = 0, 0
	}
	if g.rests > 0 {
		g.set(g.level)
		return
	}
	g.startTest()
}

// learnNothing goes back to the level: what is compared must be of one time.
func (g *Governor) learnNothing() {
	if g.mode == modeClimb && g.base.goodput == 0 {
		g.set(g.level) // nothing is known yet
		return
	}
	g.hold()
}

// hold keeps the level for one window, and tests then.
func (g *Governor) hold() {
	g.mode, g.rests, g.reference, g.poor = modeRest, 1, 0, 0
	g.set(g.level)
}

// yield cuts the limit because of signs of overload, unless cutting was in vain.
func (g *Governor) yield(s Sample) {
	limit, last := float64(g.limit), g.last
	if s.Most > 0 {
		limit = min(limit, float64(s.Most))
	}
	g.last = outcome{}
	keep := g.over.cut(limit, last, s, g.window.took)
	if keep == 1 { // in vain
		g.level = last.limit
		g.startClimb(last)
		return
	}
	g.level = g.clamp(limit * keep)
	g.heading, g.nextRest = 0, 0
	g.hold()
}

// top is the highest limit allowed now.
func (g *Governor) top() float64 { return min(float64(g.ceiling), max(g.over.cap(), float64(g.floor))) }

func (g *Governor) clamp(level float64) float64 {
	return min(max(level, float64(g.floor)), g.top())
}

// set puts a limit in force, and begins a window.
func (g *Governor) set(limit float64) {
	next := int(math.Round(g.clamp(limit)))
	g.window.begin(next != g.limit)
	g.limit = next
}
