package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

var (
	seeds    = flag.Int("seeds", 1000, "how many histories to run")
	first    = flag.Uint64("seed", 1, "the first of them")
	without  = flag.String("without", "", "kinds that are left out, with commas between them")
	failures = flag.Int("failures", 3, "how many histories that fail are enough to look at")
	verbose  = flag.Bool("steps", false, "print every step")
)

// enoughSeeds let every kind happen.
const enoughSeeds = 1000

// summary is the last line that is printed.
var summary string

func TestMain(m *testing.M) {
	code := m.Run()
	if summary != "" {
		fmt.Println(summary)
	}
	os.Exit(code)
}

// TestSimulation runs seeds on all cores.
func TestSimulation(t *testing.T) {
	left, began := parseKinds(t, *without), time.Now()
	s := runSeeds(*first, *seeds, func(o *Options) {
		o.Without = left
		if *verbose {
			o.Trace = os.Stdout
		}
	})
	for _, r := range s.failed {
		t.Errorf("seed %d: %v\ncaught after %d seeds; %s", r.Seed, r.Violation, r.Seed-*first+1, replay(r, left))
	}
	if missing := s.counts.Missing(); s.ran >= enoughSeeds && len(s.failed) == 0 && len(missing) > 0 && len(left) == 0 {
		t.Errorf("never happened: %s", strings.Join(missing, ", "))
	}
	var each strings.Builder
	for k, n := range s.counts {
		if kindNames[k] != "" {
			fmt.Fprintf(&each, " %s=%d", kindNames[k], n)
		}
	}
	t.Logf("happened:%s", each.String())
	violations := uint64(len(s.failed))
	evidence.Record(t, evidence.Entry{
		Layer: "simulation", What: "histories with faults, and their end without", Tried: s.ran, Unit: "seeds", Violations: violations,
		Detail: fmt.Sprintf("%d steps, %d faults and moves of %d kinds, from seed %d", s.steps, s.counts.Faults(), int(observed), *first),
	})
	summary = fmt.Sprintf("%d seeds, %d steps, %d faults and moves of %d kinds, %d violations, %.1f s",
		s.ran, s.steps, s.counts.Faults(), int(observed), violations, time.Since(began).Seconds())
}

// sums is what many histories were.
type sums struct {
	ran, steps uint64
	counts     Counts
	failed     []Result // by seed; at most about -failures
}

func runSeeds(from uint64, n int, set func(*Options)) *sums {
	var (
		s    sums
		next atomic.Int64
		mu   sync.Mutex
		wg   sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				o := Options{Seed: from + uint64(i)}
				set(&o)
				r := Run(o)
				mu.Lock()
				s.ran++
				s.steps += uint64(r.Steps)
				s.counts.add(&r.Counts)
				if r.Violation != nil {
					s.failed = append(s.failed, r)
				}
				if len(s.failed) >= *failures {
					next.Store(int64(n))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.SortFunc(s.failed, func(a, b Result) int { return int(a.Seed) - int(b.Seed) })
	return &s
}

// replay is how to see a history again, with as little in it as breaks the same rule.
func replay(r Result, left []Kind) string {
	less, shortest := Shrink(Options{Seed: r.Seed, Without: left}, r)
	line := fmt.Sprintf("replay: make sim SEEDS=1 SEED=%d TRACE=1", r.Seed)
	if len(left) > 0 {
		line += " WITHOUT=" + kindList(left)
	}
	if len(less) > len(left) {
		line += fmt.Sprintf("\nless goes on (%d steps): make sim SEEDS=1 SEED=%d TRACE=1 WITHOUT=%s\n%v", shortest.Steps, r.Seed, kindList(less), shortest.Violation)
	}
	return line
}

func kindList(list []Kind) string {
	names := make([]string, len(list))
	for i, k := range list {
		names[i] = k.String()
	}
	return strings.Join(names, ",")
}

func parseKinds(t *testing.T, text string) (list []Kind) {
	t.Helper()
	for name := range strings.SplitSeq(text, ",") {
		if name == "" {
			continue
		}
		k, ok := ParseKind(name)
		if !ok || k >= observed {
			t.Fatalf("-without: there is no %q", name)
		}
		list = append(list, k)
	}
	return list
}

// The same seed is the same history: step by step, whatever else runs, on as many
// cores as there are, and however maps are ordered.
func TestSameSeedSameHistory(t *testing.T) {
	const n = 60
	hashes := func(cores int) (all [n]uint64) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
		var wg sync.WaitGroup
		for i := range all {
			wg.Go(func() { all[i] = Run(Options{Seed: *first + uint64(i)}).Hash })
		}
		wg.Wait()
		return all
	}
	one, many := hashes(1), hashes(4)
	different := map[uint64]bool{}
	for i := range one {
		if one[i] != many[i] {
			t.Errorf("seed %d has the hashes %x and %x", *first+uint64(i), one[i], many[i])
		}
		different[one[i]] = true
	}
	if len(different) != n {
		t.Errorf("%d seeds have %d histories", n, len(different))
	}
}

// Seeds that break a rule when what they found is put back in (recovery/sim/planted).
// Each is also a scenario of package recovery, which stays when the histories change.
func TestSeedsThatFoundSomething(t *testing.T) {
	for _, c := range []struct {
		seed  uint64
		found string
	}{
		{181, "complete while a save that lists a blob put back is under way"},
		{61, "complete by a look at the store from before the pass"},
		{174, "a failed flush in an opening that nobody waits for"},
		{385, "a list full of what the network dropped holds up a pass for ever"},
		{21386, "a success from before a blob was certified anew"},
	} {
		if r := Run(Options{Seed: c.seed}); r.Violation != nil {
			t.Errorf("seed %d (%s): %v", c.seed, c.found, r.Violation)
		}
	}
}
