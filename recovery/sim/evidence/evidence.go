// Package evidence collects what the proofs tried and found, so that one page can
// say so: recovery/sim/RELIABILITY.md, which `make evidence` writes. It is used by
// tests alone.
//
// A layer of proof (simulation, crash states, kills, ...) records an Entry for each
// thing it has tried. Nothing is recorded that was not done: a test that skips
// records its reason, and the page counts skips apart from passes. Property does so for
// what is checked with values drawn at random. What has to be started once for each
// target or package (fuzzing, the race detector, properties with many checks) is run by
// this package's own tests, behind flags; others of them hold the code to it: every
// decoder is fuzzed, every package with goroutines looks for those left behind.
package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
)

// Entry is what one test tried and found.
type Entry struct {
	// Layer is the kind of proof, one of a short list: "simulation", "planted bugs",
	// "crash states", "power", "kills", "faults", "corruption", "properties",
	// "fuzzing", "model", "security", "peers", "races".
	Layer string `json:"layer"`
	// What was tried, as a row's title: lower case, without a full stop.
	What string `json:"what"`
	// Tried is how often, in Unit ("seeds", "states", "kills", ...).
	Tried uint64 `json:"tried"`
	Unit  string `json:"unit"`
	// Violations of what must hold. A test with any fails as well.
	Violations uint64 `json:"violations"`
	// Skipped is why nothing was tried; empty if it was.
	Skipped string `json:"skipped,omitempty"`
	// Detail is one line of anything else that tells how thorough it was.
	Detail string `json:"detail,omitempty"`
	// Test and At are filled in.
	Test string    `json:"test"`
	At   time.Time `json:"at"`
}

// fileVar names the file that entries are appended to, one JSON object a line;
// without it they are only logged.
const fileVar = "RECOVERD_TEST_EVIDENCE"

// Record logs an entry, and keeps it for the page.
func Record(t testing.TB, e Entry) {
	t.Helper()
	e.Test, e.At = t.Name(), time.Now().UTC()
	if e.Skipped == "" && e.Tried == 0 {
		t.Fatalf("evidence: %s: %s: nothing was tried, and no reason is given", e.Layer, e.What)
	}
	t.Logf("evidence: %s: %s: %d %s, %d violations %s%s", e.Layer, e.What, e.Tried, e.Unit, e.Violations, e.Detail, e.Skipped)
	if path := os.Getenv(fileVar); path != "" {
		if err := add(path, e); err != nil {
			t.Fatalf("evidence: %v", err)
		}
	}
}

// Proved records an entry at the end of its test: one that has failed and counted no
// violation has found at least one.
func Proved(t testing.TB, e Entry) {
	t.Helper()
	if t.Failed() {
		e.Violations = max(1, e.Violations)
	}
	Record(t, e)
}

// add appends a line in one write, so that tests running side by side do not mix
// theirs.
func add(path string, e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("keep an entry: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}
