package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

var (
	kills = flag.Int("kills", 20, "SIGKILLs of TestCrashKill")
	cuts  = flag.Int("cuts", 0, "power cuts of TestCrashPowerCut; 0 skips it")
)

// TestCrashKill kills recoveries at random moments, again and again, and compares
// their ends with an uninterrupted one: the same bytes, the same claim, and after each
// kill no more fetched again than what was in flight and one barrier group (DESIGN 1, I13).
//
// Hazards 7, 14, 18, 49, 50: the cursor never passes unfinished work, the bytes
// come before the name, leftovers are cleaned, and the lock dies with its owner.
func TestCrashKill(t *testing.T) {
	// A process that is killed young waits for the disk most of the time: so many
	// recoveries at once, each with a store, a state and a peer of its own.
	fleets := min(4, *kills)
	found := make(chan killed, fleets)
	t.Run("fleets", func(t *testing.T) {
		for n := range fleets {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				found <- killAgainAndAgain(t, (*kills+n)/fleets)
			})
		}
	})
	close(found)
	all := killed{when: map[string]int{}}
	for k := range found {
		all.redone, all.worst, all.kills = all.redone+k.redone, max(all.worst, k.worst), all.kills+k.kills
		for when, n := range k.when {
			all.when[when] += n
		}
	}
	e := evidence.Entry{
		Layer: "kills", What: "SIGKILLs at random moments of one recovery after the other", Tried: uint64(all.kills), Unit: "kills",
		Detail: fmt.Sprintf("%v; %d blobs fetched again in all, at most %d after one kill (allowed: %d)", all.when, all.redone, all.worst, trialFlight+killGroup),
	}
	if t.Failed() {
		e.Violations = 1
	}
	if all.kills > 0 {
		evidence.Record(t, e)
	}
}

// killGroup is the barrier group of these recoveries.
const killGroup = 50

// killed is what came of many kills.
type killed struct {
	kills, redone, worst int
	when                 map[string]int
}

// perLife is how many blobs a process fetches before its peer hangs, at most.
const perLife = 60

// killAgainAndAgain recovers one store over as many lives, and a last one.
func killAgainAndAgain(t *testing.T, times int) killed {
	f := newFleet(t, perLife*(times+2), 600)
	tr := f.trial(t, "trial", f.rows())
	args := []string{"--concurrency", "", "--concurrency-max", fmt.Sprint(trialFlight), "--group-blobs", fmt.Sprint(killGroup), "--exit-when-complete"}
	k := killed{when: map[string]int{}}
	for ; k.kills < times && !t.Failed(); k.kills++ {
		tr.source.newLife(10 + rand.IntN(perLife-9))
		if args[1] = fmt.Sprint(trialFlight); k.kills%2 == 1 {
			args[1] = "auto" // its ceiling is what may have been in flight (I10)
		}
		k.when[tr.liveAndDie(k.kills, args)]++
		again := tr.source.redone()
		k.redone, k.worst = k.redone+again, max(k.worst, again)
		if again > trialFlight+killGroup {
			t.Errorf("life %d fetched %d blobs again, at most %d are allowed", k.kills, again, trialFlight+killGroup)
		}
		if times < 10 || k.kills%10 == 9 {
			tr.claims()
		}
	}
	tr.source.newLife(-1)
	// A process that was killed at its start may have left no state.
	if _, err := os.Stat(tr.path("state")); err == nil && saved(t, tr.path("state")).Record.Paused {
		args[1] = fmt.Sprint(trialFlight)
		p := start(t, tr.run(args...)...)
		tr.must(tr.operator().Pause(t.Context(), false))
		p.kill()
	}
	tr.recovers()

	calm := f.trial(t, "calm", tr.rows)
	calm.own(tr.ownership())
	calm.recovers()
	end, want := saved(t, tr.path("state")).Record.Progress, saved(t, calm.path("state")).Record.Progress
	if *end.Covered != *want.Covered || end.Cursor != want.Cursor {
		t.Errorf("it ended with %s, an uninterrupted run with %s", toJSON(end), toJSON(want))
	}
	return k
}

// ownership is the document of a trial whose continuity is that of a life: a change
// discards all progress, and what is stored is not fetched again.
func (tr *trial) ownership() string {
	return fmt.Sprintf("epoch: 1\ntotal_shards: 4\nowned: \"0-3\"\ncontinuity: c%d\n", tr.breaks)
}

// liveAndDie starts a process and kills it. It returns a word for when.
func (tr *trial) liveAndDie(life int, args []string) (when string) {
	pause := func(least, random int) { time.Sleep(time.Duration(least+rand.IntN(random)) * time.Millisecond) }
	discards := life%7 == 3
	if discards {
		tr.breaks++
		tr.own(tr.ownership())
	}
	p := start(tr.t, tr.run(args...)...)
	defer p.kill()
	switch life % 7 {
	case 3:
		pause(20, 60)
		when = "in a discard"
	case 1:
		pause(0, 40)
		when = "at the start"
	case 5:
		tr.commands(p, pause)
		return "at a verb"
	case 2, 6:
		// The moment at which an answer was sent: a draft is being written, sealed or named.
		n := 1 + rand.IntN(10)
		for deadline := time.Now().Add(time.Second); tr.source.requests() < n && time.Now().Before(deadline); {
			pause(1, 2)
		}
		when = "at an answer"
	default:
		pause(30, 120)
		when = "anywhere"
	}
	if p.hasEnded() {
		tr.t.Errorf("it ended by itself after %d kills: %s", life, p.stderr.String())
	}
	return when
}

// commands has an operator pause, retry and resume, and kills the process meanwhile.
func (tr *trial) commands(p *process, pause func(least, random int)) {
	client := tr.operator()
	var asked sync.WaitGroup
	asked.Go(func() {
		_ = client.Pause(tr.t.Context(), true) // whoever asks may hear nothing
		_, _ = client.RetryAll(tr.t.Context())
		_ = client.Pause(tr.t.Context(), false)
	})
	pause(0, 20)
	p.kill()
	asked.Wait()
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
