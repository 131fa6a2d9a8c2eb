package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// plan asks what `run` with the same flags would do.
func (f *fleet) plan(more ...string) runPlan {
	f.t.Helper()
	var p runPlan
	stdout := must(f.t, append(append([]string{"plan", "-o", "json"}, f.args[1:]...), more...)...)
	if err := json.Unmarshal([]byte(stdout), &p); err != nil {
		f.t.Fatalf("%v: %s", err, stdout)
	}
	return p
}

// counters are those of the durable record, and the number of its run.
func (f *fleet) counters() (uint64, recovery.Counters) {
	f.t.Helper()
	if _, err := os.Stat(f.path("state")); err != nil {
		return 0, recovery.Counters{}
	}
	p := saved(f.t, f.path("state")).Record.Progress
	if p == nil {
		return 0, recovery.Counters{}
	}
	return p.Run, p.Counters
}

// foreseen compares a plan with what a run to the end then really does.
func (f *fleet) foreseen(what string) {
	f.t.Helper()
	p := f.plan()
	run, before := f.counters()
	_, stderr, code := invoke(f.t, f.run("--exit-when-complete")...)
	if code != exitOK {
		f.t.Fatalf("%s: exit code %d\n%s", what, code, stderr)
	}
	now, after := f.counters()
	if now != run {
		before = recovery.Counters{}
	}
	c := p.Counts
	if c == nil || p.Waits != "" {
		f.t.Fatalf("%s: nothing was counted: %s", what, toJSON(p))
	}
	stored := after.AlreadyStored - before.AlreadyStored
	if p.Bound != nil && p.Catalog.Position > p.Bound.Position && stored > c.Stored.Blobs && stored <= c.Stored.Blobs+c.Fetch.Blobs {
		// The recorded pass reads the catalog as it is now; what it has stored of what is
		// new the next pass looks at again.
		stored = c.Stored.Blobs
	}
	got := fmt.Sprintf("fetched %d (%d bytes), stored %d, expired %d", after.Stored-before.Stored, after.StoredBytes-before.StoredBytes,
		stored, after.Expired-before.Expired)
	want := fmt.Sprintf("fetched %d (%d bytes), stored %d, expired %d", c.Fetch.Blobs, c.Fetch.Bytes, c.Stored.Blobs, c.Expired.Blobs)
	if got != want {
		f.t.Errorf("%s: the run %s\nthe plan %s\n%s", what, got, want, toJSON(p))
	}
	if sum := c.Covered.Blobs + c.Passed.Blobs + c.Expired.Blobs + c.Stored.Blobs + c.Fetch.Blobs; sum != c.Certified.Blobs {
		f.t.Errorf("%s: %d blobs in the parts of %d", what, sum, c.Certified.Blobs)
	}
	again := f.plan()
	if again.Origin.Decision != recovery.Nothing || again.Counts.Fetch.Blobs != 0 || again.Counts.Stored.Blobs != 0 {
		f.t.Errorf("%s: after it there is still something to do: %s", what, toJSON(again))
	}
	if string(p.Origin.Decision) != "nothing_to_do" && !strings.Contains(stderr, string(p.Origin.Decision)) {
		f.t.Errorf("%s: the plan says %s, the log\n%s", what, p.Origin.Decision, stderr)
	}
}

// lose removes some blobs without telling anybody.
func (f *fleet) lose(random *rand.Rand) {
	for _, path := range f.files() {
		if random.IntN(3) == 0 {
			f.must(os.Remove(path))
		}
	}
}

// cutShort kills a run that has saved how far it is, while its peer serves n blobs and
// then hangs, or at its end.
func (f *fleet) cutShort(n int) string {
	f.t.Helper()
	f.source.newLife(n)
	p := start(f.t, f.run("--concurrency", "4")...)
	until(f.t, "it hangs and has saved, or has nothing to do", func() bool {
		doc, ok := status(f.t, f.path("state"))
		return ok && (doc.Phase == recovery.PhaseComplete.String() ||
			f.source.waiting() > 0 && doc.CursorDurable != nil && !doc.CursorDurable.None())
	})
	p.kill()
	f.source.newLife(-1)
	return fmt.Sprintf("killed after %d", n)
}

// What a plan counts is what a run then does, whatever lies behind it.
func TestPlanForeseesTheRun(t *testing.T) {
	f := newFleet(t, 200, 600)
	f.foreseen("a new node")
	random := rand.New(rand.NewPCG(3, 4))
	owned, epoch, seed := "0-3", 1, uint64(10)
	for round := range 10 {
		var steps []string
		kill, early := random.IntN(3) > 0, random.IntN(2) == 0
		if kill && early {
			f.lose(random)
			f.must(os.RemoveAll(f.path("state")))
			steps = append(steps, "blobs lost, the state gone", f.cutShort(10+random.IntN(30)))
		}
		if random.IntN(2) == 0 {
			epoch++
			seed++
			f.grow(fmt.Sprintf("more-%d", seed), 20+random.IntN(60), seed, fmt.Sprint(epoch))
			steps = append(steps, "a later catalog")
		}
		if random.IntN(3) == 0 {
			owned = []string{"0-3", "0-2", "1-3", "2"}[random.IntN(4)]
			steps = append(steps, "owned "+owned)
		}
		f.own(fmt.Sprintf("epoch: %d\ntotal_shards: 4\nowned: %q\n", epoch, owned))
		if kill && !early {
			steps = append(steps, f.cutShort(10+random.IntN(30)))
		}
		if random.IntN(3) == 0 {
			f.lose(random)
			steps = append(steps, "blobs lost behind its back")
		}
		if random.IntN(4) == 0 {
			f.must(os.RemoveAll(f.path("node/2/.recoverd")))
			steps = append(steps, "a shard's marker gone")
		}
		if random.IntN(5) == 0 {
			f.must(os.RemoveAll(f.path("state")))
			steps = append(steps, "the state gone")
		}
		f.foreseen(fmt.Sprintf("round %d: %s", round, strings.Join(steps, ", ")))
	}
}

// A plan changes nothing, and says what stands in the way of a run.
func TestPlanChangesNothing(t *testing.T) {
	f := newFleet(t, 60, 600)
	p := f.plan()
	for _, name := range []string{"state", "node"} {
		if _, err := os.Stat(f.path(name)); !os.IsNotExist(err) {
			t.Errorf("it made %s: %v", name, err)
		}
	}
	if p.Origin.Decision != recovery.Fresh || p.Counts.Fetch.Blobs != 60 {
		t.Errorf("of a new node: %s", toJSON(p))
	}
	f.source.newLife(30)
	daemon := start(t, f.run("--concurrency", "2")...)
	until(t, "it hangs", func() bool { return f.source.waiting() == 2 })
	if p := f.plan(); p.Origin == nil || !strings.Contains(fmt.Sprint(p.Notes), "a daemon is running") || p.Counts.Fetch.Blobs > 60 {
		t.Errorf("beside a daemon: %s", toJSON(p))
	}
	f.source.newLife(-1)
	f.source.letGo()
	f.reaches(recovery.PhaseComplete)
	daemon.signal(syscall.SIGTERM)
	daemon.wait()

	f.own("epoch: 2\ntotal_shards: 4\nowned: \"0-3\"\nnode: catching_up\n")
	if p := f.plan(); p.Ownership.Node != shards.CatchingUp || !strings.Contains(p.Waits, "catching_up") {
		t.Errorf("of a node that catches up: %s", toJSON(p))
	}
	f.own("epoch: 2\ntotal_shards: 4\nowned: \"0-3\"\n")
	if err := os.Rename(f.path("node"), f.path("unmounted")); err != nil {
		t.Fatal(err)
	}
	if p := f.plan(); p.Counts != nil || !strings.Contains(p.Waits, "is the disk mounted?") {
		t.Errorf("with the disk away: %s", toJSON(p))
	}
	text := must(t, append([]string{"plan"}, f.args[1:]...)...)
	if !strings.Contains(text, "a run would wait") || strings.Contains(text, "to fetch") {
		t.Errorf("as text:\n%s", text)
	}
	f.own("epoch: 2\ntotal_shards: 8\nowned: \"0-3\"\n")
	if err := os.Rename(f.path("unmounted"), f.path("node")); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := invoke(t, append([]string{"plan"}, f.args[1:]...)...); code != exitConfig || !strings.Contains(stderr, "total shards") {
		t.Errorf("another total: exit code %d, %s", code, stderr)
	}
	if _, _, code := invoke(t, "plan", "--store", "x"); code != exitUsage {
		t.Errorf("without flags: exit code %d", code)
	}
}
