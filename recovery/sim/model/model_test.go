// Package model holds a model of what a worker remembers, in Promela: progress.pml.
// Its states are searched by spin, from Debian, and a C compiler; `make model` does.
package model

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	search = flag.Bool("model", false, "search the model's states (make model)")
	large  = flag.Int("model-minutes", 1, "minutes for the part of the largest model that is searched")
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

func needSpin(t *testing.T) {
	t.Helper()
	if !*search {
		t.Skip("only with -model: make model")
	}
	for _, tool := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("RECOVERD_REQUIRE_SERVERS") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// TestModelHolds searches every state with three blobs, three crashes and two
// changes of ownership; and, of seven blobs, as many as the time allows.
func TestModelHolds(t *testing.T) {
	needSpin(t)
	whole := spin(t, []string{"-DN=3"}, []string{"-DCOLLAPSE"}, []string{"-m1000000"})
	if whole.refuted || whole.states < 1e6 {
		t.Errorf("three blobs: refuted %v after %.0f states:\n%s", whole.refuted, whole.states, whole.text)
	}
	part := spin(t, []string{"-DN=7"}, []string{"-DBITSTATE"}, []string{"-m1000000", "-w27", "-Q" + strconv.Itoa(*large)})
	if part.refuted || part.states < 1e6 {
		t.Errorf("seven blobs: refuted %v after %.0f states:\n%s", part.refuted, part.states, part.text)
	}
	t.Logf("three blobs, 3 crashes: all %.0f states hold; seven blobs: %.0f of its states hold", whole.states, part.states)
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
	needSpin(t)
	for fault := range planted {
		t.Run(fault, func(t *testing.T) {
			r := spin(t, []string{"-DN=3", "-D" + fault}, []string{"-DCOLLAPSE"}, []string{"-m1000000"})
			if !r.refuted {
				t.Errorf("not refuted:\n%s", r.text)
			}
			t.Logf("refuted after %.0f states", r.states)
		})
	}
}
