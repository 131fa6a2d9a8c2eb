package evidence

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

var underRace = flag.String("race-in", "", "run the tests of these packages under the race detector (make race)")

// TestRace runs the tests of packages under the race detector, and records what ran.
func TestRace(t *testing.T) {
	if *underRace == "" {
		t.Skip("takes minutes, and a C compiler: make race")
	}
	const what = "tests under the race detector"
	if _, err := exec.LookPath("gcc"); err != nil {
		Record(t, Entry{Layer: "races", What: what, Skipped: err.Error()})
		t.Skip(err)
	}
	args := append([]string{"test", "-race", "-json", "-count=1", "-timeout=30m"}, strings.Fields(*underRace)...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = moduleRoot
	// What the tests record here they also record without the detector.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1", fileVar+"=")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	r := readRun(out)
	fmt.Print(r.failures)
	if err != nil || r.races > 0 {
		t.Errorf("%v: %d races, %d packages failed", err, r.races, r.failed)
	}
	Record(t, Entry{
		Layer: "races", What: what, Tried: uint64(r.tests), Unit: "tests", Violations: uint64(r.races + r.failed),
		Detail: fmt.Sprintf("of %d packages; %d skipped themselves", len(r.passed), r.skipped),
	})
	leaks := 0
	for _, p := range sources(t) {
		if p.watchesGoroutines() && r.passed[p.dir] {
			leaks++
		}
	}
	Record(t, Entry{Layer: "races", What: "packages whose tests leave no goroutine behind (goleak)", Tried: uint64(leaks), Unit: "packages"})
}

// testRun is what the output of go test -json says.
type testRun struct {
	tests, skipped, races, failed int
	passed                        map[string]bool // packages, from the module's root
	failures                      string
}

func readRun(out []byte) testRun {
	const module = "github.com/recoverd/recoverd/"
	r := testRun{passed: map[string]bool{}}
	said := map[string]string{} // by package
	for line := range bytes.Lines(out) {
		var e struct{ Action, Package, Test, Output string }
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		switch {
		case e.Action == "output":
			if strings.Contains(e.Output, "WARNING: DATA RACE") {
				r.races++
			}
			said[e.Package] += e.Output
		case e.Test != "" && e.Action == "pass":
			r.tests++
		case e.Test != "" && e.Action == "skip":
			r.skipped++
		case e.Test == "" && e.Action == "pass":
			r.passed[strings.TrimPrefix(e.Package, module)] = true
		case e.Test == "" && e.Action == "fail":
			r.failed++
			r.failures += said[e.Package]
		}
	}
	return r
}

func TestReadRun(t *testing.T) {
	r := readRun([]byte(`{"Action":"pass","Package":"github.com/recoverd/recoverd/shards","Test":"TestA"}
{"Action":"skip","Package":"github.com/recoverd/recoverd/shards","Test":"TestB"}
{"Action":"pass","Package":"github.com/recoverd/recoverd/shards","Elapsed":1}
no JSON
{"Action":"output","Package":"p","Test":"TestC","Output":"WARNING: DATA RACE\n"}
{"Action":"fail","Package":"p","Test":"TestC"}
{"Action":"fail","Package":"p"}
`))
	if r.tests != 1 || r.skipped != 1 || r.races != 1 || r.failed != 1 || !r.passed["shards"] || len(r.passed) != 1 || r.failures != "WARNING: DATA RACE\n" {
		t.Errorf("%+v", r)
	}
}

// Where the program says go, the tests of that package look for what is left behind.
func TestGoroutinesAreWatched(t *testing.T) {
	busy := 0
	for _, p := range sources(t) {
		if !p.starts() {
			continue
		}
		busy++
		if !p.watchesGoroutines() {
			t.Errorf("%s starts goroutines, and its tests do not end in goleak.VerifyTestMain", p.dir)
		}
	}
	if busy < 15 {
		t.Errorf("only %d packages that start goroutines were found", busy)
	}
}

// starts reports whether the package's own code starts goroutines.
func (s source) starts() bool {
	for _, f := range s.funcs {
		if !f.test && f.starts {
			return true
		}
	}
	return false
}

func (s source) watchesGoroutines() bool {
	for _, f := range s.named("TestMain") {
		if f.names["VerifyTestMain"] {
			return true
		}
	}
	return false
}
