package worker

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// plant is a made-up world: what a limit yields in it, and how long a blob takes.
type plant struct {
	perSecond func(limit float64) float64 // blobs
	size      uint64                      // bytes of each
	refusals  func(limit float64) float64 // signs of overload a second
	noise     float64                     // standard deviation of a sample, as a share
	supply    float64                     // blobs in flight at most, for another reason; 0: no bound
}

// course is what a governor did in a plant.
type course struct {
	limits  []int
	goodput []float64 // the plant's, without noise
}

const sampleTime = 100 * time.Millisecond

// run drives a governor through a plant for a while. A new limit shows in what comes
// out only after a blob's time.
func (p plant) run(g *Governor, r *rand.Rand, d time.Duration) (c course) {
	was := float64(g.Limit())
	for range int(d / sampleTime) {
		limit := float64(g.Limit())
		inFlight, full := limit, 1.0
		if p.supply > 0 && p.supply < limit {
			inFlight, full = p.supply, 0
		}
		rate := p.perSecond(inFlight)
		took := inFlight / rate
		lag := min(took/sampleTime.Seconds(), 1) // of the sample, still at the old limit
		out := (lag*p.perSecond(was) + (1-lag)*rate) * sampleTime.Seconds() * (1 + p.noise*r.NormFloat64())
		s := Sample{Elapsed: sampleTime, Blobs: roundUp(r, out), InFlight: inFlight, Most: int(inFlight), Full: full}
		s.Bytes = uint64(max(out, 0) * float64(p.size))
		if p.refusals != nil {
			s.Overload = roundUp(r, p.refusals(inFlight)*sampleTime.Seconds())
		}
		was = inFlight
		g.Step(s)
		c.limits, c.goodput = append(c.limits, g.Limit()), append(c.goodput, rate)
	}
	return c
}

// roundUp rounds so that the mean stays.
func roundUp(r *rand.Rand, x float64) uint64 {
	return uint64(max(math.Floor(x+r.Float64()), 0))
}

func latency(l, most float64) func(float64) float64 {
	return func(n float64) float64 { return min(n/l, most) }
}

// best is the most that a limit yields.
func (p plant) best() (most float64) {
	for n := 1; n <= ceilingHere; n++ {
		most = max(most, p.perSecond(float64(n)))
	}
	return most
}

const ceilingHere = 1_024

// share is the plant's goodput over a stretch of the course, as a share of most.
func (c course) share(most float64, from, to time.Duration) float64 {
	sum := 0.0
	part := c.goodput[from/sampleTime : to/sampleTime]
	for _, g := range part {
		sum += g
	}
	return sum / float64(len(part)) / most
}

// swing is the highest limit of a stretch over the lowest.
func (c course) swing(from, to time.Duration) float64 {
	part := c.limits[from/sampleTime : to/sampleTime]
	return float64(slices.Max(part)) / float64(slices.Min(part))
}

// knee yields n/l up to a limit, and less beyond it.
func knee(l, at float64) func(float64) float64 {
	return func(n float64) float64 { return at / l * min(n/at, math.Pow(at/n, 0.7)) }
}

// refusing is a server that answers 429 to what is more than at.
func refusing(at float64) plant {
	return plant{
		perSecond: func(n float64) float64 { return min(n, at) / 0.05 },
		refusals:  func(n float64) float64 { return max(n-at, 0) / 0.05 },
	}
}

// In every world the limit comes near the best, stays there, and is not much higher
// than it has to be.
func TestGovernorConverges(t *testing.T) {
	for name, tc := range map[string]struct {
		plant  plant
		within time.Duration // until it yields nine tenths of the best
		share  float64       // of the best, from then on
		least  int           // of the limits, at the end
		most   int
	}{
		"latency of 50 ms":           {plant{perSecond: latency(0.05, math.Inf(1))}, 5 * time.Second, 0.95, 860, 1_024},
		"latency, then bandwidth":    {plant{perSecond: latency(0.05, 5_000)}, 5 * time.Second, 0.95, 180, 520},
		"bandwidth, large blobs":     {plant{perSecond: latency(4, 8), size: 8 << 20}, 5 * time.Second, 0.95, 20, 130},
		"bandwidth, one blob enough": {plant{perSecond: latency(0.001, 1_000)}, 5 * time.Second, 0.95, 4, 64},
		"soft bend":                  {plant{perSecond: func(n float64) float64 { return 20_000 * n / (n + 100) }}, 15 * time.Second, 0.9, 300, 1_024},
		"a knee":                     {plant{perSecond: knee(0.05, 100)}, 5 * time.Second, 0.8, 60, 160},
		"a knee below the start":     {plant{perSecond: knee(0.05, 16)}, 15 * time.Second, 0.8, 9, 26},
		"429 beyond 40":              {refusing(40), 5 * time.Second, 0.85, 24, 48},
		"429 beyond 8":               {refusing(8), 5 * time.Second, 0.85, 5, 10},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				tc.plant.noise = 0.05
				g := NewGovernor(4, ceilingHere, 64)
				c := tc.plant.run(g, rand.New(rand.NewPCG(seed, 1)), 3*time.Minute)
				best := tc.plant.best()
				if got := c.share(best, tc.within, tc.within+3*time.Second); got < tc.share-0.05 {
					t.Errorf("seed %d: after %v it yields %.2f of the best", seed, tc.within, got)
				}
				if got := c.share(best, 20*time.Second, 3*time.Minute); got < tc.share {
					t.Errorf("seed %d: in the long run it yields %.2f of the best", seed, got)
				}
				end := c.limits[len(c.limits)*2/3:]
				if slices.Min(end) < tc.least || slices.Max(end) > tc.most {
					t.Errorf("seed %d: in the end the limit is %d to %d", seed, slices.Min(end), slices.Max(end))
				}
				if got := c.swing(170*time.Second, 3*time.Minute); got > 2.01 {
					t.Errorf("seed %d: in the last 10 s it swings by a factor of %.2f", seed, got)
				}
			}
		})
	}
}

// When the world changes the limit follows, both ways.
func TestGovernorRecovers(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		g, before := NewGovernor(4, ceilingHere, 64), 0.0
		for i, to := range []float64{5_000, 600, 12_000, 200, 4_000} {
			p := plant{perSecond: latency(0.05, to), noise: 0.05}
			c := p.run(g, r, 3*time.Minute)
			if got := c.share(to, 15*time.Second, 3*time.Minute); got < 0.9 {
				t.Errorf("seed %d, world %d: it yields %.2f of the best", seed, i, got)
			}
			if limit := float64(g.Limit()); limit > 3*0.05*to && limit > before/2 {
				t.Errorf("seed %d, world %d: the limit is %v, %v would do", seed, i, limit, 0.05*to)
			}
			before = float64(g.Limit())
		}
	}
}

// A cap is no longer there than its cause.
func TestGovernorForgetsOverload(t *testing.T) {
	for seed := range uint64(20) {
		r, g := rand.New(rand.NewPCG(seed, 5)), NewGovernor(4, ceilingHere, 64)
		refusing(40).run(g, r, 30*time.Second)
		p := plant{perSecond: latency(0.05, 10_000), noise: 0.05}
		c := p.run(g, r, 3*time.Minute)
		if got := c.share(p.best(), 2*time.Minute, 3*time.Minute); got < 0.9 {
			t.Errorf("seed %d: two minutes after the last sign it yields %.2f of the best", seed, got)
		}
	}
}

// Hazard 28. One dead source holds up all other work: a broken peer among good ones
// refuses a part of all requests, whatever the limit. That must not shrink it.
func TestOneDeadSourceHoldsUpAllOtherWork(t *testing.T) {
	for _, part := range []float64{0.0001, 0.001, 0.02, 0.3} {
		for seed := range uint64(20) {
			p := plant{
				perSecond: latency(0.05, 10_000), noise: 0.05,
				refusals: func(n float64) float64 { return part * min(n/0.05, 10_000) },
			}
			c := p.run(NewGovernor(4, ceilingHere, 64), rand.New(rand.NewPCG(seed, 3)), 5*time.Minute)
			if got := c.share(p.best(), 20*time.Second, 5*time.Minute); got < 0.7 {
				t.Errorf("%g of all refused, seed %d: it yields %.2f of the best", part, seed, got)
			}
		}
	}
}

// Signs of overload shrink the limit in the sample they come with.
func TestGovernorYieldsAtOnce(t *testing.T) {
	g := NewGovernor(4, ceilingHere, 100)
	full := Sample{Elapsed: sampleTime, Blobs: 200, InFlight: 100, Most: 100, Full: 1}
	refused := full
	refused.Overload = 1
	if got := g.Step(refused); got != 70 {
		t.Errorf("one sign: %d, want 70", got)
	}
	if got := g.Step(refused); got != 70 {
		t.Errorf("a sign of what was in flight before: %d, want 70", got)
	}
	for range 5 {
		g.Step(full)
	}
	before := g.Limit()
	refused.Overload = 500
	if got := g.Step(refused); got != before/2 {
		t.Errorf("more signs than blobs: %d after %d", got, before)
	}
}

// A limit that does not bind does not grow: neither while stored blobs are scanned,
// nor when a budget holds work back, nor while no peer answers.
func TestGovernorDoesNotGrowUnlessItBinds(t *testing.T) {
	for name, p := range map[string]plant{
		"a budget of bytes": {perSecond: latency(0.05, math.Inf(1)), supply: 30, noise: 0.1},
		"nothing to fetch":  {perSecond: latency(0.05, math.Inf(1)), supply: 0.5, noise: 0.1},
	} {
		c := p.run(NewGovernor(4, ceilingHere, 64), rand.New(rand.NewPCG(1, 4)), time.Minute)
		if slices.Max(c.limits) > 64 {
			t.Errorf("%s: it grew to %d", name, slices.Max(c.limits))
		}
	}
	evidence.Property(t, "worker: a limit that does not bind does not grow", func(t *rapid.T) {
		g := anyGovernor(t)
		g.window.begin(false) // the one under way may be full already
		most := max(g.Limit(), int(math.Round(g.level)))
		for _, s := range rapid.SliceOfN(anySample(), 1, 60).Draw(t, "not full") {
			s.Full *= 0.7
			if g.Step(s); g.Limit() > most {
				t.Fatalf("it grew from %d to %d", most, g.Limit())
			}
		}
	})
}

// Whatever the samples say, the limit stays inside its bounds, and each sign that is
// heard makes it smaller.
func TestGovernorStaysInBounds(t *testing.T) {
	evidence.Property(t, "worker: the limit stays inside its bounds, and sinks at each sign of overload", func(t *rapid.T) {
		g := anyGovernor(t)
		for _, s := range rapid.SliceOfN(anySample(), 1, 100).Draw(t, "samples") {
			if rapid.IntRange(0, 19).Draw(t, "rebound") == 0 {
				g.Bound(rapid.IntRange(-1, 50).Draw(t, "floor"), rapid.IntRange(-1, 5_000).Draw(t, "ceiling"))
			}
			before, heard := g.Limit(), s.Overload > 0 && g.over.heard()
			got := g.Step(s)
			floor, ceiling := g.Bounds()
			if got != g.Limit() || got < floor || got > ceiling || floor < 1 {
				t.Fatalf("%d is not in %d to %d", got, floor, ceiling)
			}
			if heard && g.over.deaf == 0 && got >= before && got > floor {
				t.Fatalf("a sign, and the limit goes from %d to %d", before, got)
			}
		}
	})
}

// anyGovernor has a past.
func anyGovernor(t *rapid.T) *Governor {
	g := NewGovernor(rapid.IntRange(-1, 40).Draw(t, "floor"), rapid.IntRange(-1, 5_000).Draw(t, "ceiling"), rapid.IntRange(-1, 5_000).Draw(t, "start"))
	for _, s := range rapid.SliceOfN(anySample(), 0, 100).Draw(t, "past") {
		g.Step(s)
	}
	return g
}

func anySample() *rapid.Generator[Sample] {
	return rapid.Custom(func(t *rapid.T) Sample {
		s := Sample{
			Elapsed:  time.Duration(rapid.Int64Range(0, int64(2*time.Second)).Draw(t, "elapsed")),
			Blobs:    rapid.Uint64Range(0, 10_000).Draw(t, "blobs"),
			Bytes:    rapid.Uint64Range(0, 1<<40).Draw(t, "bytes"),
			InFlight: float64(rapid.IntRange(0, 5_000).Draw(t, "in flight")),
			Full:     rapid.SampledFrom([]float64{0, 0.5, 1, 1, 1}).Draw(t, "full"),
			Overload: rapid.SampledFrom([]uint64{0, 0, 0, 0, 1, 100}).Draw(t, "overload"),
		}
		s.Most = int(s.InFlight)
		return s
	})
}
