package evidence

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// limitVar names how long one property is checked at most, as a Go duration; without
// it, as often as -rapid.checks says.
const limitVar = "RECOVERD_TEST_PROPERTY_LIMIT"

// Property is rapid.Check, and records how many checks it made: those in which the
// whole property was looked at, not those whose data was thrown away, nor those that
// came after the time was up.
func Property(t testing.TB, what string, property func(*rapid.T)) {
	t.Helper()
	limit, err := limitOf(os.Getenv(limitVar))
	if err != nil {
		t.Fatalf("evidence: %s: %v", limitVar, err)
	}
	checked, began := uint64(0), realTime()
	shrinking := false // a check failed and is made smaller, or its data was thrown away
	record := func(violations uint64) {
		t.Helper()
		Record(t, Entry{Layer: "properties", What: what, Tried: checked + violations, Unit: "checks", Violations: violations})
	}
	passed := false
	defer func() { // a check that fails ends the test
		if !passed {
			record(1)
		}
	}()
	rapid.Check(t, func(rt *rapid.T) {
		if limit > 0 && !shrinking && realTime()-began > limit {
			return
		}
		returned := false
		defer func() { shrinking = shrinking || !returned }()
		property(rt)
		returned = true
		checked++
	})
	passed = true
	record(0)
}

func limitOf(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	return time.ParseDuration(text)
}

// realTime is the time since the machine started, also inside of a synctest bubble.
func realTime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err) // it is known to every Linux
	}
	return time.Duration(now.Nano())
}
