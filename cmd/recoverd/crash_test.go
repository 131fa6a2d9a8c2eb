package main

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	kills = flag.Int("kills", 20, "SIGKILLs of TestCrashKill")
	cuts  = flag.Int("cuts", 0, "power cuts of TestCrashPowerCut; 0 skips it")
)

// TestCrashKill kills a recovery at random moments, again and again, and
// compares its end with an uninterrupted one: the same bytes, the same claim, and
// after each kill no more fetched again than what was in flight and one barrier
// group (DESIGN 1, I13). In every other life the concurrency governs itself: then its
// ceiling is what may have been in flight (I10).
//
// Hazards 7, 14, 18, 49, 50: the cursor never passes unfinished work, the bytes
// come before the name, leftovers are cleaned, and the lock dies with its owner.
func TestCrashKill(t *testing.T) {
	const concurrency, group = 8, 50
	f := newFleet(t, 220**kills, 600)
	limits := []string{"--concurrency", "8", "--concurrency-max", "8", "--group-blobs", "50", "--exit-when-complete"}

	killed, redone, worst := 0, 0, 0
	for killed < *kills {
		f.source.newLife(100 + rand.IntN(200))
		if limits[1] = "8"; killed%2 == 1 {
			limits[1] = "auto"
		}
		p := start(t, f.run(limits...)...)
		time.Sleep(time.Duration(30+rand.IntN(120)) * time.Millisecond)
		if p.hasEnded() {
			t.Fatalf("it ended by itself after %d kills: %s", killed, p.stderr.String())
		}
		p.kill()
		killed++
		again := f.source.redone()
		redone, worst = redone+again, max(worst, again)
		if again > concurrency+group {
			t.Fatalf("life %d fetched %d blobs again, at most %d are allowed", killed, again, concurrency+group)
		}
	}
	f.source.newLife(-1)
	if stdout, stderr, code := invoke(t, f.run(limits...)...); code != exitOK {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	f.sameStore()
	end := saved(t, f.path("state")).Record.Progress

	calm := &fleet{t: t, dir: f.dir, source: f.source, args: replaced(f.args, map[string]string{"state": "calm-state", "node": "calm-node"}, f)}
	must(t, calm.run(limits...)...)
	want := saved(t, f.path("calm-state")).Record.Progress
	if *end.Covered != *want.Covered || end.Cursor != want.Cursor || len(end.Unsettled) != 0 {
		t.Errorf("it ended with %s, an uninterrupted run with %s", toJSON(end), toJSON(want))
	}
	t.Logf("%d kills: %d blobs fetched again in all, at most %d after one kill (allowed: %d)", killed, redone, worst, concurrency+group)
}

// replaced returns args with some of the fleet's paths replaced.
func replaced(args []string, names map[string]string, f *fleet) []string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = a
		for from, to := range names {
			if a == f.path(from) {
				out[i] = f.path(to)
			}
		}
	}
	return out
}
