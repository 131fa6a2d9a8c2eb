// Package model holds a model of what a worker remembers, in Promela: progress.pml.
// Its states are searched by spin, from Debian, and a C compiler; `make model` does.
package model

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

var (
	search = flag.Bool("model", false, "search the model's states (make model)")
	large  = flag.Int("model-minutes", 1, "minutes for the part of the largest model that is searched; 0: none")
)

// result is what a search found.
type result struct {
	states  float64
	refuted bool
	text    string
}

// spin searches a model made with these definitions. extra are flags for the C
// compiler, args those of the search.
func spin(t *testing.T, definitions, extra, args []string) result {
	t.Helper()
	source, err := filepath.Abs("progress.pml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	step := func(name string, args ...string) string {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil && name != "./pan" { // which ends with an error where it refutes
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	step("spin", append(append([]string{"-a"}, definitions...), source)...)
	step("gcc", append(append([]string{"-O2", "-DSAFETY", "-DNOREDUCE", "-w", "-o", "pan"}, extra...), "pan.c")...)
	return read(t, step("./pan", args...))
}

var (
	statesLine = regexp.MustCompile(`(?m)^\s*([0-9.e+]+) states, stored`)
	errorsLine = regexp.MustCompile(`errors: (\d+)`)
)

func read(t *testing.T, out string) result {
	t.Helper()
	states, errors := statesLine.FindStringSubmatch(out), errorsLine.FindStringSubmatch(out)
	if states == nil || errors == nil || strings.Contains(out, "max search depth too small") {
		t.Fatalf("the search did not end as it should:\n%s", out)
	}
	n, err := strconv.ParseFloat(states[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return result{states: n, refuted: errors[1] != "0", text: out}
}

func needSpin(t *testing.T, what string) {
	t.Helper()
	if !*search {
		t.Skip("only with -model: make model")
	}
	for _, tool := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			evidence.Record(t, evidence.Entry{Layer: "model", What: what, Skipped: err.Error()})
			if os.Getenv("RECOVERD_REQUIRE_SERVERS") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// holds records that a model's states were searched, and fails if one was bad.
func (r result) holds(t *testing.T, what, detail string) {
	t.Helper()
	e := evidence.Entry{Layer: "model", What: what, Tried: max(uint64(r.states), 1), Unit: "states", Detail: detail}
	if r.refuted || r.states < 1e6 {
		e.Violations = 1
		t.Errorf("%s: refuted %v after %.0f states:\n%s", what, r.refuted, r.states, r.text)
	}
	evidence.Record(t, e)
}

// TestModelHolds searches every state with three crashes and two changes of ownership
// of three blobs, and of seven of which one at a time is unsettled; and, of seven that
// may all be, as many as the time allows.
func TestModelHolds(t *testing.T) {
	const (
		whole = "three blobs, three crashes, two changes of ownership"
		seven = "seven blobs, one of them unsettled at a time, three crashes, two changes of ownership"
		part  = "seven blobs, all of them unsettled perhaps, three crashes, two changes of ownership"
	)
	needSpin(t, whole)
	spin(t, []string{"-DN=7", "-DUNSETTLED=1", "-DSLOTS=1"}, []string{"-DCOLLAPSE"}, []string{"-m1000000"}).holds(t, seven, "all that there are")
	spin(t, []string{"-DN=3"}, []string{"-DCOLLAPSE"}, []string{"-m1000000"}).holds(t, whole, "all that there are")
	if *large == 0 {
		evidence.Record(t, evidence.Entry{Layer: "model", What: part, Skipped: "no time was given for it (-model-minutes)"})
		return
	}
	spin(t, []string{"-DN=7"}, []string{"-DBITSTATE"}, []string{"-m1000000", "-w27", "-Q" + strconv.Itoa(*large)}).
		holds(t, part, fmt.Sprintf("what can be searched in %d min", *large))
}

// TestModelBites: a model that refutes none of the planted faults proves nothing.
func TestModelBites(t *testing.T) {
	source, err := os.ReadFile("progress.pml")
	if err != nil {
		t.Fatal(err)
	}
	planted := map[string]bool{}
	for _, m := range regexp.MustCompile(`PLANT_[A-Z_]+[A-Z]`).FindAll(source, -1) {
		planted[string(m)] = true
	}
	if len(planted) < 7 {
		t.Fatalf("only %d planted faults", len(planted))
	}
	const what = "faults planted in the model, refuted"
	needSpin(t, what)
	missed := uint64(0)
	for _, fault := range slices.Sorted(maps.Keys(planted)) {
		t.Run(fault, func(t *testing.T) {
			r := spin(t, []string{"-DN=3", "-D" + fault}, []string{"-DCOLLAPSE"}, []string{"-m1000000"})
			if !r.refuted {
				missed++
				t.Errorf("not refuted:\n%s", r.text)
			}
			t.Logf("refuted after %.0f states", r.states)
		})
	}
	evidence.Record(t, evidence.Entry{Layer: "model", What: what, Tried: uint64(len(planted)), Unit: "faults", Violations: missed})
}
