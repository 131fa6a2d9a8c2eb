package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// ending is how a recovery may meet a fault.
type ending uint8

const (
	// unseen: it completes as if nothing had been.
	unseen ending = iota
	// halts: durability is in doubt, and it leaves with 74 (I12).
	halts
	// refuses: there is no state yet, or it cannot be read: it leaves with 74 as well. It
	// never came so far as to halt, and 73 is for a place that may not be written.
	refuses
	// waits: nothing is in doubt. It tries again, and either completes or says why not.
	waits
)

// callFault is a system call on a path of a recovery, and what has to come of its failures.
type callFault struct {
	call string
	on   string // path below the trial's directory
	// half: a recovery has got half of the way before. Otherwise there is nothing yet.
	half       bool
	durability string
	fails      ending // of EIO and ENOSPC
	// interrupted is what EINTR comes to.
	interrupted ending
}

// The calls that recoverd makes when it opens, makes, writes, names and flushes.
// A failed look at the store never halts: nothing is in doubt. bbolt takes an
// interrupted fdatasync, which local file systems do not know, for a failed one.
var callFaults = []callFault{
	{call: "mkdirat", on: "state", fails: refuses},
	{call: "openat", on: "state", fails: refuses},
	{call: "openat", on: "state/lock", fails: refuses},
	{call: "openat", on: "state/checkpoint.db", fails: refuses},
	{call: "openat", on: "state/checkpoint.db.new", fails: refuses},
	{call: "openat", on: "state/progress-a", fails: refuses},
	{call: "fallocate", on: "state/progress-a", fails: refuses},
	{call: "ftruncate", on: "state/checkpoint.db.new", fails: refuses},
	{call: "pwrite64", on: "state/checkpoint.db.new", fails: refuses},
	{call: "fdatasync", on: "state/checkpoint.db.new", fails: refuses, interrupted: refuses},
	{call: "fsync", on: "state/checkpoint.db.new", fails: refuses},
	{call: "renameat", on: "state/checkpoint.db.new", fails: refuses},
	{call: "fsync", on: "state", fails: refuses},
	{call: "pwrite64", on: "state/checkpoint.db", fails: halts},
	{call: "fdatasync", on: "state/checkpoint.db", fails: halts, interrupted: halts},
	{call: "pwrite64", on: "state/progress-a", fails: halts},
	{call: "fsync", on: "state/progress-b", fails: halts},
	{call: "mkdirat", on: "node", fails: waits},
	{call: "mkdirat", on: "node/0", fails: waits},
	{call: "fsync", on: "node", fails: halts},
	{call: "fsync", on: "node/0", fails: halts},
	{call: "openat", on: "node", fails: waits},
	{call: "renameat", on: "node/0", fails: waits},
	{call: "syncfs", on: "node/0", durability: "syncfs", fails: halts},

	{call: "openat", on: "state/checkpoint.db", half: true, fails: refuses},
	{call: "pwrite64", on: "state/checkpoint.db", half: true, fails: halts},
	{call: "fdatasync", on: "state/checkpoint.db", half: true, fails: halts, interrupted: halts},
	{call: "pwrite64", on: "state/progress-b", half: true, fails: halts},
	{call: "fsync", on: "state/progress-a", half: true, fails: halts},
	{call: "openat", on: "node/0", half: true, fails: waits},
	{call: "openat", on: "node/0/.tmp", half: true, fails: waits},
	{call: "renameat,linkat", on: "node/0", half: true, fails: waits},
	{call: "unlinkat", on: "node/0/.tmp", half: true, fails: waits},
	{call: "syncfs", on: "node/0", half: true, durability: "syncfs", fails: halts},
	{call: "fsync", on: "node/0", half: true, durability: "fdatasync", fails: halts},
}

// blow is one way in which a call fails.
type blow struct {
	errno, when string
	short       bool // CI has time for it
}

// when counts for each thread of the process. The third call is in the middle.
var blows = []blow{
	{"EIO", "1+", true}, {"EINTR", "1", true}, {"ENOSPC", "1+", true},
	{"EIO", "1", false}, {"ENOSPC", "1", false}, {"EIO", "3+", false}, {"EINTR", "2+3", false},
}

// TestFaultsSystemCalls lets each of recoverd's calls fail: once, for ever, and
// interrupted. Whatever it does, no name has wrong bytes and no blob is lost, and without
// the fault it goes on to the same end. After a failed flush or commit it leaves with 74.
//
// Hazards 43, 45, 47 and 51.
func TestFaultsSystemCalls(t *testing.T) {
	const what = "system calls of the program fail (strace), EIO, ENOSPC and EINTR"
	all := everyFault(t)
	t.Parallel()
	if why := noInjection(t); why != "" {
		notTried(t, what, why)
	}
	f := newFleet(t, 80, 600)
	rows := f.rows()
	f.half()
	var tried, injected, late atomic.Int64
	t.Run("each", func(t *testing.T) {
		for _, c := range callFaults {
			for _, b := range blows {
				if !all && !b.short {
					continue
				}
				name := fmt.Sprintf("%s %s when=%s on %s half=%v", c.call, b.errno, b.when, c.on, c.half)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					n := f.meets(t, c, b, fmt.Sprintf("trial-%d", tried.Add(1)), rows)
					injected.Add(int64(n))
					// A small recovery may never come to a call a third time; it must come to the first.
					if n == 0 && strings.HasPrefix(b.when, "1") {
						t.Error("the fault never came: nothing was tried")
					}
					if n == 0 {
						late.Add(1)
					}
				})
			}
		}
	})
	proved(t, what, "faults", int(tried.Load()-late.Load()),
		"%d calls made to fail; %d faults of a later call never came and are not counted", injected.Load(), late.Load())
}

// half leaves a recovery that was stopped half way in the directory "half".
func (f *fleet) half() {
	f.t.Helper()
	tr := f.trial(f.t, "half", nil)
	tr.source.newLife(40)
	p := start(f.t, tr.once("--stop-grace", "10ms")...)
	tr.hangs(trialFlight)
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		f.t.Fatal(err)
	}
	if code := p.wait(); code != exitOK {
		f.t.Fatalf("stopped half way, it ended with %d: %s", code, p.stderr.String())
	}
	temp := tr.path("node/0/.tmp")
	if err := os.MkdirAll(temp, 0o755); err != nil {
		f.t.Fatal(err)
	}
	// A leftover, as of a process that was killed.
	if err := os.WriteFile(filepath.Join(temp, "00000000deadbeef"), []byte("x"), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// meets runs a recovery into a fault, and the next one without. It returns how often the
// call was made to fail.
func (f *fleet) meets(t *testing.T, c callFault, b blow, name string, rows []recovery.Row) int {
	tr := f.trial(t, name, rows)
	if c.half {
		if out, err := exec.Command("cp", "-a", f.path("half")+"/.", tr.dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	durability := c.durability
	if durability == "" {
		durability = "auto"
	}
	log := filepath.Join(f.dir, name+".trace")
	p := startCommand(t, tr.injected(t, log, c.call+":error="+b.errno+":when="+b.when, c.on, tr.once("--durability", durability)...))
	want := c.fails
	if b.errno == "EINTR" {
		want = c.interrupted
	}
	tr.meant(p, want, b.errno)
	p.kill()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	n := lines(text, "(INJECTED)")
	switch code := p.cmd.ProcessState.ExitCode(); {
	case n == 0 && code != exitOK:
		t.Errorf("no fault came, and it ended with %d: %s", code, p.stderr.String())
	case n > 0 && code == exitOK && (want == halts || want == refuses):
		t.Errorf("a call failed %d times, and it completed all the same", n)
	}
	tr.claims()
	tr.recovers()
	tr.remove()
	return n
}

// injected is recoverd under a tracer that lets a call fail. The tracer is a grandchild:
// it ends with the process.
func (tr *trial) injected(t *testing.T, log, inject, on string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	call, _, _ := strings.Cut(inject, ":")
	return exec.Command("strace", append([]string{
		"-D", "-f", "--seccomp-bpf", "-o", log, "-P", tr.path(on),
		"-e", "trace=" + call, "-e", "inject=" + inject, "-e", "signal=none", self,
	}, args...)...)
}

// meant fails unless a process meets its fault as it should.
func (tr *trial) meant(p *process, want ending, errno string) {
	tr.t.Helper()
	text := map[string]string{"EIO": "input/output error", "ENOSPC": "no space left on device", "EINTR": "interrupted system call"}[errno]
	state := tr.path("state")
	for deadline := time.Now().Add(patience); !p.endsWithin(50 * time.Millisecond); {
		doc, ok := status(tr.t, state)
		if want == waits && ok && strings.Contains(toJSON(doc)+toJSON(saved(tr.t, state).Record), text) {
			return
		}
		if time.Now().After(deadline) {
			tr.t.Fatalf("it neither ends nor says why; it is %s: %s\n%s", doc.Phase, doc.Why, p.stderr.String())
		}
	}
	code := p.cmd.ProcessState.ExitCode()
	legal := map[ending][]int{
		unseen: {exitOK}, waits: {exitOK},
		// A fault of a later call may never come: then it completes.
		halts: {exitHalted, exitOK}, refuses: {exitHalted, exitOK},
	}[want]
	for _, l := range legal {
		if code == l && (code == exitOK || strings.Contains(p.stderr.String(), text)) {
			return
		}
	}
	tr.t.Errorf("it ended with %d, not one of %v, saying %q: %s", code, legal, text, p.stderr.String())
}

// noInjection says why no call can be made to fail here; empty: it can.
func noInjection(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		return "strace is not installed"
	}
	out, err := exec.Command("strace", "-f", "--seccomp-bpf", "-o", os.DevNull, "-e", "inject=sync:error=EIO", "true").CombinedOutput()
	if err != nil {
		return fmt.Sprintf("strace may not trace: %s", strings.TrimSpace(string(out)))
	}
	return ""
}
