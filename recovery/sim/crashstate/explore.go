package crashstate

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Options say how much is tried. The zero value of a field means its default.
type Options struct {
	// Exhaustive is the most states of one moment that are all tried; default 600.
	Exhaustive int
	// Samples is how many are tried of any other moment; default 48.
	Samples int
	// Seed draws the samples.
	Seed uint64
	// Workers is how many states are looked at side by side; default 2.
	Workers int
}

func (o Options) withDefaults() Options {
	if o.Exhaustive == 0 {
		o.Exhaustive = 600
	}
	if o.Samples == 0 {
		o.Samples = 48
	}
	if o.Workers == 0 {
		o.Workers = 2
	}
	return o
}

// Result says how much was tried.
type Result struct {
	Operations int // of names and bytes
	Moments    int
	Whole      int // moments of which every state was tried
	States     int // distinct: as the disk was, and what had been said by then
}

func (r Result) String() string {
	return fmt.Sprintf("%d operations, %d moments (%d of them exhaustively), %d distinct states", r.Operations, r.Moments, r.Whole, r.States)
}

// Check opens the disk in dir, with the real code, and reports what must not be. notes
// is what the process had said by then, in order. It may change dir. Several run side
// by side.
type Check func(dir string, notes []string) error

// Violation is a state that a check refused.
type Violation struct {
	After  string // the last event before the power cut
	Notes  int
	Fates  []string // of what was not durable
	Number int      // of the state, in the order they were found
	Err    error
}

func (v *Violation) Error() string {
	return fmt.Sprintf("crashstate: state %d, a power cut after %q (%d notes), with\n  %s\n: %v", v.Number, v.After, v.Notes, strings.Join(v.Fates, "\n  "), v.Err)
}

func (v *Violation) Unwrap() error { return v.Err }

// Explore tries every moment of a history, and returns the first *Violation. Disks are
// laid out below scratch, where the caller removes what is left.
func Explore(ctx context.Context, h History, scratch string, o Options, check Check) (Result, error) {
	d, err := newDisk(h)
	if err != nil {
		return Result{}, err
	}
	x := &explorer{disk: d, opts: o.withDefaults(), scratch: scratch, check: check, seen: map[[sha256.Size]byte]bool{}}
	x.result.Operations = len(d.effects)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(x.opts.Workers)
	for _, m := range momentsOf(h) {
		if err = x.at(ctx, g, m); err != nil {
			break // or a check failed, which Wait tells
		}
	}
	if failed := g.Wait(); failed != nil {
		err = failed
	}
	return x.result, err
}

// moment is an instant at which the power may be cut.
type moment struct {
	at    int
	after string
	notes []string
}

// momentsOf lists every moment between two events: beginnings and ends of operations.
func momentsOf(h History) (all []moment) {
	type event struct {
		at   int
		text string
		note string
	}
	events := []event{{text: "nothing"}}
	for _, op := range h {
		e := event{at: op.Begin, text: op.String()}
		if op.Kind == Note {
			e.note = op.Text
		}
		events = append(events, e)
		if (op.Kind == Sync || op.Kind == SyncAll) && op.End != Never {
			events = append(events, event{at: op.End, text: op.String() + ", which ended"})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.at - b.at })
	var notes []string
	for _, e := range events {
		if e.note != "" {
			notes = append(slices.Clip(notes), e.note)
		}
		all = append(all, moment{at: e.at, after: e.text, notes: notes})
	}
	return all
}

// explorer tries states; its own goroutine finds them, others check them.
type explorer struct {
	disk    *disk
	opts    Options
	scratch string
	check   Check
	seen    map[[sha256.Size]byte]bool
	result  Result
}

// at tries the states of one moment.
func (x *explorer) at(ctx context.Context, g *errgroup.Group, m moment) error {
	x.result.Moments++
	open := x.disk.pending(m.at)
	if grain := x.grain(open, m.at); grain > 0 {
		x.result.Whole++
		return x.every(ctx, g, m, grain, open, map[*effect]fate{})
	}
	r := rand.New(rand.NewPCG(x.opts.Seed, uint64(m.at)))
	for n := range x.opts.Samples {
		if err := x.try(ctx, g, m, sample(open, m.at, n, r)); err != nil {
			return err
		}
	}
	return nil
}

// grain is the finest with which all states of a moment can be tried; 0: none.
func (x *explorer) grain(open []*effect, at int) int {
	for _, grain := range []int{256, 64, 16, 4, 2} {
		total := 1
		for _, e := range open {
			if total *= len(e.fates(at, grain)); total > x.opts.Exhaustive {
				break
			}
		}
		if total <= x.opts.Exhaustive {
			return grain
		}
	}
	return 0
}

// every tries all combinations of the fates of open, under those already chosen.
func (x *explorer) every(ctx context.Context, g *errgroup.Group, m moment, grain int, open []*effect, chosen map[*effect]fate) error {
	if len(open) == 0 {
		return x.try(ctx, g, m, maps.Clone(chosen))
	}
	for _, f := range open[0].fates(m.at, grain) {
		chosen[open[0]] = f
		if err := x.every(ctx, g, m, grain, open[1:], chosen); err != nil {
			return err
		}
	}
	return nil
}

// sample is the n-th of a moment's samples: corners first.
func sample(open []*effect, at, n int, r *rand.Rand) map[*effect]fate {
	fates := map[*effect]fate{}
	only := func(kind fateKind, which func(i int, e *effect) bool) map[*effect]fate {
		for i, e := range open {
			if which(i, e) && e.allowed(at, kind) {
				fates[e] = fate{kind: kind}
			}
		}
		return fates
	}
	one := r.IntN(len(open))
	bytes := func(_ int, e *effect) bool { return e.file != none }
	switch n {
	case 0:
		return fates
	case 1:
		return only(lost, func(int, *effect) bool { return true })
	case 2:
		return only(lost, bytes)
	case 3:
		return only(zeros, bytes)
	case 4:
		return only(lost, func(_ int, e *effect) bool { return e.file == none })
	}
	switch n % 4 {
	case 0: // one is missing
		return only(lost, func(i int, _ *effect) bool { return i == one })
	case 1: // one is there
		return only(lost, func(i int, _ *effect) bool { return i != one })
	case 2: // all in order up to one, which is torn
		only(lost, func(i int, _ *effect) bool { return i > one })
		fates[open[one]] = open[one].draw(at, r)
		return fates
	}
	odds := []float64{0.1, 0.5, 0.9}[r.IntN(3)]
	for _, e := range open {
		if r.Float64() < odds {
			fates[e] = e.draw(at, r)
		}
	}
	return fates
}

// try has a state checked, unless it was before.
func (x *explorer) try(ctx context.Context, g *errgroup.Group, m moment, fates map[*effect]fate) error {
	img := x.disk.imageAt(m.at, fates)
	sum := img.sum()
	sum[0] ^= byte(len(m.notes))
	sum[1] ^= byte(len(m.notes) >> 8)
	if x.seen[sum] {
		return ctx.Err()
	}
	x.seen[sum] = true
	x.result.States++
	number := x.result.States
	g.Go(func() error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := x.look(img, m.notes); err != nil {
			return &Violation{After: m.after, Notes: len(m.notes), Fates: describe(fates), Number: number, Err: err}
		}
		return nil
	})
	return ctx.Err()
}

// look lays a state out and checks it.
func (x *explorer) look(img image, notes []string) error {
	dir, err := os.MkdirTemp(x.scratch, "state-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // scratch
	if err := img.layOut(dir); err != nil {
		return err
	}
	return x.check(dir, notes)
}

// describe lists what was not kept, in order.
func describe(fates map[*effect]fate) (lines []string) {
	for _, e := range slices.SortedFunc(maps.Keys(fates), func(a, b *effect) int { return a.op.Begin - b.op.Begin }) {
		if f := fates[e]; f.kind != kept {
			lines = append(lines, fmt.Sprintf("%v: %v", e.op, f))
		}
	}
	return append(lines, "all else kept")
}
