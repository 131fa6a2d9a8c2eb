package sim

import (
	"math/rand/v2"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// plan is what a seed's history is made of. Few blobs, few shards and tight limits
// make every limit bite; a random part of the faults, at random rates, makes rare
// combinations common (swarm testing).
type plan struct {
	blobs   int
	total   uint32
	volumes int // that the shards lie on
	peers   int
	static  bool // the catalog follows nothing
	narrow  bool // it can leave out what did not change
	machine recovery.Config
	steps   int // of the safety phase
	pace    int // how much goes on between two moves of the world

	// rate is how likely a fault of a kind is when there is an occasion, and how
	// much weight a move has among moves; 0: off.
	rate [observed]float64
}

func newPlan(rng *rand.Rand, o Options) plan {
	pick := func(values ...int) int { return values[rng.IntN(len(values))] }
	p := plan{
		blobs: 4 + rng.IntN(9), total: uint32(1 + rng.IntN(4)), volumes: 1 + rng.IntN(2), peers: 1 + rng.IntN(3),
		static: rng.IntN(6) == 0, narrow: rng.IntN(2) == 0, steps: pick(100, 300, 700), pace: pick(2, 4, 8, 20),
		machine: recovery.Config{
			Placement: shards.Hashed,
			Slots:     1 + rng.IntN(4), BytesInFlight: int64(pick(15, 25, 60)), Unsettled: pick(1, 2, 4, 20), Parked: pick(1, 2, 10),
			PageRows: pick(1, 2, 3, 20), ParkAfter: uint32(1 + rng.IntN(3)), ParkedRetry: time.Duration(pick(30, 40, 100)) * time.Second,
			SaveEvery: time.Duration(pick(100, 1000, 5000)) * time.Millisecond, SaveSettled: pick(1, 2, 100),
			FollowInterval: time.Duration(pick(1, 1, 5)) * time.Second,
		},
	}
	if rng.IntN(6) == 0 {
		p.machine.Placement = shards.Striped
		p.total = uint32(2 + rng.IntN(3))
	}
	p.steps = min(p.steps, o.MaxSteps)
	for k := range p.rate {
		on, rate := rng.IntN(2) == 0, []float64{0.02, 0.08, 0.25}[rng.IntN(3)]
		if on {
			p.rate[k] = rate
		}
	}
	p.keepUseful()
	for _, k := range o.Without {
		p.rate[k] = 0
	}
	return p
}

// keepUseful turns on what a history is nothing without, and slows down what ends
// one too often for the rest to happen.
func (p *plan) keepUseful() {
	p.rate[Certify] = max(p.rate[Certify], 0.08)
	for _, k := range []Kind{
		FlushFails, SaveFails, LoadError, ReadError, WriteError, CatalogTwin, TotalChanges, RootSwapped, RootUnmounted, DeadInside, ListLost,
		LineageBreaks, CatalogBack, ContinuityChanges, NodeAway, Pause, StopDraining, StopNow, Invalidate, ShardWiped,
	} {
		p.rate[k] /= 4
	}
}
