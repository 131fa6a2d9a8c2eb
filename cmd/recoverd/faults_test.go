package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// trial is one recovery of a fleet's blobs, which something happens to: it has a state
// directory, a store, an ownership and a peer of its own.
type trial struct {
	*fleet
	of   *fleet
	rows []recovery.Row // of the catalog it follows in the end
	// breaks is how often its continuity has changed.
	breaks int
}

// trial makes room for one below the fleet's directory. A test of its own may run it.
func (f *fleet) trial(t testing.TB, name string, rows []recovery.Row) *trial {
	t.Helper()
	own := &fleet{t: t, dir: f.path(name), catalog: f.catalog, source: newPeerServer(t, f.path("source"))}
	if err := os.Mkdir(own.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	own.args = slices.Clone(f.args)
	for i, a := range own.args {
		if rel, err := filepath.Rel(f.dir, a); err == nil && slices.Contains([]string{"state", "node", "ownership.yaml"}, rel) {
			own.args[i] = own.path(rel)
		}
	}
	tr := &trial{fleet: own, of: f, rows: rows}
	tr.owns("0-3")
	return tr
}

// owns publishes an ownership.
func (tr *trial) owns(set string) { tr.own(fmt.Sprintf("epoch: 1\ntotal_shards: 4\nowned: %q\n", set)) }

// The limits of a trial's recovery, which is small, so that every step comes more than once.
const (
	trialFlight = 4
	trialGroup  = 10
)

// daemon are the arguments of one that goes on when it is complete.
func (tr *trial) daemon(more ...string) []string {
	limits := []string{"--concurrency", fmt.Sprint(trialFlight), "--group-blobs", fmt.Sprint(trialGroup), "--follow-interval", "50ms"}
	return tr.run(append(limits, more...)...)
}

// once are those of one that ends then.
func (tr *trial) once(more ...string) []string {
	return tr.daemon(append(more, "--exit-when-complete")...)
}

// claims holds what is claimed durably against what is stored.
func (tr *trial) claims() {
	tr.t.Helper()
	if err := claimHolds(tr.dir, tr.rows); err != nil {
		tr.t.Error(err)
	}
}

// recovers starts recoverd without a fault, which has to complete: the store is the
// source's, and the claim that of a run that nothing happened to (I13).
func (tr *trial) recovers(more ...string) {
	tr.t.Helper()
	if _, stderr, code := invoke(tr.t, tr.once(more...)...); code != exitOK {
		tr.t.Errorf("started again it ended with %d: %s", code, stderr)
		return
	}
	tr.claims()
	tr.whole()
}

// whole fails unless all of the catalog is stored and claimed, and nothing else.
func (tr *trial) whole() {
	tr.t.Helper()
	if got := pieces(tr.t, tr.path("node")); len(got) != len(tr.rows) {
		tr.t.Errorf("%d pieces are stored at the end, the catalog has %d", len(got), len(tr.rows))
	}
	p := saved(tr.t, tr.path("state")).Record.Progress
	if p == nil || p.Covered == nil || *p.Covered != p.Bound || p.Cursor != recovery.MarkEnd() || len(p.Unsettled) != 0 {
		tr.t.Errorf("at the end it claims %s", toJSON(p))
	}
}

// remove makes room on the disk when it went well.
func (tr *trial) remove() {
	if !tr.t.Failed() {
		_ = os.RemoveAll(tr.dir)
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
