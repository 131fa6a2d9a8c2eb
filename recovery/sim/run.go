package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"
)

// Options says which history to run.
type Options struct {
	Seed uint64
	// Without are kinds that are left out, whatever the seed says.
	Without []Kind
	// MaxSteps bounds the safety phase; 0: the seed's own.
	MaxSteps int
	// Trace gets every step in words; nil: nobody.
	Trace io.Writer
}

// Result is what one history was.
type Result struct {
	Seed   uint64
	Hash   uint64 // of the whole trace
	Steps  int
	Counts Counts
	// Violation is what must not be, or nil.
	Violation *Violation
}

// Violation is the first thing of a history that must not be.
type Violation struct {
	What string // begins with the rule
	Step int
	At   time.Duration // of the history
}

func (v *Violation) Error() string {
	return fmt.Sprintf("step %d, at %v: %s", v.Step, v.At, v.What)
}

// Run runs the history of a seed: a safety phase, in which everything may fail, and a
// liveness phase, in which nothing does and all must become complete. It does the same
// for the same options, on every machine.
func Run(o Options) (r Result) {
	if o.MaxSteps == 0 {
		o.MaxSteps = maxSteps
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0x7265636f76657264))
	w := newWorld(rng, newPlan(rng, o), o.Trace)
	defer func() {
		r = Result{Seed: o.Seed, Hash: w.trace.hash.Sum64(), Steps: w.steps, Counts: w.counts}
		switch p := recover().(type) {
		case nil:
		case *Violation:
			r.Violation = p
		default: // of the code under test, or of the simulation itself
			r.Violation = &Violation{What: fmt.Sprintf("panic: %v\n%s", p, ourFrames()), Step: w.steps, At: w.now}
		}
	}()
	w.note("seed %d: %d blobs, %d shards, %v", o.Seed, w.plan.blobs, w.plan.total, w.plan.machine.Placement)
	for w.steps < w.plan.steps {
		w.step()
	}
	w.finish()
	return r
}

// maxSteps bounds the steps of a safety phase.
const maxSteps = 1_000

// ourFrames is the stack of a panic without what is the same in all.
func ourFrames() string {
	var kept []string
	for line := range strings.Lines(string(debug.Stack())) {
		if strings.HasPrefix(line, "\t") && strings.Contains(line, "/recoverd/") || strings.Contains(line, "recovery/") && strings.HasPrefix(line, "\t") {
			kept = append(kept, strings.TrimRight(line, "\n"))
		}
	}
	return strings.Join(kept[:min(len(kept), 12)], "\n")
}
