package planted

import (
	"fmt"
	"regexp"
)

// histories drives the machine through random histories (recovery/model_test.go).
func histories() Layer { return random("recovery", "^TestRandomHistories$", "histories") }

// random are property tests of a package.
func random(pkg, tests, unit string) Layer {
	checks := func(n int) []string {
		return []string{fmt.Sprint("-rapid.checks=", n), "-rapid.seed=1", "-rapid.nofailfile", "-rapid.shrinktime=1s"}
	}
	return Layer{
		Name: "properties", Package: pkg, Args: append([]string{"-test.run=" + tests}, checks(40_000)...), Without: checks(2_000),
		Tried: regexp.MustCompile(`failed after (\d+) tests`), Passed: true, Unit: unit,
	}
}

// simulated runs the machine, the checkpoint and the syncer in a simulated world
// (recovery/sim), from seed 1 on: on one core, so that the first seed that fails is the
// lowest.
func simulated() Layer {
	seeds := func(n int) []string { return []string{fmt.Sprint("-seeds=", n), "-failures=1", "-test.cpu=1"} }
	return Layer{
		Name: "simulation", Package: "recovery/sim", Args: append([]string{"-test.run=^TestSimulation$"}, seeds(5_000)...), Without: seeds(1_000),
		Tried: regexp.MustCompile(`caught after (\d+) seeds`), Unit: "seeds",
	}
}

// states lays out what a power cut may leave (recovery/sim/crashstate).
func states(tests string) Layer {
	return Layer{
		Name: "crash states", Package: "recovery/sim/crashstate", Args: []string{"-test.run=" + tests, "-crash-few=false"},
		Tried: regexp.MustCompile(`crashstate: state (\d+)`), Unit: "states",
	}
}

// wholeStates lays out what a power cut may leave of a whole recovery.
func wholeStates() Layer {
	args := []string{"-crash-states=8", "-crash-runs=0"}
	return Layer{
		Name: "crash states", Package: "cmd/recoverd", Args: append([]string{"-test.run=^TestCrashStates$"}, args...), Without: []string{"-crash-states=1", "-crash-runs=0"},
		Tried: regexp.MustCompile(`crashstate: state (\d+)`), Unit: "states",
	}
}

// units are ordinary tests of a package.
func units(pkg, tests string) Layer {
	return Layer{Name: "unit tests", Package: pkg, Args: []string{"-test.run=" + tests}, Unit: "run"}
}

// power cuts a file system off under load; only root can.
func power() Layer {
	return Layer{
		Name: "power", Package: "cmd/recoverd", Args: []string{"-test.run=^TestCrashPowerCut$", "-cuts=6"}, Without: []string{"-cuts=1"},
		Tried: regexp.MustCompile(`after cut (\d+)`), Unit: "cuts",
	}
}

// kills ends a recovery by SIGKILL, again and again.
func kills() Layer {
	return Layer{Name: "kills", Package: "cmd/recoverd", Args: []string{"-test.run=^TestCrashKill$", "-kills=20"}, Without: []string{"-kills=20"}, Unit: "run"}
}
