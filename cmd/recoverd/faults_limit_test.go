package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// limited is recoverd under a limit of the kernel, as prlimit(1) spells it.
func limited(t *testing.T, limit string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command("prlimit", append([]string{limit, self}, args...)...)
}

// TestFaultsDescriptors runs out of file descriptors at every point of a recovery: it
// says so, leaves with a code that means it or tries again, and nothing is lost.
func TestFaultsDescriptors(t *testing.T) {
	const what = "out of file descriptors (RLIMIT_NOFILE)"
	all := everyFault(t)
	if _, err := exec.LookPath("prlimit"); err != nil {
		notTried(t, what, "prlimit is not installed")
	}
	f := newFleet(t, 80, 600)
	rows := f.rows()
	step := 1
	if !all {
		step = 5
	}
	var tried, short atomic.Int64
	t.Run("each", func(t *testing.T) {
		for n := 9; n <= 50; n += step { // below, Go's own runtime does not start
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				tried.Add(1)
				tr := f.trial(t, fmt.Sprintf("nofile-%d", n), rows)
				p := startCommand(t, limited(t, fmt.Sprintf("--nofile=%d:%d", n, n), tr.once()...))
				if tr.scarce(p) {
					short.Add(1)
				}
				tr.claims()
				tr.recovers()
			})
		}
	})
	if short.Load() == 0 {
		t.Error("no limit was ever met")
	}
	proved(t, what, "limits", int(tried.Load()), "from 9 to 50 descriptors; %d were too few to complete", short.Load())
}

// scarce waits for a process that may lack descriptors, and reports whether it did.
func (tr *trial) scarce(p *process) bool {
	tr.t.Helper()
	says := func() bool { // what failed, or the warning beforehand
		said := p.stderr.String()
		return strings.Contains(said, "too many open files") || strings.Contains(said, "the limit of open files is low")
	}
	if !p.endsWithin(patience / 20) {
		// It tries again, for ever perhaps: nobody can ask it, but its log tells.
		p.kill()
		if !says() {
			tr.t.Errorf("it neither ends nor says why: %s", p.stderr.String())
		}
		return true
	}
	code := p.wait()
	legal := []int{exitOK, exitNoCreate, exitHalted, exitTryAgain, exitConfig}
	if !slices.Contains(legal, code) || code != exitOK && !says() {
		tr.t.Errorf("it ended with %d: %s", code, p.stderr.String())
	}
	return code != exitOK
}

// TestFaultsMemory recovers blobs that are many times as large as the memory it may have:
// 64 MiB and the bytes in flight (I10).
//
// Hazard 34: memory grows with the catalog.
func TestFaultsMemory(t *testing.T) {
	const what = "a limit of 64 MiB and the bytes in flight (RLIMIT_DATA), and the peak of the resident set"
	all := everyFault(t)
	if _, err := exec.LookPath("prlimit"); err != nil {
		notTried(t, what, "prlimit is not installed")
	}
	blobs := 8
	if all {
		blobs = 24
	}
	const inFlight = 32 << 20
	f := newFleet(t, blobs, 20<<20)
	tr := f.trial(t, "trial", f.rows())
	p := startCommand(t, limited(t, fmt.Sprintf("--data=%d", 64<<20+inFlight), tr.once("--bytes-in-flight", "32MiB", "--concurrency", "64")...))
	if code := p.wait(); code != exitOK {
		t.Fatalf("it ended with %d: %s", code, p.stderr.String())
	}
	peak := p.cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	if peak > 64<<20+inFlight {
		t.Errorf("the resident set was %d MiB at its peak", peak>>20)
	}
	tr.claims()
	tr.whole()
	proved(t, what, "runs", 1, "%d blobs of up to 20 MiB; %d MiB at the peak", blobs, peak>>20)
}

// TestFaultsTwoAtOnce starts many processes at once on one state directory, on one store,
// and on both: one works, and its work is whole. The others leave with 75, or wait for the
// store if it was not there yet when they looked.
//
// Hazards 50 and 89: two-first-starters.
func TestFaultsTwoAtOnce(t *testing.T) {
	all := everyFault(t)
	f := newFleet(t, 80, 600)
	rows := f.rows()
	rounds := 2
	if all {
		rounds = 10
	}
	const starters = 5
	const inUse = "the store is in use by another process"
	for n := range rounds {
		for _, own := range []string{"nothing", "state", "node"} {
			tr := f.trial(t, fmt.Sprintf("%s-%d", own, n), rows)
			tr.source.newLife(40)
			var started []*process
			for i := range starters {
				args := tr.once()
				for j, a := range args {
					if a == tr.path(own) {
						args[j] = tr.path(fmt.Sprintf("%s-%d", own, i))
					}
				}
				started = append(started, start(t, args...))
			}
			tr.hangs(trialFlight)
			working := 0
			for _, p := range started {
				until(t, "it works, or has left", func() bool {
					return p.hasEnded() || strings.Contains(p.stderr.String(), `"to":"scanning"`) || strings.Contains(p.stderr.String(), inUse)
				})
				switch {
				case strings.Contains(p.stderr.String(), inUse):
				case !p.hasEnded():
					working++
				case p.wait() != exitTryAgain:
					t.Errorf("%s of its own: one of %d ended with %d: %s", own, starters, p.wait(), p.stderr.String())
				}
			}
			if working != 1 {
				t.Errorf("%s of its own: %d of %d work", own, working, starters)
			}
			tr.source.letGo()
			completed := 0
			for _, p := range started {
				switch p.wait() {
				case exitOK:
					completed++
				case exitTryAgain:
				default:
					t.Errorf("%s of its own: one ended with %d: %s", own, p.wait(), p.stderr.String())
				}
			}
			if own != "node" && len(pieces(t, tr.path("node"))) != len(rows) {
				t.Errorf("%s of its own: not all is stored", own)
			}
			if completed == 0 {
				t.Errorf("%s of its own: the one that worked did not complete", own)
			}
		}
	}
	proved(t, "many first starters on one state directory, on one store, and on both", "starts", rounds*3*starters, "one of each %d works, the others leave with 75 or wait for the store", starters)
}
