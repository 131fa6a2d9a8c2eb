package evidence

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var fuzzTime = flag.Duration("fuzz-time", 0, "fuzz every decoder for so long (make fuzz)")

// TestFuzzing fuzzes every target of the module, one after the other, and records how
// many inputs each was given. What they find new is kept in .cache/fuzz for the next
// time; an input that fails, below testdata of its package.
func TestFuzzing(t *testing.T) {
	if *fuzzTime == 0 {
		t.Skip("takes minutes: make fuzz")
	}
	for _, p := range sources(t) {
		targets := p.named("Fuzz")
		if len(targets) == 0 {
			continue
		}
		t.Run(p.dir, func(t *testing.T) {
			binary := filepath.Join(t.TempDir(), "fuzz.test")
			build := exec.CommandContext(t.Context(), "go", "test", "-c", "-fuzz=.", "-o", binary, "./"+p.dir)
			build.Dir = moduleRoot
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, f := range targets {
				t.Run(f.name, func(t *testing.T) { f.fuzz(t, binary) })
			}
		})
	}
}

// fuzz runs one target.
func (f function) fuzz(t *testing.T, binary string) {
	cache, err := filepath.Abs(filepath.Join(moduleRoot, ".cache", "fuzz", f.dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), *fuzzTime+2*time.Minute)
	defer cancel()
	// To make every new input as small as can be takes nearly all of a short time.
	cmd := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.fuzz=^"+f.name+"$", "-test.fuzztime="+fuzzTime.String(), "-test.fuzzcachedir="+cache, "-test.fuzzminimizetime=50x")
	cmd.Dir = filepath.Join(moduleRoot, f.dir)
	cmd.WaitDelay = time.Second
	text, err := cmd.CombinedOutput()
	out := string(text)
	e := Entry{Layer: "fuzzing", What: fmt.Sprintf("%s of %s", f.name, f.dir), Unit: "inputs"}
	var fresh uint64
	e.Tried, fresh = executed(out)
	e.Detail = fmt.Sprintf("%d of them showed something new", fresh)
	if err != nil && !onlyLate(out) {
		e.Tried, e.Violations = max(e.Tried, 1), 1
		t.Errorf("%v\n%s\nagain: go test ./%s -run '^%s$'", err, out, path.Clean(f.dir), f.name)
	}
	Record(t, e)
}

// onlyLate reports whether a fuzzing failed by nothing but the end of its time, which the
// fuzzer of Go 1.26 now and then takes for an error of its own (golang/go#75804). What it
// finds has an input that fails, or a worker that died, and says so.
func onlyLate(out string) bool {
	return regexp.MustCompile(`--- FAIL: Fuzz\w+ \([0-9.]+s\)\n\s*context deadline exceeded\n\s*FAIL\s*$`).MatchString(out) && !strings.Contains(out, "Failing input")
}

// executed reads from the last line of a fuzzing how many inputs were tried, and how many
// of them reached what none had before.
func executed(out string) (inputs, fresh uint64) {
	all := regexp.MustCompile(`execs: (\d+) .*new interesting: (\d+)`).FindAllStringSubmatch(out, -1)
	if len(all) == 0 {
		return 0, 0
	}
	last := all[len(all)-1]
	inputs, _ = strconv.ParseUint(last[1], 10, 64)
	fresh, _ = strconv.ParseUint(last[2], 10, 64)
	return inputs, fresh
}

func TestExecuted(t *testing.T) {
	out := strings.Join([]string{
		"fuzz: elapsed: 0s, gathering baseline coverage: 0/11 completed",
		"fuzz: elapsed: 3s, execs: 12352 (11083/sec), new interesting: 49 (total: 60)",
		"fuzz: elapsed: 4s, execs: 15000 (2648/sec), new interesting: 51 (total: 62)", "PASS",
	}, "\n")
	if inputs, fresh := executed(out); inputs != 15_000 || fresh != 51 {
		t.Errorf("%d inputs, %d new", inputs, fresh)
	}
	if inputs, _ := executed("PASS"); inputs != 0 {
		t.Errorf("%d inputs of none", inputs)
	}
}

func TestOnlyLate(t *testing.T) {
	const late = "fuzz: elapsed: 2s, execs: 2774 (1351/sec), new interesting: 7 (total: 29)\n--- FAIL: FuzzToken (2.06s)\n    context deadline exceeded\nFAIL\n"
	for out, want := range map[string]bool{
		late: true,
		"--- FAIL: FuzzToken (1.02s)\n    --- FAIL: FuzzToken (0.00s)\n        a.go:1: context deadline exceeded\n\n    Failing input written to testdata/fuzz/FuzzToken/1\nFAIL\n": false,
		"--- FAIL: FuzzToken (1.02s)\n    fuzzing process hung or terminated unexpectedly: exit status 2\n    Failing input written to testdata/fuzz/FuzzToken/1\nFAIL\n":           false,
		"--- FAIL: FuzzToken (0.00s)\n    a.go:1: wrong\n    context deadline exceeded\nFAIL\n":                                                                                     false,
		"PASS\n": false,
	} {
		if got := onlyLate(out); got != want {
			t.Errorf("%v of:\n%s", got, out)
		}
	}
}
