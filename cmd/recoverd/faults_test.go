package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// faults says how much of TestFaults... is tried: "" nothing, "short" what CI has time
// for, "full" all of it.
var faults = flag.String("faults", "", "how much TestFaults tries: short, full; empty skips it")

// everyFault reports whether all is to be tried; it skips the test if nothing is.
func everyFault(t testing.TB) bool {
	t.Helper()
	switch *faults {
	case "":
		t.Skip("run make faults: this test breaks system calls, disks and processes only where -faults says how much")
	case "short", "full":
	default:
		t.Fatalf("-faults=%s: short or full", *faults)
	}
	return *faults == "full"
}

// trial is one recovery of a fleet's blobs into a state directory and a store of its
// own, which something happens to.
type trial struct {
	*fleet
	t    testing.TB
	name string // of its directory, below the fleet's
	rows []recovery.Row
}

// trial makes room for one.
func (f *fleet) trial(t testing.TB, name string, rows []recovery.Row) *trial {
	t.Helper()
	if err := os.Mkdir(f.path(name), 0o755); err != nil {
		t.Fatal(err)
	}
	return &trial{fleet: f, t: t, name: name, rows: rows}
}

func (tr *trial) dir() string { return tr.path(tr.name) }

// args are those of its recovery; it is small, so that every step comes more than once.
func (tr *trial) args(more ...string) []string {
	args := tr.run(append([]string{"--concurrency", "4", "--group-blobs", "10", "--exit-when-complete"}, more...)...)
	return replaced(args, map[string]string{"state": tr.name + "/state", "node": tr.name + "/node"}, tr.fleet)
}

// claims holds what is claimed durably against what is stored.
func (tr *trial) claims() {
	tr.t.Helper()
	if err := claimHolds(tr.dir(), tr.rows); err != nil {
		tr.t.Errorf("%s: %v", tr.name, err)
	}
}

// recovers starts recoverd without a fault, which has to complete: the store is the
// source's, and the claim that of a run that nothing happened to (I13).
func (tr *trial) recovers(more ...string) {
	tr.t.Helper()
	_, stderr, code := invoke(tr.t, tr.args(more...)...)
	if code != exitOK {
		tr.t.Errorf("%s: started again it ended with %d: %s", tr.name, code, stderr)
		return
	}
	tr.claims()
	tr.whole()
}

// whole fails unless everything is stored and claimed.
func (tr *trial) whole() {
	tr.t.Helper()
	want, got := pieces(tr.t, tr.path("source")), pieces(tr.t, filepath.Join(tr.dir(), "node"))
	if len(want) != len(got) || len(want) == 0 {
		tr.t.Errorf("%s: %d pieces are stored at the end, the source has %d", tr.name, len(got), len(want))
	}
	p := saved(tr.t, filepath.Join(tr.dir(), "state")).Record.Progress
	if p == nil || p.Covered == nil || *p.Covered != p.Bound || p.Cursor != recovery.MarkEnd() || len(p.Unsettled) != 0 {
		tr.t.Errorf("%s: at the end it claims %s", tr.name, toJSON(p))
	}
}

// remove makes room on the disk when it went well.
func (tr *trial) remove() {
	if !tr.t.Failed() {
		_ = os.RemoveAll(tr.dir())
	}
}

// startCommand runs cmd as start does: it is recoverd, or becomes it.
func startCommand(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, ended: make(chan struct{})}
	cmd.Env = append(os.Environ(), append(cmd.Env, asProgram+"=1")...)
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // the exit code is read from ProcessState
		close(p.ended)
	}()
	t.Cleanup(p.kill)
	return p
}

// endsWithin reports whether a process ended by itself in time.
func (p *process) endsWithin(d time.Duration) bool {
	select {
	case <-p.ended:
		return true
	case <-time.After(d):
		return false
	}
}

// proved records what was tried, and what was found.
func proved(t *testing.T, what, unit string, tried int, detail string, args ...any) {
	t.Helper()
	e := evidence.Entry{Layer: "faults", What: what, Tried: uint64(tried), Unit: unit, Detail: fmt.Sprintf(detail, args...)}
	if t.Failed() {
		e.Violations = 1
	}
	evidence.Record(t, e)
}

// notTried records why nothing was, and skips.
func notTried(t *testing.T, what, why string) {
	t.Helper()
	evidence.Record(t, evidence.Entry{Layer: "faults", What: what, Skipped: why})
	lack(t, why)
}

// lines counts the lines of text that hold a part.
func lines(text []byte, part string) (n int) {
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte(part)) {
			n++
		}
	}
	return n
}
