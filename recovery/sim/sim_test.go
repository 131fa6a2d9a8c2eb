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
	seeds   = flag.Int("seeds", 300, "how many histories to run")
	first   = flag.Uint64("seed", 1, "the first of them")
	without = flag.String("without", "", "kinds that are left out, with commas between them")
	verbose = flag.Bool("trace", false, "print every step")
)

// TestSimulation runs seeds on all cores.
func TestSimulation(t *testing.T) {
	left := parseKinds(t, *without)
	began := time.Now()
	var (
		next   atomic.Uint64
		mu     sync.Mutex
		counts Counts
		steps  uint64
		failed []Result
		wg     sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for n := next.Add(1) - 1; n < uint64(*seeds); n = next.Add(1) - 1 {
				o := Options{Seed: *first + n, Without: left}
				if *verbose {
					o.Trace = os.Stdout
				}
				r := Run(o)
				mu.Lock()
				counts.add(&r.Counts)
				steps += uint64(r.Steps)
				if r.Violation != nil {
					failed = append(failed, r)
				}
				enough := len(failed) >= maxFailed
				mu.Unlock()
				if enough {
					return
				}
			}
		})
	}
	wg.Wait()
	slices.SortFunc(failed, func(a, b Result) int { return int(a.Seed) - int(b.Seed) })
	for _, r := range failed {
		t.Errorf("seed %d: %v\nreplay: %s", r.Seed, r.Violation, replay(r, left))
	}
	report(t, counts, steps, uint64(len(failed)), time.Since(began))
}

// maxFailed seeds are enough to look at.
const maxFailed = 5

func replay(r Result, without []Kind) string {
	line := fmt.Sprintf("make sim SEEDS=1 SEED=%d", r.Seed)
	if len(without) > 0 {
		line += " WITHOUT=" + kindList(without)
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

// report prints what was run; its last line is for whoever reads only that.
func report(t *testing.T, counts Counts, steps, violations uint64, took time.Duration) {
	var b strings.Builder
	for k, n := range counts {
		if kindNames[k] != "" {
			fmt.Fprintf(&b, " %s=%d", kindNames[k], n)
		}
	}
	fmt.Printf("simulated:%s\n", b.String())
	if missing := counts.Missing(); *seeds >= 300 && len(missing) > 0 && violations == 0 && *without == "" {
		t.Errorf("never happened: %s", strings.Join(missing, ", "))
	}
	evidence.Record(t, evidence.Entry{
		Layer: "simulation", What: "histories with faults, each followed by one without", Tried: uint64(*seeds), Unit: "seeds",
		Violations: violations, Detail: fmt.Sprintf("%d steps, %d faults and moves, from seed %d", steps, counts.Faults(), *first),
	})
	fmt.Printf("%d seeds, %d steps, %d faults and moves, %d violations, %.1fs\n", *seeds, steps, counts.Faults(), violations, took.Seconds())
}
