package planted

import "regexp"

// histories drives the machine through random histories (recovery/model_test.go).
func histories() Layer {
	return Layer{
		Name: "properties", Package: "recovery", Args: []string{"-test.run=^TestRandomHistories$", "-rapid.checks=40000", "-rapid.seed=1", "-rapid.nofailfile"},
		Tried: regexp.MustCompile(`failed after (\d+) tests`), Passed: true, Unit: "histories",
	}
}

const allStates = "-crash-few=false"

// states lays out what a power cut may leave (recovery/sim/crashstate).
func states(tests string) Layer {
	return Layer{
		Name: "crash states", Package: "recovery/sim/crashstate", Args: []string{"-test.run=" + tests, allStates},
		Tried: regexp.MustCompile(`crashstate: state (\d+)`), Unit: "states",
	}
}

// random are property tests of a package.
func random(pkg, tests string) Layer {
	l := histories()
	l.Package, l.Unit = pkg, "cases"
	l.Args = append([]string{"-test.run=" + tests}, l.Args[2:]...)
	return l
}

// units are ordinary tests of a package.
func units(pkg, tests string) Layer {
	return Layer{Name: "unit tests", Package: pkg, Args: []string{"-test.run=" + tests}, Unit: "run"}
}

// power cuts a file system off under load; only root can.
func power() Layer {
	return Layer{
		Name: "power", Package: "cmd/recoverd", Args: []string{"-test.run=^TestCrashPowerCut$", "-cuts=6"},
		Tried: regexp.MustCompile(`after cut (\d+)`), Unit: "cuts",
	}
}

// kills ends a recovery by SIGKILL, again and again.
func kills() Layer {
	return Layer{Name: "kills", Package: "cmd/recoverd", Args: []string{"-test.run=^TestCrashKill$", "-kills=20"}, Unit: "run"}
}

// wholeStates lays out what a power cut may leave of a whole recovery.
func wholeStates() Layer {
	return Layer{
		Name: "crash states", Package: "cmd/recoverd", Args: []string{"-test.run=^TestCrashStates$", "-crash-states=8", "-crash-runs=0"},
		Tried: regexp.MustCompile(`crashstate: state (\d+)`), Unit: "states",
	}
}
