package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/recoverd/recoverd/recovery"
)

// killPoint is a failpoint, and what is going on when the process comes there.
type killPoint struct {
	name string
	// during is the history that leads there: "recovery" of everything from nothing, "gain"
	// of shards after it was complete, "switch" to a newer catalog, "pause" by an operator,
	// "follow" of events, which makes snapshots.
	during string
	// at are the times it comes there that are tried.
	at []int
}

var killPoints = []killPoint{
	{"database-before", "recovery", []int{1}},
	{"database-after", "recovery", []int{1}},
	{"root-marked", "recovery", []int{1}},
	{"shards-made", "recovery", []int{1}},
	{"store-prepared", "recovery", []int{1}},
	{"draft-torn", "recovery", []int{1, 30, 79}},
	{"flush-before", "recovery", []int{1, 3, 6}},
	{"flush-after", "recovery", []int{1, 3, 6}},
	{"rename-before", "recovery", []int{1, 30, 80}},
	{"rename-after", "recovery", []int{1, 30, 80}},
	{"success-before", "recovery", []int{1, 2, 5}},
	{"success-after", "recovery", []int{1, 30, 80}},
	{"settle-before", "recovery", []int{1, 30, 80}},
	{"save-before", "recovery", []int{1, 2, 3}},
	{"save-after", "recovery", []int{1, 2, 3}},
	{"commit-before", "recovery", []int{2, 3, 4}},
	{"commit-after", "recovery", []int{1, 2, 3, 4}},
	{"write-torn", "recovery", []int{1, 2, 3}},
	{"write-unflushed", "recovery", []int{1, 2, 3}},
	{"mirror-before", "recovery", []int{1, 2, 3}},
	{"mirror-after", "recovery", []int{1, 2, 3}},
	{"reset-first", "recovery", []int{1}},
	{"reset-second", "recovery", []int{1}},
	{"reset-third", "recovery", []int{1}},
	{"reset-fourth", "recovery", []int{1}},
	{"reset-done", "recovery", []int{1}},

	{"reset-first", "gain", []int{1}},
	{"reset-second", "gain", []int{1}},
	{"reset-third", "gain", []int{1}},
	{"reset-fourth", "gain", []int{1}},
	{"reset-done", "gain", []int{1}},
	{"shards-made", "gain", []int{1}},
	{"write-torn", "gain", []int{1, 2, 3}},
	{"write-unflushed", "gain", []int{1, 2, 3}},
	{"commit-before", "gain", []int{1, 2, 3}},
	{"commit-after", "gain", []int{1, 2, 3}},
	{"rename-after", "gain", []int{20}},

	{"switch-before", "switch", []int{1}},
	{"switch-after", "switch", []int{1}},
	{"next-pass-before", "switch", []int{1}},
	{"next-pass-after", "switch", []int{1}},
	{"rename-after", "switch", []int{85}},

	{"answer-before", "pause", []int{1}},
	{"answer-after", "pause", []int{1}},

	{"snapshot-before", "follow", []int{1, 2}},
	{"snapshot-after", "follow", []int{1, 2}},
	{"snapshot-durable", "follow", []int{1, 2}},
}

// TestFaultsFailpoints kills recoverd at named places of its code, and starts it again:
// what it claimed then holds, it completes, and it fetches no more again than what was in
// flight and one group (DESIGN 1, I4, I5, I6, I13).
//
// Hazards 14, 41, 48, 49, 53 and 86.
func TestFaultsFailpoints(t *testing.T) {
	all := everyFault(t)
	t.Parallel()
	world := newKillWorld(t)
	t.Run("not shipped", func(t *testing.T) { notShipped(t, world.binary) })
	var tried, redone atomic.Int64
	t.Run("each", func(t *testing.T) {
		for _, k := range killPoints {
			for i, n := range k.at {
				if !all && i > 0 {
					continue
				}
				name := fmt.Sprintf("%s-%s-%d", k.during, k.name, n)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					tried.Add(1)
					redone.Add(int64(world.kill(t, k, n, name)))
				})
			}
		}
	})
	proved(t, "kills at named places of the program (failpoints)", "kills", int(tried.Load()),
		"%d points in 5 histories; %d blobs fetched again in all, at most %d after one kill are allowed", len(killPoints), redone.Load(), trialFlight+trialGroup)
}

// killWorld is what all the histories have in common: a catalog and a newer one, both
// served whole, and the same as events.
type killWorld struct {
	*fleet
	binary string         // with failpoints
	first  string         // the older catalog
	rows   []recovery.Row // of the newer one
	events *history
	made   map[string]recovery.Digest // snapshots of a node that nothing happens to
}

// newKillWorld makes them, and lets a node follow the events undisturbed.
func newKillWorld(t *testing.T) *killWorld {
	f := newFleet(t, 80, 600)
	w := &killWorld{fleet: f, binary: buildFailpoints(t), first: f.path("first.rsnap"), events: newHistory(t)}
	f.must(os.Link(f.catalog, w.first))
	f.grow("more", 40, 2, "1")
	w.rows = f.rows()
	w.events.epoch(1)
	w.events.certify(w.first)
	w.events.epoch(2)
	w.events.certify(f.catalog)
	w.events.epoch(3)
	calm := follower{f: f, name: "calm"}
	w.events.write(calm.path("events"), 0)
	p := calm.run()
	calm.reaches(p, len(w.events.lines))
	p.kill()
	w.made = calm.snapshots()
	return w
}

// kill leads one process to its end at a place, and starts the next. It returns how many
// blobs were fetched again.
func (w *killWorld) kill(t *testing.T, k killPoint, n int, name string) (redone int) {
	at := fmt.Sprintf("%s=%s:%d", failpointVar, k.name, n)
	if k.during == "follow" {
		w.killFollower(t, name, at)
		return 0
	}
	tr := w.trial(t, name, w.rows)
	begin := func(args ...string) *process {
		cmd := exec.Command(w.binary, args...)
		cmd.Env = []string{at}
		return startCommand(t, cmd)
	}
	switch k.during {
	case "recovery":
		died(begin(tr.once()...))
		tr.claims()
	case "gain":
		tr.owns("0-1")
		must(t, tr.once()...)
		tr.owns("0-3")
		died(begin(tr.once()...))
		tr.claims()
	case "switch":
		w.killSwitching(tr, begin)
	case "pause":
		w.killAnswering(tr, begin)
	}
	tr.source.newLife(-1)
	tr.recovers()
	tr.remove()
	if redone = tr.source.redone(); redone > trialFlight+trialGroup {
		t.Errorf("%d blobs were fetched again, at most %d are allowed", redone, trialFlight+trialGroup)
	}
	return redone
}

// killSwitching gives a complete node a newer catalog.
func (w *killWorld) killSwitching(tr *trial, begin func(args ...string) *process) {
	tr.catalog = tr.path("catalog.rsnap")
	for i, a := range tr.args {
		if a == w.catalog {
			tr.args[i] = tr.catalog
		}
	}
	tr.must(os.Link(w.first, tr.catalog))
	p := begin(tr.daemon()...)
	tr.reaches(recovery.PhaseComplete)
	tr.must(os.Link(w.catalog, tr.path("next.rsnap")))
	tr.must(os.Rename(tr.path("next.rsnap"), tr.catalog))
	died(p)
	tr.claims()
}

// killAnswering lets an operator pause: what was answered, or was about to be, holds.
func (w *killWorld) killAnswering(tr *trial, begin func(args ...string) *process) {
	tr.source.newLife(20)
	p := begin(tr.daemon()...)
	tr.hangs(trialFlight)
	_ = tr.operator().Pause(tr.t.Context(), true) // the answer may or may not arrive
	died(p)
	tr.claims()
	if !saved(tr.t, tr.path("state")).Record.Paused {
		tr.t.Error("it was killed when it answered, and is not paused")
	}
	tr.source.newLife(-1)
	next := start(tr.t, tr.daemon()...)
	operator := tr.operator()
	if doc, err := operator.Status(tr.t.Context()); err != nil || !doc.Paused || tr.source.requests() > 0 {
		tr.t.Errorf("started again: paused %v, %d blobs asked for, %v", doc.Paused, tr.source.requests(), err)
	}
	tr.must(operator.Pause(tr.t.Context(), false))
	next.kill()
}

// killFollower kills a node that follows events while it publishes a snapshot. The next
// process has the same snapshots as a node that nothing happens to.
func (w *killWorld) killFollower(t *testing.T, name, at string) {
	f := *w.fleet
	f.t = t
	node := follower{f: &f, name: name}
	w.events.write(node.path("events"), 0)
	cmd := exec.Command(w.binary, node.args()...)
	cmd.Env = []string{at}
	died(startCommand(t, cmd))
	p := node.run()
	node.reaches(p, len(w.events.lines))
	p.kill()
	if got := node.snapshots(); !maps.Equal(got, w.made) {
		t.Errorf("its snapshots are %v, those of a node that nothing happened to %v", got, w.made)
	}
	pieces(t, node.path("store"))
}

// died waits for a process to kill itself.
func died(p *process) {
	p.t.Helper()
	code := p.wait()
	if s, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !s.Signaled() || s.Signal() != syscall.SIGKILL {
		p.t.Fatalf("it never came to the place, and ended with %d: %s", code, p.stderr.String())
	}
}
